//! What a machine is made of. The host daemon writes it as JSON for its vmm process.

use std::net::SocketAddrV4;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// One machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Config {
    /// The kernel, an uncompressed `vmlinux` with a PVH entry.
    pub kernel: PathBuf,
    /// The read-only root, an EROFS image.
    pub root: PathBuf,
    /// The data disk: a sparse file, made when it isn't there.
    pub data_disk: PathBuf,
    /// The data disk's size as the guest sees it. A smaller file grows to it; it never shrinks.
    pub data_disk_bytes: u64,
    /// A folder for sockets and logs, on a short path: a socket's may have 107 bytes.
    pub run_dir: PathBuf,
    /// Memory.
    pub memory_mib: u32,
    /// CPUs.
    pub cpus: u32,
    /// Folders of the host that the guest may see; at most what this process's user may.
    #[serde(default)]
    pub shares: Vec<Share>,
    /// The only way from the guest to the host's network: each guest address leads to one port of the host's
    /// loopback.
    pub forwards: Vec<HostForward>,
    /// The program, with its leading arguments, that carries one such connection between its standard input and
    /// an address given as the last argument ([`crate::process::relay`]).
    pub relay: Vec<String>,
}

/// One shared folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share {
    /// Its name in the root of what the guest mounts.
    pub name: String,
    /// Where it is.
    pub folder: PathBuf,
}

/// One way from the guest to the host's loopback.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostForward {
    /// Where the guest connects; the address lies in [`GUEST_NETWORK`] and is [`HOST_ALIAS`] for
    /// `host.docker.internal`.
    pub guest: SocketAddrV4,
    /// The port of 127.0.0.1 that it leads to.
    pub host_port: u16,
}

/// The network between machine and guest, seen only there.
pub const GUEST_NETWORK: &str = "10.0.2.0/24";
/// The guest's own address in it.
pub const GUEST_ADDRESS: &str = "10.0.2.15/24";
/// The guest's way out.
pub const GUEST_GATEWAY: &str = "10.0.2.2";
/// What `host.docker.internal` means in the guest.
pub const HOST_ALIAS: std::net::Ipv4Addr = std::net::Ipv4Addr::new(10, 0, 2, 100);

impl Config {
    /// Where clients reach the guest's vsock ports.
    pub fn vsock_socket(&self) -> PathBuf {
        self.run_dir.join("vsock.sock")
    }

    /// The guest's console.
    pub fn serial_log(&self) -> PathBuf {
        self.run_dir.join("serial.log")
    }

    /// What the emulator itself says.
    pub(crate) fn emulator_log(&self) -> PathBuf {
        self.run_dir.join("emulator.log")
    }

    /// Where the emulator reaches our file system device.
    pub(crate) fn folders_socket(&self) -> PathBuf {
        self.run_dir.join("folders.sock")
    }

    /// Where the emulator reaches our vsock device.
    pub(crate) fn device_socket(&self) -> PathBuf {
        self.run_dir.join("device.sock")
    }
}
