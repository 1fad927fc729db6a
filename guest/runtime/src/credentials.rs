//! User, groups, umask and the five capability sets of a process.
//!
//! ```text
//! drop_bounding -> become_user (capabilities kept) -> … wait for start … -> finish
//! ```

use oci_spec::runtime::Process;
use rustix::fs::Mode;
use rustix::process::{Gid, Uid};
use rustix::thread::{CapabilitySet, CapabilitySets};

use crate::capabilities;
use crate::error::{Doing, Error};
use crate::sys;

/// Who the process becomes.
pub(crate) struct Credentials {
    uid: u32,
    gid: u32,
    groups: Vec<Gid>,
    umask: u32,
    bounding: u64,
    effective: u64,
    permitted: u64,
    inheritable: u64,
    ambient: u64,
}

/// docker's and runc's umask when none is given.
const USUAL_UMASK: u32 = 0o022;

impl Credentials {
    /// Reads the specification; what the caller itself may not have is left out of every set.
    pub(crate) fn new(process: &Process) -> Self {
        let user = process.user();
        let own = capabilities::bounding();
        let asked = process.capabilities().as_ref();
        let bounding = asked.map_or(own, |sets| capabilities::bits(sets.bounding().as_ref())) & own;
        let set = |of: fn(&oci_spec::runtime::LinuxCapabilities) -> u64| asked.map_or(0, of) & bounding;
        let permitted = set(|sets| capabilities::bits(sets.permitted().as_ref()));
        let inheritable = set(|sets| capabilities::bits(sets.inheritable().as_ref()));
        Self {
            uid: user.uid(),
            gid: user.gid(),
            groups: user.additional_gids().iter().flatten().map(|gid| Gid::from_raw(*gid)).collect(),
            umask: user.umask().unwrap_or(USUAL_UMASK),
            bounding,
            effective: set(|sets| capabilities::bits(sets.effective().as_ref())) & permitted,
            permitted,
            inheritable,
            // The kernel refuses ambient capabilities that aren't both permitted and inheritable.
            ambient: set(|sets| capabilities::bits(sets.ambient().as_ref())) & permitted & inheritable,
        }
    }

    /// Becomes root of a user namespace just entered: until then the process is nobody in it.
    pub(crate) fn become_root() -> Result<(), Error> {
        let (gid, uid) = (Gid::ROOT, Uid::ROOT);
        rustix::thread::set_thread_res_gid(gid, gid, gid).doing("become root of the user namespace")?;
        rustix::thread::set_thread_res_uid(uid, uid, uid).doing("become root of the user namespace")
    }

    /// Gives away what no program of this container may ever have.
    pub(crate) fn drop_bounding(&self) -> Result<(), Error> {
        let unwanted = capabilities::bounding() & !self.bounding;
        for number in (0..64).filter(|number| unwanted & (1 << number) != 0) {
            sys::prctl(libc::PR_CAPBSET_DROP, number).doing("drop a capability")?;
        }
        Ok(())
    }

    /// Takes the ids; permitted capabilities stay until [`finish`](Self::finish).
    pub(crate) fn become_user(&self) -> Result<(), Error> {
        sys::prctl(libc::PR_SET_KEEPCAPS, 1).doing("keep capabilities")?;
        rustix::thread::set_thread_groups(&self.groups).doing("set groups")?;
        let (uid, gid) = (Uid::from_raw(self.uid), Gid::from_raw(self.gid));
        rustix::thread::set_thread_res_gid(gid, gid, gid).doing("set the group")?;
        rustix::thread::set_thread_res_uid(uid, uid, uid).doing("set the user")?;
        rustix::process::umask(Mode::from_raw_mode(self.umask));
        // A user other than root has just lost its effective set; what follows needs some of it.
        let sets = rustix::thread::capabilities(None).doing("read capabilities")?;
        let needed = sets.permitted & (CapabilitySet::SYS_ADMIN | CapabilitySet::SETPCAP);
        set(sets.effective | needed, sets.permitted, sets.inheritable)
    }

    /// The program's capabilities, exactly.
    pub(crate) fn finish(&self) -> Result<(), Error> {
        sys::prctl(libc::PR_SET_KEEPCAPS, 0).doing("stop keeping capabilities")?;
        let bits = CapabilitySet::from_bits_retain;
        // Inheritable first may exceed what is permitted afterwards only for CAP_SETPCAP's holder: one call.
        set(bits(self.effective), bits(self.permitted), bits(self.inheritable))?;
        sys::ambient(libc::PR_CAP_AMBIENT_CLEAR_ALL, 0).doing("clear ambient capabilities")?;
        for number in (0..64).filter(|number| self.ambient & (1 << number) != 0) {
            sys::ambient(libc::PR_CAP_AMBIENT_RAISE, number).doing("raise an ambient capability")?;
        }
        Ok(())
    }
}

fn set(effective: CapabilitySet, permitted: CapabilitySet, inheritable: CapabilitySet) -> Result<(), Error> {
    let sets = CapabilitySets { effective, permitted, inheritable };
    rustix::thread::set_capabilities(None, sets).doing("set capabilities")
}
