//! What is set by writing a value: host name, sysctls, the score of the out-of-memory killer, the terminal's owner.

use std::io::ErrorKind;
use std::os::fd::BorrowedFd;
use std::path::PathBuf;

use oci_spec::runtime::{LinuxPersonalityDomain, Process, Spec};
use rustix::process::Uid;

use crate::error::{Doing, Error};
use crate::namespaces::Plan;
use crate::sys;

/// Sysctls of an IPC namespace; those of a network namespace all begin with `net.`.
const IPC_SYSCTLS: [&str; 8] = [
    "kernel.msgmax",
    "kernel.msgmnb",
    "kernel.msgmni",
    "kernel.sem",
    "kernel.shmall",
    "kernel.shmmax",
    "kernel.shmmni",
    "kernel.shm_rmid_forced",
];

/// Host and domain name, the loopback of a new network, then sysctls. Done before the root changes: `/proc` is still the engine's, and it
/// shows the values of the caller's namespaces.
pub(crate) fn apply(spec: &Spec, plan: &Plan) -> Result<(), Error> {
    let (host, domain) = (spec.hostname().as_deref(), spec.domainname().as_deref());
    if (host.is_some() || domain.is_some()) && plan.has(libc::CLONE_NEWUTS) {
        sys::set_names(host, domain).doing("set the host name")?;
    }
    if plan.makes(libc::CLONE_NEWNET) {
        sys::raise_loopback().doing("put up the loopback")?;
    }
    let sysctls = spec.linux().as_ref().and_then(|linux| linux.sysctl().as_ref());
    for (name, value) in sysctls.into_iter().flatten() {
        if !is_namespaced(name, plan) {
            let reason = match name.as_str() {
                name if name.starts_with("net.") && !plan.has(libc::CLONE_NEWNET) => {
                    "not allowed in host network namespace"
                }
                name if IPC_SYSCTLS.contains(&name) => "not allowed in host ipc namespace",
                _ => "is not in a separate kernel namespace",
            };
            return Err(Error::Refused(format!("sysctl {name:?} {reason}")));
        }
        let path = path_of(name);
        std::fs::write(&path, value).on("write", &path)?;
    }
    Ok(())
}

/// The execution domain, which system calls like uname(2) tell.
pub(crate) fn set_personality(spec: &Spec) -> Result<(), Error> {
    // `linux/personality.h`.
    const PER_LINUX: u64 = 0;
    const PER_LINUX32: u64 = 8;
    let Some(personality) = spec.linux().as_ref().and_then(|linux| linux.personality().as_ref()) else {
        return Ok(());
    };
    let domain = match personality.domain() {
        LinuxPersonalityDomain::PerLinux => PER_LINUX,
        LinuxPersonalityDomain::PerLinux32 => PER_LINUX32,
    };
    sys::personality(domain).doing("set the personality")
}

fn is_namespaced(name: &str, plan: &Plan) -> bool {
    let name = name.replace('/', ".");
    if name.split('.').any(str::is_empty) {
        return false;
    }
    let ipc = IPC_SYSCTLS.contains(&name.as_str()) || name.starts_with("fs.mqueue.");
    (ipc && plan.has(libc::CLONE_NEWIPC))
        || (name.starts_with("net.") && plan.has(libc::CLONE_NEWNET))
        || (name == "kernel.domainname" && plan.has(libc::CLONE_NEWUTS))
}

/// sysctl(8): dots and slashes change places, so that an interface `eth0.1` can be named either way.
fn path_of(name: &str) -> PathBuf {
    let slashes_part = name.find(['.', '/']).is_some_and(|place| name[place..].starts_with('/'));
    let name = if slashes_part {
        name.to_owned()
    } else {
        name.chars()
            .map(|c| {
                if c == '.' {
                    '/'
                } else if c == '/' {
                    '.'
                } else {
                    c
                }
            })
            .collect()
    };
    PathBuf::from("/proc/sys").join(name)
}

/// The score of the out-of-memory killer. Lowering it needs CAP_SYS_RESOURCE: without, the container keeps the
/// engine's score.
pub(crate) fn score_for_oom(process: &Process, warnings: &mut Vec<String>) -> Result<(), Error> {
    let path = "/proc/self/oom_score_adj";
    let Some(score) = process.oom_score_adj() else { return Ok(()) };
    let written = std::fs::write(path, score.to_string());
    let own = || std::fs::read_to_string(path).ok().and_then(|text| text.trim().parse::<i32>().ok());
    match written {
        Err(error) if error.kind() == ErrorKind::PermissionDenied && own().is_some_and(|own| score < own) => {
            warnings.push(format!("oom_score_adj {score} not set: this engine may not lower it"));
            Ok(())
        }
        other => other.on("write", path),
    }
}

/// The terminal belongs to the process's user, who could otherwise not open `/dev/stdout`.
pub(crate) fn own_terminal(terminal: BorrowedFd<'_>, process: &Process) -> Result<(), Error> {
    let uid = process.user().uid();
    match rustix::fs::fchown(terminal, Some(Uid::from_raw(uid)), None) {
        // Another user namespace, or a read-only devpts: runc goes on as well.
        Err(rustix::io::Errno::PERM | rustix::io::Errno::INVAL | rustix::io::Errno::ROFS) => Ok(()),
        other => other.doing("give the terminal to its user"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dots_become_slashes() {
        assert_eq!(path_of("net.ipv4.ip_forward"), PathBuf::from("/proc/sys/net/ipv4/ip_forward"));
        assert_eq!(path_of("net/ipv4/conf/eth0.1/x"), PathBuf::from("/proc/sys/net/ipv4/conf/eth0.1/x"));
        assert_eq!(path_of("net.ipv4.conf.eth0/1.x"), PathBuf::from("/proc/sys/net/ipv4/conf/eth0.1/x"));
    }

    #[test]
    fn a_sysctl_of_the_whole_machine_is_refused() {
        assert!(!is_namespaced("kernel.core_pattern", &Plan::default()));
        assert!(!is_namespaced("net.ipv4.ip_forward", &Plan::default()));
    }

    #[test]
    fn a_sysctl_cannot_climb() {
        assert!(!is_namespaced("net...kernel.core_pattern", &Plan::default()));
        assert!(!is_namespaced("net/../kernel/core_pattern", &Plan::default()));
    }
}
