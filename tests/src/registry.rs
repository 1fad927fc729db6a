//! Debian's `docker-registry`, run beside the engine under test.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::condition::eventually;
use crate::engine::Engine;
use crate::guard::need_program;

const PROGRAM: &str = "docker-registry";

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
        if !need_program(PROGRAM) {
            return None;
        }
        let port = engine.host_port().unwrap_or_else(free_port);
        let host = if engine.host_port().is_some() { "host.docker.internal" } else { "127.0.0.1" };
        let http = format!("addr: 127.0.0.1:{port}");
        let registry = Self::serve(engine.beside(PROGRAM), &http, format!("{host}:{port}"));
        eventually("the registry listens", || engine.fetch(&format!("127.0.0.1:{port}")));
        Some(registry)
    }

    /// Starts a registry at `address` that shows the certificate in `folder` and lets in clients of the same authority
    /// alone; `beside` makes a program that sees that address. None, with the reason printed, when the program isn't
    /// installed.
    ///
    /// # Panics
    /// When it doesn't listen before the deadline.
    pub fn secured(beside: impl Fn(&str) -> Command, address: &str, folder: &Path) -> Option<Self> {
        if !need_program(PROGRAM) {
            return None;
        }
        let at = |name: &str| folder.join(name).display().to_string();
        let (certificate, key, authority) = (at("cert.pem"), at("key.pem"), at("ca.pem"));
        let tls = format!("{{ certificate: {certificate}, key: {key}, clientcas: [{authority}] }}");
        let http = format!("addr: '{address}', tls: {tls}");
        let registry = Self::serve(beside(PROGRAM), &http, address.to_owned());
        let knock = format!("exec 3<>/dev/tcp/{}", address.replace(':', "/"));
        eventually("the registry listens", || {
            let knocked =
                beside("bash").args(["-c", &knock]).stderr(Stdio::null()).status().expect("run bash");
            knocked.success().then_some(())
        });
        Some(registry)
    }

    fn serve(mut command: Command, http: &str, address: String) -> Self {
        let folder = tempfile::tempdir().expect("make a folder for the registry");
        let config = folder.path().join("config.yml");
        let text = format!(
            "version: 0.1\nlog: {{ level: error }}\nstorage: {{ filesystem: {{ rootdirectory: {} }} }}\n\
             http: {{ {http} }}\n",
            folder.path().join("data").display()
        );
        std::fs::write(&config, text).expect("write the registry's configuration");
        let process = command
            .args(["serve".as_ref(), config.as_os_str()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("start docker-registry");
        Self { process, address, _folder: folder }
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// A port of this machine's loopback that nobody has at this moment.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("its address").port()
}
