//! Child processes in a group of their own that end with the thread that started them.
#![expect(unsafe_code, reason = "code between fork and exec")]

use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};

use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, setrlimit};

/// Starts `command` in a process group of its own. It is killed when the calling **thread** ends: call this from
/// one that lives as long as the machine.
pub(crate) fn spawn_bound(command: &mut Command) -> io::Result<Child> {
    let parent = rustix::process::getpid();
    command.process_group(0);
    // SAFETY: the closure only makes system calls: no allocation, no lock, nothing of the parent's other threads.
    unsafe {
        command.pre_exec(move || {
            rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
            // The parent may have died before the line above.
            if rustix::process::getppid() != Some(parent) {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
            Ok(())
        })
    };
    command.spawn()
}

/// Kills a whole group that [`spawn_bound`] started, given its leader.
pub(crate) fn kill_group(leader: u32) {
    let leader = i32::try_from(leader).ok().and_then(Pid::from_raw);
    if let Some(leader) = leader {
        // It may be gone already.
        let _ = rustix::process::kill_process_group(leader, Signal::KILL);
    }
}

/// Lets this process have as many descriptors as it may, up to plenty; returns how many.
pub(crate) fn raise_descriptors() -> usize {
    /// What systemd lets every user's programs have: room for the files of a large working copy.
    const PLENTY: u64 = 1 << 19;
    let limit = getrlimit(Resource::Nofile);
    let most = limit.maximum.unwrap_or(PLENTY);
    // Root may have more than its shell's limit says; others may not.
    let wishes = [
        Rlimit { current: Some(PLENTY), maximum: limit.maximum.map(|most| most.max(PLENTY)) },
        Rlimit { current: Some(most.min(PLENTY)), maximum: limit.maximum },
    ];
    let granted = wishes.into_iter().find(|wish| setrlimit(Resource::Nofile, *wish).is_ok());
    let allowed = granted.unwrap_or(limit).current.unwrap_or(PLENTY);
    usize::try_from(allowed).unwrap_or(usize::MAX)
}
