//! An engine of the test's own, run natively on folders of its own.

use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::guard::program;

/// A running `berth-guest serve`; it ends, and its folders go, when dropped.
pub struct Engine {
    process: Child,
    folder: tempfile::TempDir,
}

impl Engine {
    /// Starts an engine and waits until its socket answers.
    ///
    /// # Panics
    /// When the engine doesn't answer in ten seconds.
    pub fn start() -> Self {
        let folder = tempfile::tempdir().expect("make a folder for the engine");
        let path = |name: &str| folder.path().join(name);
        let process = Command::new(program("berth-guest"))
            .args(["serve", "--listen", &format!("unix://{}", path("docker.sock").display())])
            .arg("--data-root")
            .arg(path("data"))
            .arg("--exec-root")
            .arg(path("exec"))
            .stdin(Stdio::null())
            .spawn()
            .expect("start berth-guest");
        let engine = Self { process, folder };
        engine.wait_until_it_answers();
        engine
    }

    /// The socket's path.
    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("docker.sock")
    }

    /// Runs the real `docker` client against this engine.
    ///
    /// # Panics
    /// When the client can't be started.
    pub fn docker(&self, args: &[&str]) -> Output {
        Command::new("docker")
            .args(args)
            .env("DOCKER_HOST", format!("unix://{}", self.socket().display()))
            .env("DOCKER_CONFIG", self.folder.path().join("client"))
            .stdin(Stdio::null())
            .output()
            .expect("run docker")
    }

    fn wait_until_it_answers(&self) {
        let deadline = Instant::now() + Duration::from_secs(10);
        while std::os::unix::net::UnixStream::connect(self.socket()).is_err() {
            assert!(Instant::now() < deadline, "the engine doesn't listen after 10 s");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        drop(Command::new("kill").args(["-TERM", &self.process.id().to_string()]).status());
        drop(self.process.wait());
    }
}
