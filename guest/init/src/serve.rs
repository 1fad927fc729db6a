//! `berth-guest serve`: the engine on this machine, until SIGTERM or SIGINT.

use std::os::fd::RawFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use berth_engine::{Config, Engine, HostOs, HostPaths, Share};
use berth_network::Subnet;
use berth_network::native::NativePublisher;
use berth_network::publish::PortPublisher;
use protocol::guest::HostHello;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::signal::unix::{SignalKind, signal};

use crate::daemon_json::DaemonJson;
use crate::listen::{self, Address};
use crate::publish::HostPublisher;
use crate::sys;

/// Seconds that a container may take to stop when its machine powers off.
const STOP_TIMEOUT: i64 = 7;
/// How long open requests may take once the engine ends.
const GOODBYE: Duration = Duration::from_secs(1);

/// What `berth-guest serve` takes.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Where to listen: unix:///absolute/path, or fd://N for an inherited listener; several are fine.
    #[arg(long, default_value = "unix:///run/berth/docker.sock")]
    listen: Vec<Address>,
    /// Persistent state: images, containers, volumes.
    #[arg(long, default_value = "/var/lib/berth")]
    data_root: PathBuf,
    /// State that ends with the machine: sockets, bundles, mounts.
    #[arg(long, default_value = "/run/berth/engine")]
    exec_root: PathBuf,
    /// The cgroup below which containers get theirs.
    #[arg(long, default_value = "/berth")]
    cgroup_parent: String,
    /// Put in front of interface and table names, so that two engines don't meet.
    #[arg(long, default_value = "berth")]
    name_prefix: String,
    /// The configuration, with dockerd's keys.
    #[arg(long)]
    config_file: Option<PathBuf>,
    /// What the host said of itself, when this runs in a VM.
    #[arg(long, hide = true)]
    host: Option<PathBuf>,
    /// An open descriptor that leads to PID 1, when this runs in a VM.
    #[arg(long, hide = true)]
    host_link: Option<RawFd>,
}

/// Serves until told to end. Containers outlive the engine, but not the machine: in a VM it is the machine that ends.
pub(crate) fn run(args: Args) -> anyhow::Result<()> {
    // Descriptors are adopted before anything else opens one.
    let publisher = args.host_link.map(sys::inherited).transpose().context("adopt the link to PID 1")?;
    let publisher = publisher.map(|link| Arc::new(HostPublisher::new(UnixStream::from(link))));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("start the engine's threads")?;
    runtime.block_on(serve(args, publisher))
}

async fn serve(args: Args, publisher: Option<Arc<HostPublisher>>) -> anyhow::Result<()> {
    let program = std::env::current_exe().context("find the engine's own program")?;
    let hello = args.host.as_deref().map(host_hello).transpose()?;
    let host: Arc<dyn PortPublisher> = match &publisher {
        Some(publisher) => publisher.clone(),
        None => Arc::new(NativePublisher::new(&args.name_prefix)?),
    };
    let mut settings = match (&args.config_file, &hello) {
        (Some(file), _) => DaemonJson::read(file)?,
        (None, Some(hello)) => DaemonJson::parse(&hello.daemon_json)?,
        (None, None) => DaemonJson::default(),
    };
    if hello.is_some() {
        // The host's own loopback, by its documented name: no less safe than 127.0.0.0/8, which Docker trusts too.
        settings.insecure_registries.push("host.docker.internal".to_owned());
    }
    let engine = Engine::open(Config {
        data_root: args.data_root,
        exec_root: args.exec_root,
        cgroup_parent: args.cgroup_parent,
        avoid: hello.as_ref().map(host_subnets).unwrap_or_default(),
        publisher: host,
        insecure_registries: settings.insecure_registries,
        registry_mirrors: settings.registry_mirrors,
        name_prefix: args.name_prefix,
        open_files: open_as_many_files_as_allowed(),
        guard_program: program.with_file_name("berth-guard"),
        host_paths: hello.map_or(HostPaths::Native, host_paths),
    })
    .await?;
    let router = berth_api::routes::router(engine.clone())?;
    let (end, ended) = tokio::sync::watch::channel(false);
    let mut servers = tokio::task::JoinSet::new();
    for address in &args.listen {
        let mut ended = ended.clone();
        let until_end = async move { ended.wait_for(|end| *end).await.map_or((), |_| ()) };
        let router = router.clone();
        match address {
            Address::Unix(path) => {
                let listener = listen::unix(path).await?;
                let server = axum::serve(listener, router).with_graceful_shutdown(until_end);
                servers.spawn(server.into_future());
                tracing::info!(socket = %path.display(), "listening");
            }
            Address::Inherited(number) => {
                let listener = listen::Inherited::new(sys::inherited(*number)?)?;
                let server = axum::serve(listener, router).with_graceful_shutdown(until_end);
                servers.spawn(server.into_future());
            }
        }
    }
    if let Some(publisher) = &publisher {
        publisher.engine_is_up().context("tell PID 1")?;
    }
    asked_to_end().await?;
    if args.host.is_some() {
        engine.stop_all(STOP_TIMEOUT).await;
    }
    end.send_replace(true);
    // Streams that follow something have no end of their own.
    let goodbye = async { while servers.join_next().await.is_some() {} };
    if tokio::time::timeout(GOODBYE, goodbye).await.is_err() {
        servers.abort_all();
    }
    for address in &args.listen {
        if let Address::Unix(path) = address {
            drop(std::fs::remove_file(path));
        }
    }
    Ok(())
}

/// Raises the engine's own limit: each client and each container is an open file. Returns what it was, which stays the
/// containers'.
fn open_as_many_files_as_allowed() -> Option<u64> {
    let limit = getrlimit(Resource::Nofile);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
    if let Err(error) = raised {
        tracing::warn!(%error, "can't raise the limit of open files");
    }
    limit.current
}

/// What the host said of itself.
fn host_hello(file: &Path) -> anyhow::Result<HostHello> {
    let text = std::fs::read(file).with_context(|| format!("read {}", file.display()))?;
    serde_json::from_slice(&text).context("read what the host said")
}

/// The host's subnets, which container networks avoid. What can't be read can't be avoided.
fn host_subnets(hello: &HostHello) -> Vec<Subnet> {
    hello.host_subnets.iter().filter_map(|text| text.parse().ok()).collect()
}

/// How the host's paths look from here.
fn host_paths(hello: HostHello) -> HostPaths {
    let os = match hello.os {
        protocol::guest::HostOs::Linux => HostOs::Linux,
        protocol::guest::HostOs::Macos => HostOs::Macos,
        protocol::guest::HostOs::Windows => HostOs::Windows,
    };
    let place = |share: protocol::guest::Share| Share {
        mounted_at: Path::new(crate::pid1::SHARES).join(&share.name),
        host: share.host,
    };
    HostPaths::Shared { os, shares: hello.shares.into_iter().map(place).collect() }
}

/// Waits for SIGTERM or SIGINT.
async fn asked_to_end() -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
    Ok(())
}
