//! Debian's `docker-registry`, run beside the engine under test.

use std::fs::File;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::condition::eventually;
use crate::engine::Engine;
use crate::guard::need_program;
use crate::tokens::TokenServer;

const PROGRAM: &str = "docker-registry";
/// What it writes of each request, in Apache's format.
const ASKED: &str = "asked";

/// A running registry; it ends when dropped.
pub struct Registry {
    process: Child,
    /// How the engine reaches it.
    pub address: String,
    folder: TempDir,
}

impl Registry {
    /// Starts a registry that `engine` reaches: natively on the loopback of its namespace, from the VM as the host's
    /// `host.docker.internal`. None, with the reason printed, when the program isn't installed.
    ///
    /// # Panics
    /// When it doesn't listen before the deadline.
    pub fn start(engine: &Engine) -> Option<Self> {
        Self::near(engine, place(), "")
    }

    /// The same, for whoever knows the password alone.
    ///
    /// # Panics
    /// When it doesn't listen before the deadline.
    pub fn with_password(engine: &Engine, user: &str, password: &str) -> Option<Self> {
        if !need_program("htpasswd") {
            return None;
        }
        let folder = place();
        let users = Command::new("htpasswd").args(["-Bbn", user, password]).output().expect("run htpasswd");
        let file = folder.path().join("users");
        std::fs::write(&file, users.stdout).expect("write the registry's users");
        let auth = format!("auth: {{ htpasswd: {{ realm: test, path: {} }} }}", file.display());
        Self::near(engine, folder, &auth)
    }

    /// The same, for whoever has a token of this server.
    ///
    /// # Panics
    /// When it doesn't listen before the deadline.
    pub fn with_tokens(engine: &Engine, tokens: &TokenServer) -> Option<Self> {
        Self::near(engine, place(), &tokens.registry_config())
    }

    fn near(engine: &Engine, folder: TempDir, more: &str) -> Option<Self> {
        if !need_program(PROGRAM) {
            return None;
        }
        let port = engine.host_port().unwrap_or_else(free_port);
        let host = if engine.host_port().is_some() { "host.docker.internal" } else { "127.0.0.1" };
        let config = format!("http: {{ addr: '127.0.0.1:{port}' }}\n{more}");
        let registry = Self::serve(engine.beside(PROGRAM), folder, &config, format!("{host}:{port}"));
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
        let authority = folder.join("ca.pem").display().to_string();
        Self::at(beside, address, &format!(", tls: {{ {}, clientcas: [{authority}] }}", shown(folder)))
    }

    /// The same, for everybody.
    ///
    /// # Panics
    /// When it doesn't listen before the deadline.
    pub fn open(beside: impl Fn(&str) -> Command, address: &str, folder: &Path) -> Option<Self> {
        Self::at(beside, address, &format!(", tls: {{ {} }}", shown(folder)))
    }

    /// The same without TLS.
    ///
    /// # Panics
    /// When it doesn't listen before the deadline.
    pub fn plain(beside: impl Fn(&str) -> Command, address: &str) -> Option<Self> {
        Self::at(beside, address, "")
    }

    fn at(beside: impl Fn(&str) -> Command, address: &str, tls: &str) -> Option<Self> {
        if !need_program(PROGRAM) {
            return None;
        }
        let config = format!("http: {{ addr: '{address}'{tls} }}");
        let registry = Self::serve(beside(PROGRAM), place(), &config, address.to_owned());
        let knock = format!("exec 3<>/dev/tcp/{}", address.replace(':', "/"));
        eventually("the registry listens", || {
            let knocked =
                beside("bash").args(["-c", &knock]).stderr(Stdio::null()).status().expect("run bash");
            knocked.success().then_some(())
        });
        Some(registry)
    }

    fn serve(mut command: Command, folder: TempDir, more: &str, address: String) -> Self {
        let config = folder.path().join("config.yml");
        let text = format!(
            "version: 0.1\nlog: {{ level: error }}\nstorage: {{ filesystem: {{ rootdirectory: {} }} }}\n{more}\n",
            folder.path().join("data").display()
        );
        std::fs::write(&config, text).expect("write the registry's configuration");
        let asked = File::create(folder.path().join(ASKED)).expect("make the registry's log");
        let process = command
            .args(["serve".as_ref(), config.as_os_str()])
            .stdin(Stdio::null())
            .stdout(asked)
            .stderr(Stdio::null())
            .spawn()
            .expect("start docker-registry");
        Self { process, address, folder }
    }

    /// What it was asked for so far, as `GET /v2/`.
    ///
    /// # Panics
    /// When its log can't be read.
    pub fn asked(&self) -> Vec<String> {
        let log = std::fs::read_to_string(self.folder.path().join(ASKED)).expect("read the registry's log");
        let requests = log.lines().filter_map(|line| line.split('"').nth(1)?.strip_suffix(" HTTP/1.1"));
        requests.map(str::to_owned).collect()
    }
}

fn place() -> TempDir {
    tempfile::tempdir().expect("make a folder for the registry")
}

/// How the registry's configuration names the certificate in a folder.
fn shown(folder: &Path) -> String {
    let at = |name: &str| folder.join(name).display().to_string();
    format!("certificate: {}, key: {}", at("cert.pem"), at("key.pem"))
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
