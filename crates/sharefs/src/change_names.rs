//! What changes names: making, linking, moving, removing.

use std::ffi::CStr;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use crate::handles::Handle;
use crate::look_up::look_again;
use crate::nodes::Identity;
use crate::place::At;
use crate::server::Server;
use crate::sys::{self, Errno, Kind, event, mode};
use crate::wire::reply::Reply;
use crate::wire::request::Header;

/// Rename's flag that swaps two names.
const EXCHANGE: u32 = 2;
/// Open's flags that say whether for writing.
const ACCESS: u32 = 3;
/// Open's flag that insists on a new file.
const EXCLUSIVE: u32 = 0o200;

impl Server {
    /// Makes a folder.
    pub(crate) fn make_folder(
        &self,
        header: &Header,
        name: &CStr,
        permissions: u32,
        reply: &mut Reply<'_>,
    ) -> Result<(), Errno> {
        let (folder, at) = (self.folder(header.node)?, self.at(header.node, name));
        self.change_names(&[(at, event::CREATE)], || {
            sys::make_folder(folder.as_fd(), name, permissions & 0o1777)
        })?;
        self.look_up_made(header, at, mode::FOLDER, reply)
    }

    /// Makes a regular file, a FIFO or a socket; a device is refused.
    pub(crate) fn make_node(
        &self,
        header: &Header,
        name: &CStr,
        wish: u32,
        reply: &mut Reply<'_>,
    ) -> Result<(), Errno> {
        let kind = match wish & mode::KIND {
            0 => mode::REGULAR,
            kind @ (mode::REGULAR | mode::FIFO | mode::SOCKET) => kind,
            _ => return Err(Errno::PERM),
        };
        let (folder, at) = (self.folder(header.node)?, self.at(header.node, name));
        self.change_names(&[(at, event::CREATE)], || {
            sys::make_node(folder.as_fd(), name, kind | wish & mode::PERMISSIONS)
        })?;
        self.look_up_made(header, at, kind, reply)
    }

    /// Makes a symbolic link. Where it leads is the guest's business: nothing here follows it.
    pub(crate) fn make_symlink(
        &self,
        header: &Header,
        name: &CStr,
        target: &CStr,
        reply: &mut Reply<'_>,
    ) -> Result<(), Errno> {
        let (folder, at) = (self.folder(header.node)?, self.at(header.node, name));
        self.change_names(&[(at, event::CREATE)], || sys::make_symlink(folder.as_fd(), name, target))?;
        self.look_up_made(header, at, mode::SYMLINK, reply)
    }

    /// Gives a file one more name; also its first, when it was made without one.
    pub(crate) fn link(
        &self,
        header: &Header,
        node: u64,
        name: &CStr,
        reply: &mut Reply<'_>,
    ) -> Result<(), Errno> {
        let (folder, at) = (self.folder(header.node)?, self.at(header.node, name));
        let file = self.folder(node)?;
        let kind = sys::status(file.as_fd())?.mode & mode::KIND;
        self.change_names(&[(at, event::CREATE)], || sys::hard_link(file.as_fd(), folder.as_fd(), name))?;
        self.look_up_made(header, at, kind, reply)
    }

    /// Makes a regular file if it isn't there, and opens it.
    pub(crate) fn create(
        &self,
        header: &Header,
        name: &CStr,
        flags: u32,
        permissions: u32,
        reply: &mut Reply<'_>,
    ) -> Result<(), Errno> {
        let folder = self.folder(header.node)?;
        self.have_room()?;
        let at = self.look_at(header.node, name);
        let created = self.change_names(&[(at, event::CREATE)], || {
            sys::create(folder.as_fd(), name, flags, permissions & 0o1777)
        });
        let made = match created {
            // Somebody else was faster: it is an ordinary open then.
            Err(Errno::EXIST) if flags & EXCLUSIVE == 0 => None,
            made => Some(made?),
        };
        let file = sys::look_up(folder.as_fd(), name).map_err(look_again)?;
        let status = sys::status(file.as_fd())?;
        let is_new = made.as_ref().is_some_and(|(_, as_made)| as_made.ctime == status.ctime);
        let opened = match made {
            Some((opened, as_made)) if Identity::of(&as_made) == Identity::of(&status) => opened,
            None if status.kind() == Kind::Regular => sys::reopen(file.as_fd(), flags)?,
            // The host has put something else there meanwhile: the kernel is to look again.
            _ => return Err(Errno::STALE),
        };
        let at = self.found_at(at, &status);
        let mut nodes = self.nodes();
        let mut told = nodes.tell(file, &status, at);
        nodes.changed_by_guest(told.node, status.ctime);
        if is_new {
            // Nobody can have given it an owner yet.
            nodes.keep_owner(told.node, status.ctime, None);
            told.known.owner = Some(None);
        }
        drop(nodes);
        reply.entry(&self.told(header, at, &told, status));
        reply.open(self.keep_file(opened, told.node, flags), 0);
        Ok(())
    }

