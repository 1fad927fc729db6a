//! Where the daemon keeps its things and what machine it runs.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use vmm::config::{Config, HOST_ALIAS, HostForward};

/// The daemon's settings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// Sockets and logs; ends with the session.
    pub run_dir: PathBuf,
    /// The data disk.
    pub data_dir: PathBuf,
    /// `vmlinux` and `root.erofs`.
    pub image_dir: PathBuf,
    /// The program that is this daemon, with its leading arguments: it is started again with `vmm CONFIG` for the
    /// machine and with `relay ADDRESS` for each connection to the host's loopback.
    pub relaunch: Vec<String>,
    /// The machine's memory.
    pub memory_mib: u32,
    /// The machine's CPUs.
    pub cpus: u32,
    /// The data disk's size as the guest sees it; the file is sparse.
    pub disk_bytes: u64,
    /// Ports of the host's loopback that containers reach as `host.docker.internal:port`.
    pub host_ports: Vec<u16>,
    /// The user's daemon.json, as text.
    pub daemon_json: String,
}

impl Settings {
    /// The usual places of this user: `$XDG_RUNTIME_DIR/berth`, else `~/.berth/run`; data in `~/.berth/data`.
    pub fn of_user(image_dir: PathBuf, relaunch: Vec<String>) -> Self {
        let home = std::env::var_os("HOME").map_or_else(|| PathBuf::from("/"), PathBuf::from);
        let session = std::env::var_os("XDG_RUNTIME_DIR").filter(|dir| !dir.is_empty());
        let run_dir = session.map_or_else(|| home.join(".berth/run"), |dir| PathBuf::from(dir).join("berth"));
        let cpus = std::thread::available_parallelism().map_or(2, usize::from);
        Self {
            run_dir,
            data_dir: home.join(".berth/data"),
            image_dir,
            relaunch,
            memory_mib: 2048,
            cpus: u32::try_from(cpus.min(8)).unwrap_or(2),
            disk_bytes: 64 << 30,
            host_ports: Vec::new(),
            daemon_json: String::new(),
        }
    }

    /// Where Docker clients connect.
    pub fn docker_socket(&self) -> PathBuf {
        self.run_dir.join("docker.sock")
    }

    /// Where the window and the command line connect ([`protocol::control`]).
    pub fn control_socket(&self) -> PathBuf {
        self.run_dir.join("control.sock")
    }

    /// The guest's ports.
    pub fn vsock_socket(&self) -> PathBuf {
        self.vmm_config().vsock_socket()
    }

    /// What the machine's process is told.
    pub fn vmm_config(&self) -> Config {
        let forward = |port: &u16| HostForward {
            guest: std::net::SocketAddrV4::new(HOST_ALIAS, *port),
            host_port: *port,
        };
        let mut relay = self.relaunch.clone();
        relay.push("relay".to_owned());
        Config {
            kernel: self.image_dir.join("vmlinux"),
            root: self.image_dir.join("root.erofs"),
            data_disk: self.data_dir.join("data.img"),
            data_disk_bytes: self.disk_bytes,
            run_dir: self.run_dir.join("vm"),
            memory_mib: self.memory_mib,
            cpus: self.cpus,
            forwards: self.host_ports.iter().map(forward).collect(),
            relay,
        }
    }
}
