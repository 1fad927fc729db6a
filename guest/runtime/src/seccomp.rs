//! System call filters (seccomp(2)) from the profile of a specification, compiled to BPF by ourselves.
//!
//! Names that a kernel or an architecture doesn't know are skipped, as every runtime does: profiles name calls
//! of the future and of other machines.

mod arguments;
mod compile;
mod numbers;
mod profile;

use oci_spec::runtime::{LinuxSeccomp, LinuxSeccompFilterFlag};

pub use profile::default_profile;

use crate::error::{Doing, Error};
use crate::sys;

/// A compiled filter.
pub(crate) struct Filter {
    program: Vec<libc::sock_filter>,
    flags: u64,
}

impl Filter {
    /// Compiles the profile of a specification.
    pub(crate) fn compile(profile: &LinuxSeccomp) -> Result<Self, Error> {
        let mut flags = 0;
        for flag in profile.flags().iter().flatten() {
            flags |= match flag {
                LinuxSeccompFilterFlag::SeccompFilterFlagLog => libc::SECCOMP_FILTER_FLAG_LOG,
                LinuxSeccompFilterFlag::SeccompFilterFlagSpecAllow => libc::SECCOMP_FILTER_FLAG_SPEC_ALLOW,
                // One thread, no listener: nothing to synchronise with or to wait for.
                _ => 0,
            };
        }
        Ok(Self { program: compile::program(profile)?, flags })
    }

    /// Installs it for the calling process and what it executes.
    pub(crate) fn install(&self) -> Result<(), Error> {
        sys::install_filter(&self.program, self.flags).doing("install the system call filter")
    }
}
