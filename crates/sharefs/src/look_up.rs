//! From a name to a node.

use std::ffi::CStr;
use std::os::fd::{AsFd, OwnedFd};

use crate::case::is_absence_told;
use crate::nodes::Told;
use crate::place::At;
use crate::server::Server;
use crate::sys::{self, Errno, Kind, Status, mode};
use crate::watch::{LONG, SHORT};
use crate::wire::ROOT;
use crate::wire::reply::{Entry, Reply};
use crate::wire::request::Header;

impl Server {
    /// What `name` in the folder is. A folder is watched from here on: the guest may watch it without a look inside.
    pub(crate) fn look_up(&self, header: &Header, name: &CStr, reply: &mut Reply<'_>) -> Result<(), Errno> {
        let at = self.look_at(header.node, name);
        let mut entry = match self.entry(header, at) {
            // Programs ask again and again for what isn't there. Its coming is told at once; but when events were lost,
            // nobody knows of whose absence the kernel was told, so that it isn't believed for long.
            Err(Errno::NOENT) if is_absence_told(at) => {
                reply.absent(SHORT);
                return Ok(());
            }
            found => found?,
        };
        let is_folder = entry.attributes.status.kind() == Kind::Folder;
        if is_folder && self.watch(entry.node) {
            // What was seen before the watch began may have changed unseen.
            entry = self.entry(header, at)?;
            self.nodes().forget(entry.node, 1);
        }
        reply.entry(&entry);
        Ok(())
    }

    /// The same for a name in a list: listing a folder is no look into all that are in it.
    pub(crate) fn entry(&self, header: &Header, at: At<'_>) -> Result<Entry, Errno> {
        let file = self.open_name(at.folder, at.name)?;
        let status = sys::status(file.as_fd())?;
        Ok(self.tell(header, at, file, status))
    }

    /// The same for what the guest has just made, of that kind. When the host has put something else there meanwhile, or
    /// nothing, the kernel is to look again: it takes no other kind for an answer.
    pub(crate) fn look_up_made(
        &self,
        header: &Header,
        at: At<'_>,
        kind: u32,
        reply: &mut Reply<'_>,
    ) -> Result<(), Errno> {
        let file = self.open_name(at.folder, at.name).map_err(look_again)?;
        let status = sys::status(file.as_fd())?;
        if status.mode & mode::KIND != kind {
            return Err(Errno::STALE);
        }
        let entry = self.tell(header, at, file, status);
        self.nodes().changed_by_guest(entry.node, status.ctime);
        reply.entry(&entry);
        Ok(())
    }

    /// Opens what `name` in a folder is; the root's names are the shares.
    pub(crate) fn open_name(&self, folder: u64, name: &CStr) -> Result<OwnedFd, Errno> {
        if folder == ROOT {
            return self.nodes().look_up(folder, name);
        }
        // Held no longer than for finding the folder: the host's disk may be slow.
        let folder = self.nodes().file(folder)?;
        sys::look_up(folder.as_fd(), name)
    }

    /// Tells the kernel of a file by one of its names.
    pub(crate) fn tell(&self, header: &Header, at: At<'_>, file: OwnedFd, status: Status) -> Entry {
        let at = self.found_at(at, &status);
        let told = self.nodes().tell(file, &status, at);
        self.told(header, at, &told, status)
    }

    /// What the kernel is told of a node by one of its names.
    pub(crate) fn told(&self, header: &Header, at: At<'_>, told: &Told, status: Status) -> Entry {
        let attributes = self.shown_by_name(header, at, told, status);
        let is_sure = match status.kind() {
            // It is to be looked up once more before the guest may go by its name for long: then it is watched, as its
            // attributes are.
            Kind::Folder => attributes.valid == LONG,
            // Of several names the latest is known here, and only that one could be taken back.
            Kind::Regular => status.links == 1,
            Kind::Symlink | Kind::Special => true,
        };
        let valid = self.name_valid(told.node, at).min(if is_sure { LONG } else { SHORT });
        Entry { node: told.node, attributes, valid }
    }

    /// A folder to make something in: the root holds shares only.
    pub(crate) fn folder(&self, node: u64) -> Result<std::sync::Arc<OwnedFd>, Errno> {
        if node == ROOT { Err(Errno::PERM) } else { self.nodes().file(node) }
    }
}

/// What was there a moment ago and isn't is a reason for the kernel to look again.
pub(crate) fn look_again(error: Errno) -> Errno {
    if error == Errno::NOENT { Errno::STALE } else { error }
}
