//! A real `sshd` beside the engine under test, and a user's agent.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::condition::eventually;
use crate::engine::Engine;
use crate::git;
use crate::guard::need_program;
use crate::registry::free_port;

/// Where Debian has it: outside `$PATH`, and it wants to be called by its whole name.
const SSHD: &str = "/usr/sbin/sshd";

/// A running server, with repositories; it ends when dropped.
pub struct SshServer {
    process: Child,
    folder: tempfile::TempDir,
    address: String,
}

impl SshServer {
    /// Starts a server that `engine` reaches and that lets in whoever has the key, with these lines of configuration. None,
    /// with the reason printed, where there is no `sshd`.
    ///
    /// # Panics
    /// When it doesn't listen before the deadline.
    pub fn start(engine: &Engine, key: &Path, lines: &str) -> Option<Self> {
        if !Path::new(SSHD).exists() {
            eprintln!("skipped: `sshd` isn't installed (`cargo xtask setup`)");
            return None;
        }
        if !need_program("git") {
            return None;
        }
        let folder = tempfile::tempdir().expect("make a folder for the server");
        std::fs::create_dir_all("/run/sshd").expect("make the folder that sshd retires to");
        let host = keygen(folder.path(), "host", "ed25519");
        std::fs::copy(key.with_extension("pub"), folder.path().join("authorized")).expect("let the key in");
        let port = engine.host_port().unwrap_or_else(free_port);
        let config = format!(
            "ListenAddress 127.0.0.1:{port}\nHostKey {}\nAuthorizedKeysFile {}/authorized\nPidFile none\n\
             StrictModes no\nUsePAM no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n{lines}\n",
            host.display(),
            folder.path().display()
        );
        let path = folder.path().join("config");
        std::fs::write(&path, config).expect("write the server's configuration");
        let log = std::fs::File::create(folder.path().join("log")).expect("make the server's log");
        let process = engine
            .beside(SSHD)
            .args(["-D", "-e", "-f"])
            .arg(&path)
            .stdin(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("start sshd");
        let host = if engine.host_port().is_some() { "host.docker.internal" } else { "127.0.0.1" };
        let log = folder.path().join("log");
        let listens = || std::fs::read_to_string(&log).ok()?.contains("Server listening").then_some(());
        eventually("sshd listens", listens);
        Some(Self { process, folder, address: format!("ssh://root@{host}:{port}") })
    }

    /// The address of a repository.
    pub fn url(&self, name: &str) -> String {
        format!("{}{}/{name}", self.address, self.folder.path().display())
    }

    /// A new repository with what `commands` (a shell's) make in it; what they print last.
    pub fn repository(&self, name: &str, commands: &str) -> String {
        git::repository(&self.folder.path().join(name), commands)
    }
}

impl Drop for SshServer {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// A user's agent with one key; it ends when dropped.
pub struct Agent {
    process: Child,
    folder: tempfile::TempDir,
}

impl Agent {
    /// Starts an agent that has a new key of this kind. None, with the reason printed, where there is no agent.
    ///
    /// # Panics
    /// When it doesn't take the key before the deadline.
    pub fn start(kind: &str) -> Option<Self> {
        if !["ssh-agent", "ssh-add", "ssh-keygen"].into_iter().all(need_program) {
            return None;
        }
        let folder = tempfile::tempdir().expect("make a folder for the agent");
        let key = keygen(folder.path(), "key", kind);
        let mut command = Command::new("ssh-agent");
        command.args(["-D", "-a"]).arg(folder.path().join("agent")).stdout(Stdio::null());
        let agent = Self { process: command.spawn().expect("start ssh-agent"), folder };
        let add = || {
            let mut add = Command::new("ssh-add");
            add.arg("-q").arg(&key).env("SSH_AUTH_SOCK", agent.folder.path().join("agent"));
            add.stderr(Stdio::null()).status().ok()?.success().then_some(())
        };
        eventually("the agent takes a key", add);
        Some(agent)
    }

    /// The private key; beside it is the public one.
    pub fn key(&self) -> PathBuf {
        self.folder.path().join("key")
    }

    /// What the client's `--ssh` is told.
    pub fn forwarded(&self) -> String {
        format!("default={}", self.folder.path().join("agent").display())
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

fn keygen(folder: &Path, name: &str, kind: &str) -> PathBuf {
    let path = folder.join(name);
    let mut command = Command::new("ssh-keygen");
    let made = command.args(["-q", "-N", "", "-t", kind, "-f"]).arg(&path).status();
    assert!(made.expect("run ssh-keygen").success(), "ssh-keygen failed");
    path
}
