//! Resource limits (setrlimit(2)), clamped to what may be given.

use oci_spec::runtime::{PosixRlimitType, Process};

use crate::error::{Doing, Error};
use crate::sys;

/// Raises the hard limits that are to be higher, while that is still allowed. Where one may not be raised so far, the
/// highest allowed one is taken and a warning says so: a container runs with fewer files rather than not at all.
pub(crate) fn raise(process: &Process, warnings: &mut Vec<String>) -> Result<(), Error> {
    for limit in process.rlimits().iter().flatten() {
        let (resource, hard) = (number(limit.typ()), limit.hard());
        let own = sys::hard_limit(resource).doing("read a resource limit")?;
        if hard <= own || sys::setrlimit(resource, own, hard).is_ok() {
            continue;
        }
        let most = highest(resource)?;
        warnings
            .push(format!("{} lowered from {hard} to {most}, the most this engine may give", limit.typ()));
    }
    Ok(())
}

/// Sets the limits, as far as they could be raised. At the very end: with three files nothing can be built.
pub(crate) fn apply(process: &Process) -> Result<(), Error> {
    for limit in process.rlimits().iter().flatten() {
        let resource = number(limit.typ());
        let most = sys::hard_limit(resource).doing("read a resource limit")?;
        let (soft, hard) = (limit.soft().min(most), limit.hard().min(most));
        sys::setrlimit(resource, soft, hard).doing("set a resource limit")?;
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
