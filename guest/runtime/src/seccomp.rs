//! System call filters (seccomp(2)) from the profile of a specification, compiled to BPF by ourselves.
//!
//! Names that a kernel or an architecture doesn't know are skipped, as every runtime does: profiles name calls
//! of the future and of other machines.

mod arguments;
mod compile;
mod listener;
mod numbers;
mod profile;

use oci_spec::runtime::{LinuxSeccomp, LinuxSeccompFilterFlag};

pub(crate) use listener::Asking;
pub use profile::default_profile;

use crate::error::{Doing, Error};
use crate::sys;

/// SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV (linux/seccomp.h, since 5.19).
const WAIT_KILLABLE_RECV: libc::c_ulong = 1 << 5;

/// A compiled filter.
pub(crate) struct Filter {
    program: Vec<libc::sock_filter>,
    flags: libc::c_ulong,
}

impl Filter {
    /// Compiles the profile of a specification.
    pub(crate) fn compile(profile: &LinuxSeccomp) -> Result<Self, Error> {
        let mut flags = 0;
        for flag in profile.flags().iter().flatten() {
            flags |= match flag {
                LinuxSeccompFilterFlag::SeccompFilterFlagLog => libc::SECCOMP_FILTER_FLAG_LOG,
                LinuxSeccompFilterFlag::SeccompFilterFlagSpecAllow => libc::SECCOMP_FILTER_FLAG_SPEC_ALLOW,
                LinuxSeccompFilterFlag::SeccompFilterFlagWaitKillableRecv => WAIT_KILLABLE_RECV,
                // One thread: nothing to synchronise with.
                LinuxSeccompFilterFlag::SeccompFilterFlagTsync => 0,
            };
        }
        if listener::is_wanted(profile)? {
            flags |= libc::SECCOMP_FILTER_FLAG_NEW_LISTENER;
        } else {
            // There is nothing to wait for.
            flags &= !WAIT_KILLABLE_RECV;
        }
        Ok(Self { program: compile::program(profile)?, flags })
    }

    /// Whether an agent answers what it asks.
    pub(crate) fn asks(&self) -> bool {
        self.flags & libc::SECCOMP_FILTER_FLAG_NEW_LISTENER != 0
    }

    /// Installs it for the calling process and what it executes. For one that [`asks`](Self::asks) returns the listener's
    /// descriptor, which the next program doesn't inherit.
    pub(crate) fn install(&self) -> Result<i32, Error> {
        sys::install_filter(&self.program, self.flags).doing("install the system call filter")
    }
}
