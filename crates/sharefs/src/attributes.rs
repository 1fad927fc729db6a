//! Attributes: asked for and changed.

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use crate::handles::Handle;
use crate::server::Server;
use crate::sys::{self, Errno, Kind, Moment, Status, Time, mode};
use crate::watch::SHORT;
use crate::wire::reply::{Attributes, Reply};
use crate::wire::request::{Change, Header};
use crate::wire::{ROOT, change};

impl Server {
    /// Attributes of a file; of an open one by its handle, since its names may be gone.
    pub(crate) fn get_attributes(
        &self,
        header: &Header,
        handle: Option<u64>,
        reply: &mut Reply<'_>,
    ) -> Result<(), Errno> {
        reply.attributes_out(&self.attributes(header, handle)?);
        Ok(())
    }

    fn attributes(&self, header: &Header, handle: Option<u64>) -> Result<Attributes, Errno> {
        if header.node == ROOT {
            return Ok(self.root());
        }
        let handle = handle.map(|handle| self.handles().get(handle)).transpose()?;
        if let Some(Handle::File { file, .. }) = handle.as_deref() {
            let status = sys::status(file.as_fd())?;
            return Ok(self.shown(header, header.node, file.as_fd(), status));
        }
        let file = self.nodes().named_file(header.node)?;
        let status = sys::status(file.as_fd())?;
        Ok(self.shown(header, header.node, file.as_fd(), status))
    }

    /// The folder of the shares: nobody's, and nobody writes it.
    fn root(&self) -> Attributes {
        let links = u32::try_from(self.nodes().shares().len()).unwrap_or(u32::MAX).saturating_add(2);
        let status = Status { mode: mode::FOLDER | 0o555, links, block_size: 4096, ..Status::default() };
        Attributes { status, ino: ROOT, uid: 0, gid: 0, of_asker: false, valid: SHORT }
    }

    /// Changes attributes, each as its flag says.
    pub(crate) fn set_attributes(
        &self,
        header: &Header,
        wish: &Change,
        reply: &mut Reply<'_>,
    ) -> Result<(), Errno> {
        if header.node == ROOT {
            return Err(Errno::PERM);
        }
        let handle =
            (wish.valid & change::HANDLE != 0).then(|| self.handles().get(wish.handle)).transpose()?;
        let (file, is_open) = match handle.as_deref() {
            Some(Handle::File { file, .. }) => (Arc::clone(file), true),
            _ => (self.nodes().file(header.node)?, false),
        };
        let file = file.as_fd();
        let status = self.change_attributes(header.node, file, || {
            let before = sys::status(file)?;
            self.change(header, file, is_open, wish, &before)?;
            let after = sys::status(file)?;
            self.nodes().owner_stays(header.node, before.ctime, after.ctime);
            Ok(after)
        })?;
        reply.attributes_out(&self.shown(header, header.node, file, status));
        Ok(())
    }

    fn change(
        &self,
        header: &Header,
        file: BorrowedFd<'_>,
        is_open: bool,
        wish: &Change,
        before: &Status,
    ) -> Result<(), Errno> {
        let has = |flag: u32| wish.valid & flag != 0;
        if has(change::UID) || has(change::GID) {
            let uid = has(change::UID).then_some(wish.uid);
            let gid = has(change::GID).then_some(wish.gid);
            if before.uid == self.user.0 && matches!(before.kind(), Kind::Regular | Kind::Folder) {
                self.remember_owner(header, file, uid, gid)?;
            }
        }
        if has(change::MODE) {
            if before.kind() == Kind::Symlink {
                return Err(Errno::OPNOTSUPP);
            }
            let is_folder = before.kind() == Kind::Folder;
            let kept = if is_folder { 0o7777 } else { 0o7777 & !mode::SET_ID };
            sys::set_mode(file, wish.mode & kept)?;
        }
        if has(change::SIZE) {
            match before.kind() {
                Kind::Regular if is_open => sys::truncate(file, wish.size)?,
                Kind::Regular => {
                    let opened = sys::reopen(file, sys::WRITE_ONLY)?;
                    self.expect_close(header.node);
                    sys::truncate(opened.as_fd(), wish.size)?;
                }
                Kind::Folder => return Err(Errno::ISDIR),
                _ => return Err(Errno::INVAL),
            }
        }
        let time = |set: u32, now: u32, at: Moment| match (has(now), has(set)) {
            (true, _) => Time::Now,
            (_, true) => Time::At(at),
            _ => Time::Keep,
        };
        let atime = time(change::ATIME, change::ATIME_NOW, wish.atime);
        let mtime = time(change::MTIME, change::MTIME_NOW, wish.mtime);
        if !matches!((atime, mtime), (Time::Keep, Time::Keep)) {
            sys::set_times(file, atime, mtime)?;
        }
        Ok(())
    }
}
