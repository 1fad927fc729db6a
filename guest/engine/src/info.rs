//! What this engine and its machine are: `docker version` and `docker info`.

use crate::Engine;
use crate::container::state::Status;

/// The machine and the engine in numbers.
#[derive(Debug, Clone)]
pub struct Info {
    /// The engine's own id, the same after a restart.
    pub id: String,
    /// Containers by what they are doing: running, paused, stopped.
    pub containers: [usize; 3],
    /// How many images there are.
    pub images: usize,
    /// Linux's release.
    pub kernel: String,
    /// The distribution's name.
    pub operating_system: String,
    /// The machine's architecture, in the kernel's words.
    pub architecture: &'static str,
    /// CPUs that may be used.
    pub cpus: usize,
    /// Bytes of memory.
    pub memory: u64,
    /// The machine's name.
    pub host_name: String,
    /// cgroup v2 controllers that hold here.
    pub controllers: Vec<String>,
    /// Whether the machine passes IPv4 packets on.
    pub forwards: bool,
    /// Clients that listen to events.
    pub listeners: usize,
    /// Open descriptors of the engine.
    pub descriptors: usize,
    /// What a user should know, one sentence each.
    pub warnings: Vec<String>,
}

impl Engine {
    /// How things are.
    pub fn info(&self) -> Info {
        let mut containers = [0; 3];
        for container in self.containers.all() {
            let index = match container.state().status {
                Status::Running | Status::Restarting => 0,
                Status::Paused => 1,
                _ => 2,
            };
            containers[index] += 1;
        }
        let missing = |name: &&str| !self.controllers.iter().any(|controller| controller == name);
        let warnings = ["memory", "cpu", "pids", "cpuset", "io"].iter().filter(|name| missing(name));
        Info {
            id: self.id.clone(),
            containers,
            images: self.images.list().len(),
            kernel: read_line("/proc/sys/kernel/osrelease"),
            operating_system: operating_system(),
            architecture: std::env::consts::ARCH,
            cpus: std::thread::available_parallelism().map_or(1, usize::from),
            memory: memory(),
            host_name: host_name(),
            controllers: self.controllers.clone(),
            forwards: read_line("/proc/sys/net/ipv4/ip_forward") == "1",
            listeners: self.events.listeners(),
            descriptors: std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count),
            warnings: warnings.map(|name| format!("WARNING: No {name} limit support")).collect(),
        }
    }
}

/// The machine's name.
pub(crate) fn host_name() -> String {
    read_line("/proc/sys/kernel/hostname")
}

fn read_line(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_default().trim().to_owned()
}

fn operating_system() -> String {
    let text = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    let name = text.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
    name.map_or_else(|| "Linux".to_owned(), |name| name.trim_matches('"').to_owned())
}

/// Bytes of memory.
pub(crate) fn memory() -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kilobytes = text.lines().find_map(|line| line.strip_prefix("MemTotal:")?.split_whitespace().next());
    kilobytes.and_then(|number| number.parse::<u64>().ok()).unwrap_or_default() * 1024
}
