//! The command and its daemon as a user runs them: the real machine starts on demand, is restarted when it crashed,
//! is stopped in order, and leaves nothing.

#![expect(clippy::unwrap_used, reason = "a test's panic is its report")]

use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use protocol::control::{Reply, Request, Status, Wish};
use protocol::frame;
use protocol::machine::{Kind, State};

const PATIENCE: Duration = Duration::from_secs(90);

fn image_dir() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/berth/vm"))
}

/// Whether emulator and image are there; prints what isn't.
fn need_machine() -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let emulator = std::env::split_paths(&path).any(|folder| folder.join("qemu-system-x86_64").is_file());
    let there = emulator && image_dir().join("root.erofs").is_file();
    if !there {
        eprintln!("skipped: QEMU or the VM image isn't there (`cargo xtask setup`, `cargo xtask image`)");
    }
    there
}

/// A user of this machine: a home and a program of its own.
struct User(tempfile::TempDir);

impl User {
    /// The program lies beside the image that it boots.
    fn new(image_dir: &Path) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("berth-program");
        std::fs::create_dir(&program).unwrap();
        let built = env!("CARGO_BIN_EXE_berth");
        let linked = std::fs::hard_link(built, program.join("berth"));
        linked.or_else(|_| std::fs::copy(built, program.join("berth")).map(drop)).unwrap();
        std::os::unix::fs::symlink(image_dir, program.join("vm")).unwrap();
        Self(folder)
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(self.0.path().join("berth-program/berth"));
        command.args(args).env("HOME", self.0.path()).env("XDG_RUNTIME_DIR", self.0.path());
        for name in ["DOCKER_HOST", "DOCKER_CONFIG", "XDG_CONFIG_HOME"] {
            command.env_remove(name);
        }
        command.stdin(Stdio::null());
        command
    }

    /// Runs the command, which must succeed; returns what it printed.
    fn ok(&self, args: &[&str]) -> String {
        let output = self.command(args).output().unwrap();
        assert!(output.status.success(), "berth {args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Processes that hold this user's folder on their command line.
    fn processes(&self) -> Vec<u32> {
        let folder = self.0.path().to_str().unwrap();
        let ids = std::fs::read_dir("/proc").unwrap().filter_map(Result::ok);
        let ids = ids.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        ids.filter(|id: &u32| {
            let line = std::fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&line).contains(folder)
        })
        .collect()
    }

    fn daemon(&self) -> u32 {
        let text = std::fs::read_to_string(self.0.path().join("berth/hostd.lock")).unwrap();
        text.trim().parse().unwrap()
    }
}

/// A daemon on folders of its own.
struct Daemon {
    process: Child,
    folder: User,
}

impl Daemon {
    fn start(image_dir: &Path) -> Self {
        let folder = User::new(image_dir);
        let process = folder.command(&["daemon"]).spawn().unwrap();
        let daemon = Self { process, folder };
        let deadline = Instant::now() + PATIENCE;
        while UnixStream::connect(daemon.path("control.sock")).is_err() {
            assert!(Instant::now() < deadline, "the daemon doesn't listen");
            std::thread::sleep(Duration::from_millis(10));
        }
        daemon
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.0.path().join("berth").join(name)
    }

    fn wish(&self, wish: Wish) -> Conversation {
        let mut stream = UnixStream::connect(self.path("control.sock")).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let request = Request { version: protocol::VERSION, wish };
        stream.write_all(&frame::encode(&request).unwrap()).unwrap();
        Conversation(stream)
    }

