//! A machine of the test's own, started with the `berth` command in a home of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::condition::eventually;
use crate::engine::{SOCKET, Said, said};
use crate::guard::need_program;
use crate::image;

/// A user with a running machine. When dropped, the machine is stopped.
pub struct Machine {
    home: tempfile::TempDir,
}

impl Machine {
    /// Starts one with `busybox:latest` loaded; none, with the reason printed, where this machine can't run one.
    ///
    /// # Panics
    /// When it doesn't start.
    pub fn with_busybox() -> Option<Self> {
        let machine = Self::stopped()?;
        machine.start_with_busybox();
        Some(machine)
    }

    /// Starts it, and loads `busybox:latest`.
    ///
    /// # Panics
    /// When it doesn't start.
    pub fn start_with_busybox(&self) {
        self.ok(&["start"]);
        let archive = image::busybox(self.home.path());
        self.ok(&["load", "--quiet", "--input", &archive.to_string_lossy()]);
    }

    /// A user whose machine doesn't run yet; none, with the reason printed, where this machine can't run one.
    ///
    /// # Panics
    /// When no home can be made.
    pub fn stopped() -> Option<Self> {
        if std::env::var_os(SOCKET).is_some() {
            eprintln!("skipped: this has a machine of its own, and is among the native tests");
            return None;
        }
        let built = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../target/berth"));
        if !built.join("berth").exists() || !built.join("vm/root.erofs").exists() {
            eprintln!("skipped: the command or the VM's image isn't built (`cargo xtask build`, `image`)");
            return None;
        }
        if !need_program("qemu-system-x86_64") {
            return None;
        }
        Some(Self { home: tempfile::tempdir().expect("make a home") })
    }

    /// Gives its user a `daemon.json`, before the machine starts.
    ///
    /// # Panics
    /// When it can't be written.
    pub fn configure(&self, daemon_json: &str) {
        fs::write(self.config_dir().join("daemon.json"), daemon_json).expect("write daemon.json");
    }

    /// The folder of its user's settings.
    ///
    /// # Panics
    /// When it can't be made.
    pub fn config_dir(&self) -> PathBuf {
        let folder = self.home.path().join(".config/berth");
        fs::create_dir_all(&folder).expect("make the folder of settings");
        folder
    }

    /// The file that is the machine's data disk.
    pub fn data_disk(&self) -> PathBuf {
        self.home.path().join(".berth/data/data.img")
    }

    /// Runs the `berth` command to its end.
    ///
    /// # Panics
    /// When it can't be started.
    pub fn berth(&self, args: &[&str]) -> Said {
        self.run(concat!(env!("CARGO_MANIFEST_DIR"), "/../target/berth/berth"), args)
    }

    /// Runs the `docker` client, aimed at the machine, to its end.
    ///
    /// # Panics
    /// When it can't be started.
    pub fn docker(&self, args: &[&str]) -> Said {
        self.run("docker", args)
    }

    /// Runs the `berth` command, which must succeed; returns what it printed.
    ///
    /// # Panics
    /// When it fails.
    pub fn ok(&self, args: &[&str]) -> String {
        let said = self.berth(args);
        assert_eq!(said.code, 0, "berth {}: {} {}", args.join(" "), said.out, said.err);
        said.out
    }

    /// What `docker inspect` tells of a container, through a template.
    ///
    /// # Panics
    /// When there is no such container.
    pub fn inspect(&self, name: &str, template: &str) -> String {
        let said = self.docker(&["inspect", "--format", template, name]);
        assert_eq!(said.code, 0, "{}", said.err);
        said.out
    }

    /// Kills the emulator without a warning, and waits until the daemon has started the machine again.
    ///
    /// # Panics
    /// When there is no emulator, or the machine doesn't come back.
    pub fn crash(&self) {
        let emulator = self.emulator().expect("an emulator runs");
        kill(&emulator.to_string());
        eventually("another emulator runs", || self.emulator().filter(|process| *process != emulator));
        eventually("the machine is back", || (self.docker(&["version"]).code == 0).then_some(()));
    }

    /// Kills the emulator without a warning.
    ///
    /// # Panics
    /// When there is none.
    pub fn lose_emulator(&self) {
        kill(&self.emulator().expect("an emulator runs").to_string());
    }

    /// Kills the host daemon without a warning, and waits until the emulator, which is told by that alone, has ended.
    ///
    /// # Panics
    /// When there is no daemon, or the emulator goes on.
    pub fn lose_daemon(&self) {
        let daemon = fs::read_to_string(self.home.path().join("berth/hostd.lock")).expect("a daemon runs");
        kill(daemon.trim());
        eventually("the emulator ends", || self.emulator().is_none().then_some(()));
    }

    fn emulator(&self) -> Option<u32> {
        emulator_of(self.home.path())
    }

    /// Makes a folder of its user's home, which is shared.
    ///
    /// # Panics
    /// When it can't be made.
    pub fn folder(&self, name: &str) -> PathBuf {
        let folder = self.home.path().join(name);
        fs::create_dir(&folder).expect("make a folder");
        folder
    }

    /// A program of its user: the `docker` client is aimed at the machine.
    pub fn client(&self, program: &str, args: &[&str]) -> Command {
        let home = self.home.path();
        let mut command = Command::new(program);
        command.args(args).stdin(Stdio::null());
        command.env("HOME", home).env("XDG_RUNTIME_DIR", home).env_remove("XDG_CONFIG_HOME");
        command.env_remove("XDG_DATA_HOME").env_remove("DOCKER_CONFIG").env_remove("DOCKER_HOST");
        if program == "docker" {
            command.env("DOCKER_HOST", format!("unix://{}", home.join("berth/docker.sock").display()));
        }
        command
    }

    fn run(&self, program: &str, args: &[&str]) -> Said {
        said(&self.client(program, args).output().expect("run a client"))
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.berth(&["stop"]);
    }
}

/// The emulator of the user whose home this is, known by the home on its command line.
pub fn emulator_of(home: &Path) -> Option<u32> {
    let home = home.to_string_lossy();
    let processes = fs::read_dir("/proc").expect("list processes").filter_map(Result::ok);
    let mut ids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    ids.find(|id| {
        let line = fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line);
        line.contains("qemu-system") && line.contains(home.as_ref())
    })
}

/// Kills a process without a warning.
///
/// # Panics
/// When there is no such process.
pub fn kill(process: &str) {
    let killed = Command::new("kill").args(["-KILL", process]).status();
    assert!(killed.expect("run kill").success());
}
