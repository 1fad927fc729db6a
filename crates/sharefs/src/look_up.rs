//! From a name to a node.

use std::ffi::CStr;
use std::os::fd::{AsFd, OwnedFd};

use crate::nodes::Place;
use crate::server::{SHORT, Server};
use crate::sys::{self, Errno, Status};
use crate::wire::ROOT;
use crate::wire::reply::{Entry, Reply};
use crate::wire::request::Header;

impl Server {
    /// What `name` in the folder is.
    pub(crate) fn look_up(&self, header: &Header, name: &CStr, reply: &mut Reply<'_>) -> Result<(), Errno> {
        let file = self.nodes().look_up(header.node, name)?;
        let status = sys::status(file.as_fd())?;
        reply.entry(&self.tell(header, header.node, name, file, status));
        Ok(())
    }

    /// Tells the kernel of a file by one of its names.
    pub(crate) fn tell(
        &self,
        header: &Header,
        folder: u64,
        name: &CStr,
        file: OwnedFd,
        status: Status,
    ) -> Entry {
        let (node, file) = self.nodes().tell(file, &status, Place::new(folder, name));
        let attributes = self.shown(header, node, file.as_fd(), status);
        Entry { node, attributes, valid: SHORT }
    }

    /// A folder to make something in: the root holds shares only.
    pub(crate) fn folder(&self, node: u64) -> Result<std::sync::Arc<OwnedFd>, Errno> {
        if node == ROOT { Err(Errno::PERM) } else { self.nodes().file(node) }
    }
}