    fn ping(&self) -> String {
        let mut stream = UnixStream::connect(self.path("docker.sock")).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(b"GET /_ping HTTP/1.1\r\nHost: docker\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    /// The emulator's process, found by the machine's own folder on its command line.
    fn emulator(&self) -> Option<u32> {
        let folder = self.folder.0.path().to_str().unwrap().to_owned();
        let processes = std::fs::read_dir("/proc").unwrap().filter_map(Result::ok);
        let mut ids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
        ids.find(|id| {
            let line = std::fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
            let line = String::from_utf8_lossy(&line).into_owned();
            line.contains("qemu-system") && line.contains(&folder)
        })
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// What the daemon answers, one status after the other.
struct Conversation(UnixStream);

impl Conversation {
    fn until(&mut self, wanted: impl Fn(&Status) -> bool) -> Status {
        loop {
            let mut prefix = [0; frame::PREFIX];
            self.0.read_exact(&mut prefix).unwrap();
            let mut body = vec![0; frame::body_length(prefix).unwrap()];
            self.0.read_exact(&mut body).unwrap();
            let Reply::Status(status) = frame::decode(&body).unwrap() else { panic!("refused") };
            if wanted(&status) {
                return status;
            }
        }
    }
}

fn kill(process: u32) {
    assert!(Command::new("kill").args(["-KILL", &process.to_string()]).status().unwrap().success());
}

fn is_running(status: &Status) -> bool {
    assert_ne!(status.state, State::Failed, "{:?}", status.problem);
    status.state == State::Running
}

#[test]
fn a_machine_starts_is_restarted_after_a_crash_and_stops_in_order() {
    if !need_machine() {
        return;
    }
    let mut daemon = Daemon::start(&image_dir());
    let mode = daemon.path("docker.sock").metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let status = daemon.wish(Wish::Start { machine: Kind::Auto }).until(is_running);
    for phase in &status.phases {
        eprintln!("{:>5} ms {:>5} ms {}", phase.began_ms, phase.took_ms.unwrap(), phase.name);
    }
    assert!(daemon.ping().contains("200 OK"));

    let mut followed = daemon.wish(Wish::Follow);
    followed.until(is_running);
    kill(daemon.emulator().unwrap());
    followed.until(|status| status.state == State::Starting);
    followed.until(is_running);
    assert!(daemon.ping().contains("200 OK"));

    daemon.wish(Wish::Stop).until(|status| status.state == State::Stopped);
    assert!(daemon.process.wait().unwrap().success());
    assert_eq!(daemon.emulator(), None);
    assert!(!daemon.path("docker.sock").exists());
}

#[test]
fn a_machine_whose_daemon_was_killed_ends_in_order() {
    if !need_machine() {
        return;
    }
    let mut daemon = Daemon::start(&image_dir());
    daemon.wish(Wish::Start { machine: Kind::Emulated }).until(is_running);
    assert!(daemon.emulator().is_some());
    kill(daemon.process.id());
    daemon.process.wait().unwrap();
    let deadline = Instant::now() + Duration::from_secs(15);
    while daemon.emulator().is_some() {
        assert!(Instant::now() < deadline, "the machine outlives its daemon");
        std::thread::sleep(Duration::from_millis(50));
    }
    let console = std::fs::read_to_string(daemon.path("vm/serial.log")).unwrap();
    assert!(console.contains("reboot: Restarting system"), "it didn't power off in order:\n{console}");
}

#[test]
fn a_missing_image_is_a_problem_with_a_way_out() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(folder.path());
    let status =
        daemon.wish(Wish::Start { machine: Kind::Auto }).until(|status| status.state == State::Failed);
    let problem = status.problem.unwrap();
    assert_eq!(problem.code, protocol::control::ProblemCode::ImageMissing);
    assert!(problem.message.contains("cargo xtask image"), "{}", problem.message);
}

#[test]
fn the_machine_starts_on_demand_is_shared_and_leaves_nothing() {
    if !need_machine() {
        return;
    }
    let user = User::new(&image_dir());
    let before: serde_json::Value = serde_json::from_str(&user.ok(&["status", "--json"])).unwrap();
    assert_eq!(before["state"], "stopped");
    assert!(user.ok(&["ps"]).starts_with("CONTAINER ID"));
    let status: serde_json::Value = serde_json::from_str(&user.ok(&["status", "--json"])).unwrap();
    assert_eq!(status["state"], "running");
    let phases = status["phases"].as_array().unwrap();
    assert!(
        phases.len() >= 5
            && phases.iter().all(|phase| phase["took_ms"].is_u64() && phase["deadline_ms"].is_u64())
    );

    let daemon = user.daemon();
    user.ok(&["start", "--use"]);
    assert_eq!(user.daemon(), daemon, "a second start is a second daemon");
    let contexts = user.0.path().join(".docker/contexts/meta");
    let context = std::fs::read_dir(&contexts).unwrap().next().unwrap().unwrap().path().join("meta.json");
    assert!(std::fs::read_to_string(context).unwrap().contains("berth/docker.sock"));
    let config = std::fs::read_to_string(user.0.path().join(".docker/config.json")).unwrap();
    assert!(config.contains(r#""currentContext": "berth""#), "{config}");

    user.ok(&["stop"]);
    assert_eq!(user.processes(), Vec::<u32>::new());
    assert_eq!(std::fs::read_dir(&contexts).unwrap().count(), 0);
    let config = std::fs::read_to_string(user.0.path().join(".docker/config.json")).unwrap();
    assert!(!config.contains("currentContext"), "{config}");
}

#[test]
fn after_a_killed_daemon_the_next_command_starts_all_again() {
    if !need_machine() {
        return;
    }
    let user = User::new(&image_dir());
    user.ok(&["start"]);
    let first = user.daemon();
    kill(first);
    // At once: the machine of the killed daemon may still power off.
    user.ok(&["start"]);
    assert_ne!(user.daemon(), first);
    assert!(user.ok(&["images"]).starts_with("REPOSITORY"));
    user.ok(&["stop"]);
    let deadline = Instant::now() + Duration::from_secs(15);
    while !user.processes().is_empty() {
        assert!(Instant::now() < deadline, "left: {:?}", user.processes());
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn settings_with_an_unknown_key_are_refused_by_name() {
    let user = User::new(Path::new("/nowhere"));
    let folder = user.0.path().join(".config/berth");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("settings.json"), r#"{ "memory": 1 }"#).unwrap();
    let output = user.command(&["start"]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1));
    assert!(said.contains("settings.json") && said.contains("unknown field `memory`"), "{said}");
}
