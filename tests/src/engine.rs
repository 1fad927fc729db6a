//! An engine of the test's own, run natively on folders of its own.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use crate::condition::eventually;
use crate::guard::{need_program, need_root, program};
use crate::image;

/// A running `berth-guest serve`. When dropped, its containers are removed, it ends, and its folders go.
pub struct Engine {
    process: Child,
    folder: tempfile::TempDir,
}

/// What a client printed, and how it ended.
#[derive(Debug, PartialEq, Eq)]
pub struct Said {
    /// Its standard output, without the last newline.
    pub out: String,
    /// Its standard error, without the last newline.
    pub err: String,
    /// Its exit code.
    pub code: i32,
}

impl Engine {
    /// An engine with `busybox:latest` loaded; none, with the reason printed, where this machine can't run one.
    ///
    /// # Panics
    /// When the engine doesn't come up.
    pub fn with_busybox() -> Option<Self> {
        if !need_root() || !need_program("docker") {
            return None;
        }
        let engine = Self::start();
        let archive = image::busybox(engine.folder.path());
        engine.ok(&["load", "--quiet", "--input", &archive.to_string_lossy()]);
        Some(engine)
    }

    /// An engine without images.
    ///
    /// # Panics
    /// When its socket doesn't answer before the deadline.
    pub fn start() -> Self {
        let folder = tempfile::tempdir().expect("make a folder for the engine");
        let process = serve(folder.path());
        let engine = Self { process, folder };
        engine.wait_until_it_answers();
        engine
    }

    /// Kills the engine without a warning, and starts it again on the same folders.
    ///
    /// # Panics
    /// When it doesn't come up again.
    pub fn crash(&mut self) {
        self.process.kill().expect("kill the engine");
        self.process.wait().expect("the engine ends");
        self.process = serve(self.folder.path());
        self.wait_until_it_answers();
    }

    /// The socket's path.
    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("docker.sock")
    }

    /// The engine's folder of things that end with the machine.
    pub fn exec_root(&self) -> PathBuf {
        self.folder.path().join("exec")
    }

    /// The engine's own process.
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// The real `docker` client, aimed at this engine.
    pub fn client(&self, args: &[&str]) -> Command {
        let mut client = Command::new("docker");
        client
            .args(args)
            .env("DOCKER_HOST", format!("unix://{}", self.socket().display()))
            .env("DOCKER_CONFIG", self.folder.path().join("client"))
            .stdin(Stdio::null());
        client
    }

    /// Runs the client to its end.
    ///
    /// # Panics
    /// When the client can't be started.
    pub fn docker(&self, args: &[&str]) -> Said {
        said(&self.client(args).output().expect("run docker"))
    }

    /// Runs the client, which must succeed; returns what it printed.
    ///
    /// # Panics
    /// When it fails.
    pub fn ok(&self, args: &[&str]) -> String {
        let said = self.docker(args);
        assert_eq!(said.code, 0, "docker {}: {} {}", args.join(" "), said.out, said.err);
        said.out
    }

    /// One field of `docker inspect`, as text.
    pub fn inspect(&self, name: &str, field: &str) -> String {
        self.ok(&["inspect", "--format", &format!("{{{{{field}}}}}"), name])
    }

    fn wait_until_it_answers(&self) {
        eventually("the engine listens", || std::os::unix::net::UnixStream::connect(self.socket()).ok());
    }
}

/// What a finished client printed, and how it ended.
pub fn said(output: &Output) -> Said {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end_matches('\n').to_owned();
    Said { out: text(&output.stdout), err: text(&output.stderr), code: output.status.code().unwrap_or(-1) }
}

fn serve(folder: &Path) -> Child {
    // A cgroup and a prefix of its own: tests run side by side.
    let name = folder.file_name().unwrap_or_default().to_string_lossy().trim_start_matches(".tmp").to_owned();
    Command::new(program("berth-guest"))
        .args(["serve", "--listen", &format!("unix://{}", folder.join("docker.sock").display())])
        .arg("--data-root")
        .arg(folder.join("data"))
        .arg("--exec-root")
        .arg(folder.join("exec"))
        .args(["--cgroup-parent", &format!("/berth-test-{name}"), "--name-prefix", &name])
        .stdin(Stdio::null())
        .spawn()
        .expect("start berth-guest")
}

impl Drop for Engine {
    fn drop(&mut self) {
        let left = self.docker(&["ps", "--all", "--quiet"]).out;
        if !left.is_empty() {
            let ids: Vec<&str> = left.lines().collect();
            self.docker(&[&["rm", "--force", "--volumes"], ids.as_slice()].concat());
        }
        drop(Command::new("kill").args(["-TERM", &self.process.id().to_string()]).status());
        drop(self.process.wait());
        drop(Command::new("umount").args(["--quiet"]).arg(self.exec_root().join("cgroup")).status());
    }
}
