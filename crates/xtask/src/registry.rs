//! Debian's docker-registry beside an engine that is measured or tested.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

/// It listens before this, or never.
const PATIENCE: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_millis(20);

/// A running registry. When dropped, it ends.
pub(crate) struct Registry {
    process: Child,
    _config: tempfile::NamedTempFile,
}

impl Registry {
    /// Starts one on `port` of the loopback where `beside` runs programs; its content lies in `folder`.
    pub(crate) fn start(beside: impl Fn(&str) -> Command, folder: &Path, port: u16) -> anyhow::Result<Self> {
        let config = tempfile::NamedTempFile::new().context("make the registry's configuration")?;
        let text = format!(
            "version: 0.1\nlog: {{ level: error }}\nstorage: {{ filesystem: {{ rootdirectory: {} }} }}\n\
             http: {{ addr: 127.0.0.1:{port} }}\n",
            folder.display()
        );
        fs::write(config.path(), text)?;
        let mut command = beside("docker-registry");
        command
            .arg("serve")
            .arg(config.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let process = command.spawn().context("start docker-registry (`cargo xtask setup`)")?;
        let registry = Self { process, _config: config };
        let deadline = Instant::now() + PATIENCE;
        let listens = || {
            let mut probe = beside("bash");
            probe.args(["-c", &format!("exec 3<>/dev/tcp/127.0.0.1/{port}")]).stderr(Stdio::null());
            probe.status().is_ok_and(|status| status.success())
        };
        while !listens() {
            if Instant::now() > deadline {
                bail!("docker-registry doesn't listen");
            }
            std::thread::sleep(PAUSE);
        }
        Ok(registry)
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}
