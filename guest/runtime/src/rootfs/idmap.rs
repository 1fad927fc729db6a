//! Id-mapped binds (`mount_setattr(2)`, `MOUNT_ATTR_IDMAP`): whoever owns a file on disk is shown as somebody else.
//!
//! The right to map belongs to the user namespace of the filesystem, so this is the parent's doing, before the container
//! has a namespace of its own. The mapping itself is given as a user namespace, which a process of a moment holds.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use oci_spec::runtime::{Linux, LinuxIdMapping, Mount, Spec};

use super::copy_tree;
use crate::error::{Doing, Error};
use crate::namespaces::{self, Mappings};
use crate::sys::{self, Cloned};

/// Copies of the sources' trees, mapped and attached nowhere, by the mount's place in the specification.
#[derive(Debug, Default)]
pub(crate) struct Mapped(BTreeMap<usize, OwnedFd>);

impl Mapped {
    /// Maps what the specification asks for. Call it single-threaded and outside the container's namespaces.
    pub(crate) fn new(spec: &Spec, bundle: &Path) -> Result<Self, Error> {
        let mut mapped = Self::default();
        for (place, mount) in spec.mounts().iter().flatten().enumerate() {
            let Some(wish) = Wish::of(mount, spec.linux().as_ref())? else { continue };
            let source = mount.source().as_deref().ok_or(Error::Spec("a bind mount without a source"))?;
            let tree = copy_tree(&bundle.join(source), wish.binds_recursively)?;
            let holder = Holder::of(wish.mappings)?;
            sys::map_ids(tree.as_fd(), wish.maps_recursively, holder.namespace.as_fd())
                .on("map the ids of", mount.destination())?;
            mapped.0.insert(place, tree);
        }
        Ok(mapped)
    }

    /// The tree of the mount at `place`, if that one is mapped.
    pub(super) fn take(&mut self, place: usize) -> Option<OwnedFd> {
        self.0.remove(&place)
    }
}

/// Whether a mount asks for a mapping, in words.
fn word(mount: &Mount, word: &str) -> bool {
    mount.options().iter().flatten().any(|option| option == word)
}

/// What one mount asks for.
struct Wish<'a> {
    mappings: Mappings<'a>,
    binds_recursively: bool,
    maps_recursively: bool,
}

impl<'a> Wish<'a> {
    /// The mount's own mappings, or with `idmap` and none those of the container's user namespace.
    fn of(mount: &'a Mount, linux: Option<&'a Linux>) -> Result<Option<Self>, Error> {
        let own = (mount.uid_mappings().as_deref(), mount.gid_mappings().as_deref());
        let mappings = match own {
            (Some(users), Some(groups)) => Mappings { users, groups },
            (None, None) if word(mount, "idmap") || word(mount, "ridmap") => {
                let of = |mappings: &'a Option<Vec<LinuxIdMapping>>| mappings.as_deref().unwrap_or_default();
                let linux = linux.ok_or(Error::Spec("idmap without mappings"))?;
                Mappings { users: of(linux.uid_mappings()), groups: of(linux.gid_mappings()) }
            }
            (None, None) => return Ok(None),
            _ => return Err(Error::Spec("a mount with uidMappings or gidMappings needs both")),
        };
        if mappings.users.is_empty() || mappings.groups.is_empty() {
            return Err(Error::Spec("idmap without mappings"));
        }
        let is_bind = mount.typ().as_deref() == Some("bind") || word(mount, "bind") || word(mount, "rbind");
        if !is_bind {
            return Err(Error::Spec("only bind mounts can be id-mapped"));
        }
        Ok(Some(Self {
            mappings,
            binds_recursively: word(mount, "rbind"),
            maps_recursively: word(mount, "ridmap"),
        }))
    }
}

/// A process that does nothing in a user namespace with mappings. When dropped, it ends.
struct Holder {
    process: OwnedFd,
    namespace: OwnedFd,
}

impl Holder {
    fn of(mappings: Mappings<'_>) -> Result<Self, Error> {
        let cloned = sys::clone3(libc::CLONE_NEWUSER as u64, None);
        let (pid, process) = match cloned {
            Ok(Cloned::Parent { pid, pidfd }) => (pid, pidfd),
            Ok(Cloned::Child) => sys::wait_for_death(),
            Err(source) => return Err(Error::Call { operation: "make a user namespace", source }),
        };
        let path = format!("/proc/{pid}/ns/user");
        let opened = namespaces::write(pid, mappings).and_then(|()| File::open(&path).on("open", &path));
        match opened {
            Ok(namespace) => Ok(Self { process, namespace: namespace.into() }),
            Err(error) => {
                end(&process);
                Err(error)
            }
        }
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        end(&self.process);
    }
}

fn end(process: &OwnedFd) {
    let _ = rustix::process::pidfd_send_signal(process, rustix::process::Signal::KILL);
    let id = rustix::process::WaitId::PidFd(process.as_fd());
    let _ = rustix::process::waitid(id, rustix::process::WaitIdOptions::EXITED);
}
