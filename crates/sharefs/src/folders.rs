//! Folders: opened and listed.

use std::ffi::CStr;
use std::os::fd::AsFd;
use std::sync::{Mutex, PoisonError};

use crate::handles::Handle;
use crate::server::Server;
use crate::sys::{self, Errno, Kind, mode};
use crate::wire::ROOT;
use crate::wire::reply::{ENTRY, Reply, folder_entry_length};
use crate::wire::request::Header;

/// A folder's kind in a list.
const FOLDER: u32 = mode::FOLDER >> 12;

impl Server {
    /// Opens a folder.
    pub(crate) fn open_folder(&self, node: u64, reply: &mut Reply<'_>) -> Result<(), Errno> {
        self.have_room()?;
        let handle = if node == ROOT {
            self.handles().keep(Handle::Root)
        } else {
            if self.nodes().kind(node)? != Kind::Folder {
                return Err(Errno::NOTDIR);
            }
            self.watch(node);
            let folder = sys::reopen(self.nodes().file(node)?.as_fd(), 0)?;
            self.keep(Handle::Folder { folder: Mutex::new(folder), node }, node)
        };
        reply.open(handle, 0);
        Ok(())
    }

    /// Lists a folder from `offset` on, as much as fits; with attributes when the kernel wants these too.
    pub(crate) fn read_folder(
        &self,
        header: &Header,
        handle: u64,
        offset: u64,
        size: usize,
        plus: bool,
        reply: &mut Reply<'_>,
    ) -> Result<(), Errno> {
        let handle = self.handles().get(handle)?;
        let mut list = List { server: self, header, size, plus, reply };
        match &*handle {
            Handle::File { .. } => Err(Errno::NOTDIR),
            Handle::Root => {
                let shares = self.nodes().shares().to_vec();
                let skipped = usize::try_from(offset).unwrap_or(usize::MAX);
                for (index, share) in shares.iter().enumerate().skip(skipped) {
                    let name = std::ffi::CString::new(share.name.as_str()).map_err(|_| Errno::INVAL)?;
                    if !list.add(index as u64 + 2, index as u64 + 1, FOLDER, &name) {
                        break;
                    }
                }
                Ok(())
            }
            Handle::Folder { folder, .. } => {
                let folder = folder.lock().unwrap_or_else(PoisonError::into_inner);
                let device = sys::status(folder.as_fd())?.device;
                // An entry takes the guest a little more than the host, and with attributes several times as much.
                let at_once = if plus { size / 4 } else { size };
                sys::read_folder(folder.as_fd(), offset, at_once, |ino, next, kind, name| {
                    let ino = self.nodes().number(device, ino);
                    list.add(ino, next, kind, name)
                })
            }
        }
    }
}

/// A list under construction.
struct List<'a, 'b> {
    server: &'a Server,
    header: &'a Header,
    size: usize,
    plus: bool,
    reply: &'a mut Reply<'b>,
}

impl List<'_, '_> {
    /// Adds one name; false when it doesn't fit.
    fn add(&mut self, ino: u64, next: u64, kind: u32, name: &CStr) -> bool {
        let length = folder_entry_length(name.to_bytes()) + if self.plus { ENTRY } else { 0 };
        if self.reply.len() + length > self.size {
            return false;
        }
        if self.plus {
            self.add_attributes(name);
        }
        self.reply.folder_entry(ino, next, kind, name.to_bytes());
        true
    }

    /// What a look-up would answer; nothing for what is gone already and for the two names that lead elsewhere.
    fn add_attributes(&mut self, name: &CStr) {
        let is_real = !matches!(name.to_bytes(), b"." | b"..");
        match is_real.then(|| self.server.entry(self.header, name)) {
            Some(Ok(entry)) => self.reply.entry(&entry),
            _ => self.reply.no_entry(),
        }
    }
}
