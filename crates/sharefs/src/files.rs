//! The content of regular files, and links' targets.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use crate::carrier::Carrier;
use crate::handles::Handle;
use crate::server::Server;
use crate::sys::{self, Errno, Kind, SeekFrom};
use crate::wire::reply::Reply;
use crate::wire::request::CopyRange;
use crate::wire::{LONGEST_DATA, ROOT};

impl Server {
    /// Opens a regular file. Others aren't opened: the guest's kernel deals with FIFOs, sockets and devices by itself.
    pub(crate) fn open(&self, node: u64, flags: u32, reply: &mut Reply<'_>) -> Result<(), Errno> {
        self.have_room()?;
        let mut nodes = self.nodes();
        match nodes.kind(node)? {
            Kind::Regular => {}
            Kind::Folder => return Err(Errno::ISDIR),
            Kind::Symlink => return Err(Errno::LOOP),
            Kind::Special => return Err(Errno::NXIO),
        }
        let file = nodes.named_file(node)?;
        drop(nodes);
        let open = || sys::reopen(file.as_fd(), flags);
        let file = if flags & sys::TRUNCATE == 0 { open() } else { self.change_file(node, &file, open) }?;
        reply.open(self.keep_file(file, node, flags), 0);
        Ok(())
    }

    /// Closes a handle.
    pub(crate) fn close(&self, handle: u64) {
        let closed = self.handles().close(handle);
        match closed.as_deref() {
            Some(Handle::File { node, is_writable, .. }) => {
                self.release_locks(*node, handle);
                if *is_writable {
                    self.expect_close(*node);
                }
                self.nodes().closed(*node);
            }
            Some(Handle::Folder { node, .. }) => self.nodes().closed(*node),
            Some(Handle::Root) | None => {}
        }
        drop(closed);
        self.locks.given_back();
    }

    /// Where a symbolic link leads.
    pub(crate) fn read_link(&self, node: u64, reply: &mut Reply<'_>) -> Result<(), Errno> {
        let file = self.folder(node)?;
        reply.bytes.extend(sys::link_target(file.as_fd())?);
        Ok(())
    }

    pub(crate) fn read(
        &self,
        handle: u64,
        offset: u64,
        size: usize,
        carrier: &dyn Carrier,
        reply: &mut Reply<'_>,
    ) -> Result<(), Errno> {
        let read = carrier.read(self.file_of(handle)?.1.as_fd(), size, offset).map_err(errno)?;
        reply.in_place = read;
        Ok(())
    }

    pub(crate) fn write(
        &self,
        handle: u64,
        offset: Option<u64>,
        size: usize,
        carrier: &dyn Carrier,
        reply: &mut Reply<'_>,
    ) -> Result<(), Errno> {
        let handle = self.handles().get(handle)?;
        let Handle::File { file, node, has_our_times, .. } = &*handle else { return Err(Errno::ISDIR) };
        let write = || carrier.write(file.as_fd(), size, offset).map_err(errno);
        let written = match has_our_times {
            true => self.change_file_by_clock(*node, write),
            false => self.change_file(*node, file, write),
        }?;
        reply.u32(u32::try_from(written).unwrap_or(u32::MAX));
        reply.u32(0);
        Ok(())
    }

    /// Where data or a hole begins.
    pub(crate) fn seek(
        &self,
        handle: u64,
        offset: u64,
        whence: u32,
        reply: &mut Reply<'_>,
    ) -> Result<(), Errno> {
        let place = match whence {
            3 => SeekFrom::Data(offset),
            4 => SeekFrom::Hole(offset),
            _ => return Err(Errno::INVAL),
        };
        reply.u64(sys::seek(self.file_of(handle)?.1.as_fd(), place)?);
        Ok(())
    }

    /// Reserves or frees room.
    pub(crate) fn allocate(&self, handle: u64, offset: u64, length: u64, mode: u32) -> Result<(), Errno> {
        let (node, file) = self.file_of(handle)?;
        self.change_file(node, &file, || sys::allocate(file.as_fd(), mode, offset, length))
    }

    /// Copies from file to file on the host.
    pub(crate) fn copy_range(&self, range: &CopyRange, reply: &mut Reply<'_>) -> Result<(), Errno> {
        /// One request occupies a queue for as long as it takes.
        const MOST: u64 = 16 * LONGEST_DATA as u64;
        let ((_, from), (node, to)) = (self.file_of(range.from)?, self.file_of(range.to)?);
        let length = usize::try_from(range.length.min(MOST)).unwrap_or(LONGEST_DATA);
        let source = (from.as_fd(), range.from_offset);
        let copy = || sys::copy_range(source, (to.as_fd(), range.to_offset), length);
        let copied = self.change_file(node, &to, copy)?;
        reply.u32(u32::try_from(copied).unwrap_or(u32::MAX));
        reply.u32(0);
        Ok(())
    }

    /// Returns when what was written through any handle of the file, or in the folder, is on the disk.
    pub(crate) fn sync(&self, handle: u64, data_only: bool) -> Result<(), Errno> {
        let handle = self.handles().get(handle)?;
        match &*handle {
            Handle::File { file, .. } => sys::sync(file.as_fd(), data_only),
            Handle::Folder { folder, .. } => {
                let folder = folder.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                sys::sync(folder.file.as_fd(), data_only)
            }
            Handle::Root => Ok(()),
        }
    }

    /// Returns when everything of every shared folder's file system is on the disk.
    pub(crate) fn sync_all(&self) -> Result<(), Errno> {
        let folders: Vec<_> = self.nodes().shares().iter().map(|share| share.folder.clone()).collect();
        folders.iter().try_for_each(|folder| sys::sync_file_system(sys::open_root(folder)?.as_fd()))
    }

    /// How full the file system is; of the root, the first share's.
    pub(crate) fn file_system(&self, node: u64, reply: &mut Reply<'_>) -> Result<(), Errno> {
        let found = if node == ROOT {
            let folder = self.nodes().shares().first().map(|share| share.folder.clone());
            sys::file_system(sys::open_root(&folder.ok_or(Errno::NOENT)?)?.as_fd())?
        } else {
            sys::file_system(self.nodes().file(node)?.as_fd())?
        };
        reply.file_system(&found);
        Ok(())
    }

    /// The node of an open file, and the file.
    pub(crate) fn file_of(&self, handle: u64) -> Result<(u64, Arc<OwnedFd>), Errno> {
        match &*self.handles().get(handle)? {
            Handle::File { file, node, .. } => Ok((*node, Arc::clone(file))),
            Handle::Folder { .. } | Handle::Root => Err(Errno::ISDIR),
        }
    }
}

/// What Linux calls an error of a carrier.
fn errno(error: std::io::Error) -> Errno {
    Errno::from_io_error(&error).unwrap_or(Errno::IO)
}
