//! A RUN step's process, from its bundle to its exit code. It lives only as long as this engine attends it.

use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use berth_network::EndpointWish;
use berth_runtime::Spec;
use berth_runtime::attended::{CgroupPlace, Ending, PLACE_FILE, RESULT_FILE};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Command;
use tokio_util::sync::CancellationToken;

use crate::container::Network;
use crate::observe::Stream;
use crate::{Builder, Error, Result};

/// How long a killed step may take to be gone.
const END_DEADLINE: Duration = Duration::from_secs(30);
/// Read from the step's output at a time.
const CHUNK: usize = 16 << 10;

/// The network of one step; dropped, its namespace is gone.
#[derive(Debug)]
pub(crate) struct Sandbox {
    builder: Arc<Builder>,
    name: String,
    pub(crate) network: Network,
}

impl Sandbox {
    /// Joins what `mode` names: `none`, `host`, or a network (`default` is the bridge). Blocks.
    pub(crate) fn open(builder: &Arc<Builder>, name: &str, mode: &str) -> Result<Self> {
        let mut sandbox = Self { builder: builder.clone(), name: name.to_owned(), network: Network::None };
        let wanted = match mode {
            "none" => return Ok(sandbox),
            "host" => {
                sandbox.network = Network::Host;
                return Ok(sandbox);
            }
            "" | "default" => "bridge",
            other => other,
        };
        sandbox.network = Network::At(builder.networks.open_sandbox(name)?);
        builder.networks.join(name, wanted, &EndpointWish::default())?;
        Ok(sandbox)
    }

    /// The resolver's configuration for it.
    pub(crate) fn resolver(&self) -> String {
        let resolves = |endpoint: berth_network::Endpoint| {
            self.builder.networks.find(&endpoint.network_id).is_ok_and(|network| network.resolves_names())
        };
        if self.builder.networks.endpoints(&self.name).into_iter().any(resolves) {
            return "nameserver 127.0.0.11\noptions ndots:0\n".to_owned();
        }
        let own = std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
        let kept = own.lines().filter(|line| {
            ["nameserver", "search", "options"].iter().any(|keyword| line.starts_with(keyword))
        });
        kept.map(|line| format!("{line}\n")).collect()
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        if matches!(self.network, Network::At(_))
            && let Err(error) = self.builder.networks.close_sandbox(&self.name)
        {
            tracing::warn!(error = &error as &dyn std::error::Error, "a build step's network stays");
        }
    }
}

/// Runs a step to its end in the cgroup at `place`; says how it ended. Cancelled, the step is killed first.
pub(crate) async fn run(
    builder: &Builder,
    folder: &Path,
    place: CgroupPlace,
    spec: &Spec,
    says: &(dyn Fn(Stream, &[u8]) + Send + Sync),
    cancel: &CancellationToken,
) -> Result<Ending> {
    write(&folder.join("config.json"), spec)?;
    write(&folder.join(PLACE_FILE), &place)?;
    let program = &builder.runtime_program;
    let mut child = Command::new(program)
        .arg("attended")
        .arg(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(Error::file("start", program))?;
    // Closing it is how the step is told to end; it closes by itself when this engine dies.
    let attendance = child.stdin.take();
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let output = async {
        tokio::join!(forward(out, Stream::Out, says), forward(err, Stream::Error, says));
    };
    tokio::select! {
        () = output => {}
        () = cancel.cancelled() => {}
    }
    if cancel.is_cancelled() {
        drop(attendance);
        let ended = tokio::time::timeout(END_DEADLINE, child.wait()).await;
        if ended.is_err() {
            drop(child.kill().await);
        }
        return Err(Error::Cancelled);
    }
    // Both streams have ended, but the program may have closed them and gone on.
    tokio::select! {
        ended = child.wait() => drop(ended.map_err(Error::file("wait for", program))?),
        () = cancel.cancelled() => {
            drop(attendance);
            drop(tokio::time::timeout(END_DEADLINE, child.wait()).await);
            return Err(Error::Cancelled);
        }
    }
    drop(attendance);
    let result = folder.join(RESULT_FILE);
    let json = std::fs::read(&result).map_err(Error::file("read", &result))?;
    serde_json::from_slice(&json).map_err(|error| Error::file("read", result)(error.into()))
}

async fn forward(
    source: Option<impl AsyncRead + Unpin>,
    stream: Stream,
    says: &(dyn Fn(Stream, &[u8]) + Send + Sync),
) {
    let Some(mut source) = source else { return };
    let mut buffer = vec![0; CHUNK];
    while let Ok(count @ 1..) = source.read(&mut buffer).await {
        says(stream, &buffer[..count]);
    }
}

fn write(path: &Path, value: &impl serde::Serialize) -> Result<()> {
    let json = serde_json::to_vec(value).map_err(|error| Error::file("encode", path)(error.into()))?;
    std::fs::write(path, json).map_err(Error::file("write", path))
}
