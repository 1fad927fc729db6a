//! A bundle with busybox, and the command on it. When dropped, nothing of it is left.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// How long anything may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A bundle and a folder for `--root`.
pub(crate) struct Bundle {
    folder: tempfile::TempDir,
    pub(crate) id: String,
    pub(crate) spec: Value,
}

/// A bundle that runs `script`; `None`, with the reason on standard error, where containers can't be made.
pub(crate) fn bundle(script: &str) -> Option<Bundle> {
    let busybox = Path::new("/bin/busybox");
    if !rustix::process::geteuid().is_root() || !busybox.exists() {
        eprintln!("skipped: needs root and a static /bin/busybox");
        return None;
    }
    let folder = tempfile::tempdir().unwrap();
    let bin = folder.path().join("rootfs/bin");
    std::fs::create_dir_all(&bin).unwrap();
    std::fs::copy(busybox, bin.join("busybox")).unwrap();
    for name in ["sh", "sleep", "cat", "id", "true", "test", "grep", "mount"] {
        std::os::unix::fs::symlink("busybox", bin.join(name)).unwrap();
    }
    let name = folder.path().file_name().unwrap().to_string_lossy().trim_start_matches('.').to_owned();
    let spec = json!({
        "ociVersion": "1.2.0",
        "root": { "path": "rootfs" },
        "process": {
            "args": ["sh", "-c", script],
            "cwd": "/",
            "env": ["PATH=/bin"],
            "user": { "uid": 0, "gid": 0 },
        },
        "mounts": [
            { "destination": "/proc", "type": "proc", "source": "proc" },
            { "destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["mode=755"] },
            { "destination": "/dev/pts", "type": "devpts", "source": "devpts", "options": ["newinstance", "ptmxmode=0666"] },
        ],
        "linux": {
            "cgroupsPath": format!("/berth-runtime-test/{name}"),
            "namespaces": [{ "type": "pid" }, { "type": "mount" }, { "type": "uts" }, { "type": "ipc" }],
        },
    });
    Some(Bundle { folder, id: name, spec })
}

impl Bundle {
    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The command with `arguments`, where `ID` stands for the container.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_berth-runtime"));
        command.arg("--root").arg(self.path().join("root"));
        command.args(arguments.iter().map(|word| if *word == "ID" { &self.id } else { *word }));
        command.current_dir(self.path()).stdin(Stdio::null());
        command
    }

    /// Runs it; its output goes to a file, since containers inherit it, and to a new one each time, for the same reason.
    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        let (out, err) = (self.path().join("out"), self.path().join("err"));
        let file = |path: &PathBuf| {
            drop(std::fs::remove_file(path));
            std::fs::File::create_new(path).unwrap()
        };
        let status = self.command(arguments).stdout(file(&out)).stderr(file(&err)).status().unwrap();
        Output { status, stdout: std::fs::read(out).unwrap(), stderr: std::fs::read(err).unwrap() }
    }

    /// What it prints; it must succeed.
    pub(crate) fn ok(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// What it says; it must fail.
    pub(crate) fn refused(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(!output.status.success(), "{arguments:?} succeeded");
        String::from_utf8(output.stderr).unwrap()
    }

    /// Writes config.json and creates.
    pub(crate) fn create(&self) {
        self.write();
        self.ok(&["create", "ID"]);
    }

    /// Writes config.json, runs to the end; code and output.
    pub(crate) fn run_through(&self) -> (Option<i32>, String) {
        self.write();
        let output = self.run(&["run", "ID"]);
        let text = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(text).unwrap())
    }

    pub(crate) fn write(&self) {
        std::fs::write(self.path().join("config.json"), self.spec.to_string()).unwrap();
    }

    pub(crate) fn state(&self) -> Value {
        serde_json::from_str(&self.ok(&["state", "ID"])).unwrap()
    }

    /// Waits until the status is `wanted`.
    pub(crate) fn await_status(&self, wanted: &str) {
        await_that(|| self.state()["status"] == wanted, &format!("status {wanted}"));
    }

    /// The container's cgroup.
    pub(crate) fn cgroup(&self) -> PathBuf {
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        let line = mounts.lines().find(|line| line.contains(" - cgroup2 ")).unwrap();
        Path::new(line.split(' ').nth(4).unwrap()).join("berth-runtime-test").join(&self.id)
    }

    /// Nothing is left: no record, no cgroup, no mount, no process.
    pub(crate) fn assert_gone(&self) {
        assert!(!self.path().join("root").join(&self.id).exists(), "a record is left");
        assert!(!self.cgroup().exists(), "a cgroup is left");
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        assert!(!mounts.contains(self.path().to_str().unwrap()), "a mount is left");
    }
}

impl Drop for Bundle {
    fn drop(&mut self) {
        let _ = self.run(&["delete", "--force", "ID"]);
    }
}

/// Waits for a condition.
pub(crate) fn await_that(mut holds: impl FnMut() -> bool, what: &str) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "{what} didn't come true");
        std::thread::sleep(Duration::from_millis(5));
    }
}
