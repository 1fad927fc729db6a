//! Debian's `docker-registry`, run beside the engine under test.

use std::net::TcpListener;
use std::process::{Child, Stdio};

use crate::condition::eventually;
use crate::engine::Engine;
use crate::guard::need_program;

/// A running registry; it ends when dropped.
pub struct Registry {
    process: Child,
    /// How the engine reaches it.
    pub address: String,
    _folder: tempfile::TempDir,
}

impl Registry {
    /// Starts a registry that `engine` reaches: natively on the loopback of its namespace, from the VM as the host's
    /// `host.docker.internal`. None, with the reason printed, when the program isn't installed.
    ///
    /// # Panics
    /// When it doesn't listen before the deadline.
    pub fn start(engine: &Engine) -> Option<Self> {
        if !need_program("docker-registry") {
            return None;
        }
        let folder = tempfile::tempdir().expect("make a folder for the registry");
        let port = engine.host_port().unwrap_or_else(free_port);
        let config = folder.path().join("config.yml");
        let text = format!(
            "version: 0.1\nlog: {{ level: error }}\nstorage: {{ filesystem: {{ rootdirectory: {} }} }}\n\
             http: {{ addr: 127.0.0.1:{port} }}\n",
            folder.path().join("data").display()
        );
        std::fs::write(&config, text).expect("write the registry's configuration");
        let mut command = engine.beside("docker-registry");
        let process = command
            .args(["serve".as_ref(), config.as_os_str()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("start docker-registry");
        let host = if engine.host_port().is_some() { "host.docker.internal" } else { "127.0.0.1" };
        eventually("the registry listens", || engine.fetch(&format!("127.0.0.1:{port}")));
        Some(Self { process, address: format!("{host}:{port}"), _folder: folder })
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// A port of this machine's loopback that nobody has at this moment.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("its address").port()
}
