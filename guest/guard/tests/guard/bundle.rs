//! A container made of busybox and nothing else.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use berth_guard::{LAUNCH_FILE, Launch, LogDriver, StdinMode};
use serde_json::{Value, json};

/// Whether containers can be made here; prints why the test is skipped when not.
pub(crate) fn need_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    let is_root = std::fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0);
    if !is_root {
        eprintln!("skipped: containers need root");
    }
    let has_busybox = Path::new("/bin/busybox").exists();
    if !has_busybox {
        eprintln!("skipped: /bin/busybox (package busybox-static) isn't installed");
    }
    is_root && has_busybox
}

/// Where a cgroup v2 hierarchy is mounted.
pub(crate) fn cgroup_mount() -> Option<PathBuf> {
    let table = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    let mount = table
        .lines()
        .find(|line| line.contains(" - cgroup2 "))
        .map(|line| PathBuf::from(line.split(' ').nth(4).unwrap()));
    if mount.is_none() {
        eprintln!("without cgroups: no cgroup v2 hierarchy is mounted");
    }
    mount
}

/// A guard's folder with a bundle in it; change `spec` and `launch`, then [`write`](Self::write).
pub(crate) struct Bundle {
    pub(crate) folder: Arc<tempfile::TempDir>,
    pub(crate) spec: Value,
    pub(crate) launch: Launch,
}

impl Bundle {
    /// A container that runs `script` in busybox's shell.
    pub(crate) fn sh(script: &str) -> Self {
        let folder = Arc::new(tempfile::tempdir().unwrap());
        let root = folder.path().join("rootfs");
        for name in ["bin", "etc", "proc", "sys", "dev", "tmp"] {
            std::fs::create_dir_all(root.join(name)).unwrap();
        }
        std::fs::copy("/bin/busybox", root.join("bin/busybox")).unwrap();
        for name in ["sh", "cat", "echo", "sleep", "stty", "tty", "id", "ls", "stat", "kill", "mount", "true"]
        {
            std::os::unix::fs::symlink("busybox", root.join("bin").join(name)).unwrap();
        }
        let id = folder.path().file_name().unwrap().to_str().unwrap().trim_start_matches('.').to_owned();
        let launch = Launch {
            id: id.clone(),
            bundle: folder.path().into(),
            cgroup_mount: cgroup_mount(),
            cgroup_path: format!("berth-test-{id}"),
            guard_cgroup: None,
            open_files: None,
            terminal: false,
            size: None,
            stdin: StdinMode::None,
            log: LogDriver::None,
            log_buffer: None,
        };
        Self { folder, spec: spec(&["sh", "-c", script]), launch }
    }

    /// The container's root as the machine sees it.
    pub(crate) fn root(&self) -> PathBuf {
        self.folder.path().join("rootfs")
    }

    /// Writes what the guard reads.
    pub(crate) fn write(&self) {
        let write =
            |name: &str, bytes: Vec<u8>| std::fs::write(self.folder.path().join(name), bytes).unwrap();
        write("config.json", serde_json::to_vec(&self.spec).unwrap());
        write(LAUNCH_FILE, serde_json::to_vec(&self.launch).unwrap());
    }
}

/// Docker's default capabilities.
pub(crate) const CAPABILITIES: [&str; 14] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FSETID",
    "CAP_FOWNER",
    "CAP_MKNOD",
    "CAP_NET_RAW",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETFCAP",
    "CAP_SETPCAP",
    "CAP_NET_BIND_SERVICE",
    "CAP_SYS_CHROOT",
    "CAP_KILL",
    "CAP_AUDIT_WRITE",
];

/// A process as an exec request holds it.
pub(crate) fn process(args: &[&str]) -> Value {
    json!({
        "user": {"uid": 0, "gid": 0},
        "args": args,
        "env": ["PATH=/usr/bin:/bin", "TERM=xterm"],
        "cwd": "/",
        "capabilities": {"bounding": CAPABILITIES, "effective": CAPABILITIES, "permitted": CAPABILITIES},
    })
}

fn spec(args: &[&str]) -> Value {
    let proc_options = ["nosuid", "noexec", "nodev"];
    json!({
        "ociVersion": "1.2.0",
        "root": {"path": "rootfs"},
        "hostname": "berth-test",
        "process": process(args),
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc", "options": proc_options},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs",
             "options": ["nosuid", "strictatime", "mode=755", "size=65536k"]},
            {"destination": "/dev/pts", "type": "devpts", "source": "devpts",
             "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]},
            {"destination": "/sys", "type": "sysfs", "source": "sysfs",
             "options": ["nosuid", "noexec", "nodev", "ro"]},
            {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup",
             "options": ["ro", "nosuid", "noexec", "nodev"]},
            {"destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue", "options": proc_options},
            {"destination": "/dev/shm", "type": "tmpfs", "source": "shm",
             "options": ["nosuid", "noexec", "nodev", "mode=1777", "size=67108864"]},
        ],
        "linux": {
            "namespaces": [
                {"type": "mount"}, {"type": "pid"}, {"type": "network"}, {"type": "ipc"}, {"type": "uts"},
                {"type": "cgroup"},
            ],
            "maskedPaths": ["/proc/kcore", "/proc/acpi", "/proc/keys", "/sys/firmware", "/proc/timer_list"],
            "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
        },
    })
}
