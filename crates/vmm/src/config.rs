//! What a machine is made of. The host daemon writes it as JSON for its vmm process.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4};
use std::path::PathBuf;

use protocol::port::Door;
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
    /// What carries their requests.
    #[serde(default)]
    pub shares_over: SharesOver,
    /// The only way from the guest to the host itself: each guest address leads to one port of the host's loopback.
    pub forwards: Vec<HostForward>,
    /// Names the resolvers that answer the guest's questions, as resolv.conf(5).
    pub resolvers: PathBuf,
}

/// One shared folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share {
    /// Its name in the root of what the guest mounts.
    pub name: String,
    /// Where it is.
    pub folder: PathBuf,
}

/// What carries requests for shared folders.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SharesOver {
    /// Queues of a device.
    #[default]
    VirtioFs,
    /// A stream, for machines that can't have that device.
    Vsock,
}

/// One way from the guest to the host's loopback.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostForward {
    /// Where the guest connects; the address is [`HOST_ALIAS`] for `host.docker.internal`.
    pub guest: SocketAddrV4,
    /// The port of 127.0.0.1 that it leads to.
    pub host_port: u16,
}

/// The guest's own address in the network between it and the machine, which is seen only there.
pub const GUEST_ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 15);
/// The length of that network's prefix.
pub const GUEST_PREFIX: u8 = 24;
/// The guest's way out, and its resolver.
pub const GUEST_GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 2);
/// What `host.docker.internal` means in the guest.
pub const HOST_ALIAS: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 100);
/// The resolver by IPv6; the guest's own addresses share its first 64 bits (RFC 4193).
pub const GUEST_GATEWAY_V6: Ipv6Addr = Ipv6Addr::new(0xfd62, 0x6572, 0x7468, 0, 0, 0, 0, 2);
/// The guest's way out by IPv6.
pub const GUEST_ROUTER_V6: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 2);
/// How published connections come into the guest's network; the hardware address is local, and none that QEMU gives.
pub const DOOR: Door = Door {
    hardware: [0x52, 0x55, 10, 0, 2, 3],
    hidden: (GUEST_GATEWAY, GUEST_GATEWAY_V6),
    router: GUEST_ROUTER_V6,
};

impl Config {
    /// Where clients reach the guest's vsock ports.
    pub fn vsock_socket(&self) -> PathBuf {
        self.run_dir.join("vsock.sock")
    }

    /// Where connections to published ports are handed over ([`crate::handover`]).
    pub fn door_socket(&self) -> PathBuf {
        self.run_dir.join("door.sock")
    }

    /// The guest's console.
    pub fn serial_log(&self) -> PathBuf {
        self.run_dir.join("serial.log")
    }

    /// What the emulator itself says.
    pub(crate) fn emulator_log(&self) -> PathBuf {
        self.run_dir.join("emulator.log")
    }

    /// Whether the machine has a file system device.
    pub(crate) fn has_folders_device(&self) -> bool {
        !self.shares.is_empty() && self.shares_over == SharesOver::VirtioFs
    }

    /// Where the emulator reaches our file system device.
    pub(crate) fn folders_socket(&self) -> PathBuf {
        self.run_dir.join("folders.sock")
    }

    /// Where the emulator hands over the frames of the guest's card.
    pub(crate) fn network_socket(&self) -> PathBuf {
        self.run_dir.join("network.sock")
    }

    /// Where the emulator reaches our vsock device.
    pub(crate) fn device_socket(&self) -> PathBuf {
        self.run_dir.join("device.sock")
    }
}
