//! Resource limits (setrlimit(2)), clamped to what may be given.

use oci_spec::runtime::{PosixRlimitType, Process};

use crate::error::{Doing, Error};
use crate::sys;

/// Applies the limits. Where a hard limit may not be raised so far, the highest allowed one is taken and a
/// warning says so: a container runs with fewer files rather than not at all.
pub(crate) fn apply(process: &Process, warnings: &mut Vec<String>) -> Result<(), Error> {
    for limit in process.rlimits().iter().flatten() {
        let resource = number(limit.typ());
        let (soft, hard) = (limit.soft(), limit.hard());
        if sys::setrlimit(resource, soft, hard).is_ok() {
            continue;
        }
        let most = highest(resource)?;
        sys::setrlimit(resource, soft.min(most), hard.min(most)).doing("set a resource limit")?;
        warnings
            .push(format!("{} lowered from {hard} to {most}, the most this engine may give", limit.typ()));
    }
    Ok(())
}

/// What can be given: the own hard limit, or for files what the kernel takes at all.
fn highest(resource: u32) -> Result<u64, Error> {
    let own = sys::hard_limit(resource).doing("read a resource limit")?;
    if resource != libc::RLIMIT_NOFILE {
        return Ok(own);
    }
    let kernel = std::fs::read_to_string("/proc/sys/fs/nr_open").ok();
    let kernel = kernel.and_then(|text| text.trim().parse().ok()).unwrap_or(u64::MAX);
    if sys::setrlimit(resource, kernel.max(own), kernel.max(own)).is_ok() {
        return Ok(kernel.max(own));
    }
    Ok(own.min(kernel))
}

fn number(kind: PosixRlimitType) -> u32 {
    match kind {
        PosixRlimitType::RlimitCpu => libc::RLIMIT_CPU,
        PosixRlimitType::RlimitFsize => libc::RLIMIT_FSIZE,
        PosixRlimitType::RlimitData => libc::RLIMIT_DATA,
        PosixRlimitType::RlimitStack => libc::RLIMIT_STACK,
        PosixRlimitType::RlimitCore => libc::RLIMIT_CORE,
        PosixRlimitType::RlimitRss => libc::RLIMIT_RSS,
        PosixRlimitType::RlimitNproc => libc::RLIMIT_NPROC,
        PosixRlimitType::RlimitNofile => libc::RLIMIT_NOFILE,
        PosixRlimitType::RlimitMemlock => libc::RLIMIT_MEMLOCK,
        PosixRlimitType::RlimitAs => libc::RLIMIT_AS,
        PosixRlimitType::RlimitLocks => libc::RLIMIT_LOCKS,
        PosixRlimitType::RlimitSigpending => libc::RLIMIT_SIGPENDING,
        PosixRlimitType::RlimitMsgqueue => libc::RLIMIT_MSGQUEUE,
        PosixRlimitType::RlimitNice => libc::RLIMIT_NICE,
        PosixRlimitType::RlimitRtprio => libc::RLIMIT_RTPRIO,
        PosixRlimitType::RlimitRttime => libc::RLIMIT_RTTIME,
    }
}
