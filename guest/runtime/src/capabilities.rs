//! Capabilities by name and number, and what this process may hand out.

use oci_spec::runtime::{Capabilities, Capability};

use crate::sys;

/// The highest number that Linux 6.12 knows; asking about more is refused by the kernel.
const LAST: u64 = 40;

/// The capabilities that this process may give to a container: its own bounding set. Callers intersect what a
/// user asks for with it, to say what is missing; the runtime intersects in any case.
pub fn available() -> Capabilities {
    ALL.iter()
        .filter(|(capability, _)| bounding() & (1 << number(*capability)) != 0)
        .map(|(capability, _)| *capability)
        .collect()
}

/// The bounding set as bits.
pub(crate) fn bounding() -> u64 {
    (0..=LAST)
        .filter(|number| sys::prctl(libc::PR_CAPBSET_READ, *number).is_ok_and(|held| held == 1))
        .fold(0, |bits, number| bits | 1 << number)
}

/// The names (`CAP_CHOWN`) of a set of bits, as /proc/<pid>/status writes it.
pub fn names(bits: u64) -> Vec<String> {
    let named = |(capability, number): &(Capability, u64)| {
        let name = capability.to_string();
        (bits & (1 << number) != 0).then(|| format!("CAP_{}", name.trim_start_matches("CAP_")))
    };
    ALL.iter().filter_map(named).collect()
}

/// A set as bits.
pub(crate) fn bits(set: Option<&Capabilities>) -> u64 {
    set.into_iter().flatten().fold(0, |bits, capability| bits | 1 << number(*capability))
}

fn number(capability: Capability) -> u64 {
    ALL.iter().find(|(each, _)| *each == capability).map_or(63, |(_, number)| *number)
}

/// `linux/capability.h`.
const ALL: [(Capability, u64); 41] = [
    (Capability::Chown, 0),
    (Capability::DacOverride, 1),
    (Capability::DacReadSearch, 2),
    (Capability::Fowner, 3),
    (Capability::Fsetid, 4),
    (Capability::Kill, 5),
    (Capability::Setgid, 6),
    (Capability::Setuid, 7),
    (Capability::Setpcap, 8),
    (Capability::LinuxImmutable, 9),
    (Capability::NetBindService, 10),
    (Capability::NetBroadcast, 11),
    (Capability::NetAdmin, 12),
    (Capability::NetRaw, 13),
    (Capability::IpcLock, 14),
    (Capability::IpcOwner, 15),
    (Capability::SysModule, 16),
    (Capability::SysRawio, 17),
    (Capability::SysChroot, 18),
    (Capability::SysPtrace, 19),
    (Capability::SysPacct, 20),
    (Capability::SysAdmin, 21),
    (Capability::SysBoot, 22),
    (Capability::SysNice, 23),
    (Capability::SysResource, 24),
    (Capability::SysTime, 25),
    (Capability::SysTtyConfig, 26),
    (Capability::Mknod, 27),
    (Capability::Lease, 28),
    (Capability::AuditWrite, 29),
    (Capability::AuditControl, 30),
    (Capability::Setfcap, 31),
    (Capability::MacOverride, 32),
    (Capability::MacAdmin, 33),
    (Capability::Syslog, 34),
    (Capability::WakeAlarm, 35),
    (Capability::BlockSuspend, 36),
    (Capability::AuditRead, 37),
    (Capability::Perfmon, 38),
    (Capability::Bpf, 39),
    (Capability::CheckpointRestore, 40),
];