    /// Makes a regular file without a name in the folder's file system, and opens it.
    pub(crate) fn make_nameless(
        &self,
        header: &Header,
        flags: u32,
        permissions: u32,
        reply: &mut Reply<'_>,
    ) -> Result<(), Errno> {
        let folder = self.folder(header.node)?;
        self.have_room()?;
        let opened = sys::make_nameless(folder.as_fd(), flags, permissions & 0o1777)?;
        let file = sys::same_file(opened.as_fd())?;
        let status = sys::status(file.as_fd())?;
        // No name leads there: without its descriptor it is lost, as it should be.
        let entry = self.tell(header, self.at(header.node, c""), file, status);
        reply.entry(&entry);
        reply.open(self.keep_file(opened, entry.node, flags), 0);
        Ok(())
    }

    /// Takes a name away.
    pub(crate) fn remove(&self, folder: u64, name: &CStr, is_folder: bool) -> Result<(), Errno> {
        let (parent, at) = (self.folder(folder)?, self.at(folder, name));
        self.change_names(&[(at, event::DELETE)], || sys::remove(parent.as_fd(), name, is_folder))?;
        self.nodes().displaced(&at.place());
        Ok(())
    }

    /// Moves a name, or swaps two.
    pub(crate) fn rename(
        &self,
        (folder, name): (u64, &CStr),
        (new_folder, new_name): (u64, &CStr),
        flags: u32,
    ) -> Result<(), Errno> {
        let (from, to) = (self.folder(folder)?, self.folder(new_folder)?);
        let (old, new) = (self.at(folder, name), self.at(new_folder, new_name));
        let there = [(old, event::MOVED_FROM), (new, event::MOVED_TO)];
        let back = [(new, event::MOVED_FROM), (old, event::MOVED_TO)];
        let echoes = if flags & EXCHANGE == 0 { there.to_vec() } else { [there, back].concat() };
        self.change_names(&echoes, || sys::rename((from.as_fd(), name), (to.as_fd(), new_name), flags))?;
        let moved = |at: At<'_>, parent: &OwnedFd| {
            // Gone again already: then no name of it is known, and it is found by the next look-up.
            if let Ok(status) = sys::status_of_name(parent.as_fd(), at.name) {
                self.nodes().moved(&status, at.place());
            }
        };
        moved(new, &to);
        if flags & EXCHANGE != 0 {
            moved(old, &from);
        }
        Ok(())
    }

    /// Keeps a handle of a regular file, opened as `flags` say; returns its number.
    pub(crate) fn keep_file(&self, file: OwnedFd, node: u64, flags: u32) -> u64 {
        let is_writable = flags & ACCESS != 0;
        let has_our_times = is_writable && sys::has_our_times(file.as_fd());
        self.keep(Handle::File { file: Arc::new(file), node, is_writable, has_our_times }, node)
    }

    /// Refuses to open one more file when there are too many.
    pub(crate) fn have_room(&self) -> Result<(), Errno> {
        let for_locks = self.locks.held();
        self.handles().have_room(for_locks)
    }

    /// Keeps a handle of a node; returns its number.
    pub(crate) fn keep(&self, handle: Handle, node: u64) -> u64 {
        self.nodes().opened(node);
        self.handles().keep(handle)
    }
}
