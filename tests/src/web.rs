//! Files of the web beside the engine under test: busybox' web server on a folder.

use std::path::Path;
use std::process::{Child, Stdio};

use crate::condition::eventually;
use crate::engine::Engine;
use crate::guard::need_program;
use crate::registry::free_port;

/// A running server; it ends when dropped.
pub struct WebServer {
    process: Child,
    folder: tempfile::TempDir,
    address: String,
}

impl WebServer {
    /// Starts a server that `engine` reaches: natively on the loopback of its namespace, from the VM as the host's
    /// `host.docker.internal`. None, with the reason printed, where there is no busybox.
    ///
    /// # Panics
    /// When it doesn't listen before the deadline.
    pub fn start(engine: &Engine) -> Option<Self> {
        if !need_program("busybox") {
            return None;
        }
        let folder = tempfile::tempdir().expect("make a folder for the server");
        let port = engine.host_port().unwrap_or_else(free_port);
        let process = engine
            .beside("busybox")
            .args(["httpd", "-f", "-p", &format!("127.0.0.1:{port}"), "-h"])
            .arg(folder.path())
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("start busybox");
        let host = if engine.host_port().is_some() { "host.docker.internal" } else { "127.0.0.1" };
        eventually("the web server listens", || engine.fetch(&format!("127.0.0.1:{port}")));
        Some(Self { process, folder, address: format!("http://{host}:{port}") })
    }

    /// The folder that it serves.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The address of a file in the folder.
    pub fn url(&self, name: &str) -> String {
        format!("{}/{name}", self.address)
    }
}

impl Drop for WebServer {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}
