//! A git server beside the engine under test: git's own `http-backend` behind busybox' web server.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use crate::engine::Engine;
use crate::guard::need_program;
use crate::web::WebServer;

/// A running server; it ends when dropped.
pub struct GitServer {
    web: WebServer,
    repositories: tempfile::TempDir,
}

impl GitServer {
    /// Starts a server that `engine` reaches. None, with the reason printed, where there is no git.
    ///
    /// # Panics
    /// When it doesn't listen before the deadline.
    pub fn start(engine: &Engine) -> Option<Self> {
        if !need_program("git") {
            return None;
        }
        let web = WebServer::start(engine)?;
        let repositories = tempfile::tempdir().expect("make a folder for the server");
        let programs = web.folder().join("cgi-bin");
        std::fs::create_dir(&programs).expect("make a folder for the server");
        let script = format!(
            "#!/bin/sh\nexport GIT_PROJECT_ROOT={} GIT_HTTP_EXPORT_ALL=1 GIT_PROTOCOL=version=2\n\
             exec git -c safe.directory='*' http-backend\n",
            repositories.path().display()
        );
        let program = programs.join("git");
        std::fs::write(&program, script).expect("write the server's program");
        let executable = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(&program, executable).expect("make it executable");
        Some(Self { web, repositories })
    }

    /// The address of a repository.
    pub fn url(&self, name: &str) -> String {
        self.web.url(&format!("cgi-bin/git/{name}"))
    }

    /// A new repository with what `commands` (a shell's) make in it; what they print last.
    ///
    /// # Panics
    /// When a command fails.
    pub fn repository(&self, name: &str, commands: &str) -> String {
        repository(&self.repositories.path().join(name), commands)
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
