//! A git server beside the engine under test: git's own `http-backend` behind busybox' web server.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::condition::eventually;
use crate::engine::Engine;
use crate::guard::need_program;
use crate::registry::free_port;

/// A running server; it ends when dropped.
pub struct GitServer {
    process: Child,
    folder: tempfile::TempDir,
    address: String,
}

impl GitServer {
    /// Starts a server that `engine` reaches. None, with the reason printed, where there is no git.
    ///
    /// # Panics
    /// When it doesn't listen before the deadline.
    pub fn start(engine: &Engine) -> Option<Self> {
        if !need_program("git") || !need_program("busybox") {
            return None;
        }
        let folder = tempfile::tempdir().expect("make a folder for the server");
        let programs = folder.path().join("www/cgi-bin");
        std::fs::create_dir_all(&programs).expect("make a folder for the server");
        let script = format!(
            "#!/bin/sh\nexport GIT_PROJECT_ROOT={} GIT_HTTP_EXPORT_ALL=1 GIT_PROTOCOL=version=2\n\
             exec git -c safe.directory='*' http-backend\n",
            folder.path().display()
        );
        let program = programs.join("git");
        std::fs::write(&program, script).expect("write the server's program");
        let executable = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(&program, executable).expect("make it executable");
        let port = engine.host_port().unwrap_or_else(free_port);
        let process = engine
            .beside("busybox")
            .args(["httpd", "-f", "-p", &format!("127.0.0.1:{port}"), "-h"])
            .arg(folder.path().join("www"))
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("start busybox");
        let host = if engine.host_port().is_some() { "host.docker.internal" } else { "127.0.0.1" };
        eventually("the git server listens", || engine.fetch(&format!("127.0.0.1:{port}")));
        Some(Self { process, folder, address: format!("http://{host}:{port}/cgi-bin/git") })
    }

    /// The address of a repository.
    pub fn url(&self, name: &str) -> String {
        format!("{}/{name}", self.address)
    }

    /// A new repository with what `commands` (a shell's) make in it; what they print last.
    ///
    /// # Panics
    /// When a command fails.
    pub fn repository(&self, name: &str, commands: &str) -> String {
        repository(&self.folder.path().join(name), commands)
    }
}

/// A new repository in a folder, with what `commands` (a shell's) make in it; what they print last.
///
/// # Panics
/// When a command fails.
pub fn repository(path: &Path, commands: &str) -> String {
    let setup =
        "git init --quiet --initial-branch main . && git config user.name t && git config user.email t@t";
    let output = shell(path, &format!("set -e; {setup}; {commands}"));
    output.lines().last().unwrap_or_default().to_owned()
}

fn shell(folder: &Path, commands: &str) -> String {
    std::fs::create_dir_all(folder).expect("make a folder for a repository");
    let mut command = Command::new("sh");
    command.args(["-c", commands]).current_dir(folder);
    let dates = [("GIT_COMMITTER_DATE", "1000000000 +0000"), ("GIT_AUTHOR_DATE", "1000000000 +0000")];
    let output = command.envs(dates).output().expect("run git");
    assert!(output.status.success(), "{commands}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

impl Drop for GitServer {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}
