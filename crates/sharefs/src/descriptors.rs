//! From a node to its file. One that has no descriptor is opened by the names that led to it, and only if these still
//! lead to the same file.

use std::ffi::CStr;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use crate::nodes::Identity;
use crate::server::Server;
use crate::sys::{self, Errno};
use crate::wire::ROOT;

impl Server {
    /// The descriptor of a node. The nodes aren't held while it is opened: the host's disk may be slow.
    pub(crate) fn file(&self, node: u64) -> Result<Arc<OwnedFd>, Errno> {
        let (mut file, closed) = self.nodes().way(node)?;
        for (node, identity, place) in closed.into_iter().rev() {
            let opened = match &file {
                Some(folder) => sys::look_up(folder.as_fd(), &place.name),
                None => self.open_share(&place.name),
            };
            let opened = opened.map_err(|_| Errno::STALE)?;
            if Identity::of(&sys::status(opened.as_fd())?) != identity {
                return Err(Errno::STALE);
            }
            file = Some(self.nodes().hold(node, opened));
        }
        file.ok_or(Errno::STALE)
    }

    /// The same of a folder to make something in: the root holds shares only.
    pub(crate) fn folder(&self, node: u64) -> Result<Arc<OwnedFd>, Errno> {
        if node == ROOT { Err(Errno::PERM) } else { self.file(node) }
    }

    /// Opens what `name` in a folder is; the root's names are the shares.
    pub(crate) fn open_name(&self, folder: u64, name: &CStr) -> Result<OwnedFd, Errno> {
        if folder == ROOT {
            return self.open_share(name);
        }
        sys::look_up(self.file(folder)?.as_fd(), name)
    }

    fn open_share(&self, name: &CStr) -> Result<OwnedFd, Errno> {
        let folder = self.nodes().shared(name)?;
        sys::open_root(&folder)
    }
}
