//! Folders: opened and listed.

use std::collections::VecDeque;
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Mutex, PoisonError};

use crate::handles::Handle;
use crate::server::Server;
use crate::sys::{self, Errno, FolderEntry, Kind, SeekFrom, mode};
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
            let file = sys::reopen(self.nodes().file(node)?.as_fd(), 0)?;
            let folder = Mutex::new(OpenFolder::new(file));
            self.keep(Handle::Folder { folder, node }, node)
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
                    let name = CString::new(share.name.as_str()).map_err(|_| Errno::INVAL)?;
                    let (number, next) = (index as u64 + 2, index as u64 + 1);
                    if !list.add(number, &FolderEntry { number, next, kind: FOLDER, name }) {
                        break;
                    }
                }
                Ok(())
            }
            Handle::Folder { folder, .. } => {
                folder.lock().unwrap_or_else(PoisonError::into_inner).read(offset, &mut list)
            }
        }
    }
}

/// An open folder. Its descriptor has a place of its own.
pub(crate) struct OpenFolder {
    pub(crate) file: OwnedFd,
    /// Where the guest goes on, unless it goes elsewhere; none after an error.
    at: Option<u64>,
    /// What comes there, as far as it was read already: it didn't fit the last reply.
    ahead: VecDeque<FolderEntry>,
}

impl OpenFolder {
    fn new(file: OwnedFd) -> Self {
        Self { file, at: Some(0), ahead: VecDeque::new() }
    }

    /// Adds what comes from `offset` on to the list, as much as fits.
    fn read(&mut self, offset: u64, list: &mut List<'_, '_>) -> Result<(), Errno> {
        let device = sys::status(self.file.as_fd())?.device;
        if self.at.take() != Some(offset) {
            self.ahead.clear();
            sys::seek(self.file.as_fd(), SeekFrom::Start(offset))?;
        }
        self.at = Some(offset);
        loop {
            while let Some(entry) = self.ahead.pop_front() {
                let number = list.server.nodes().number(device, entry.number);
                if !list.add(number, &entry) {
                    self.ahead.push_front(entry);
                    return Ok(());
                }
                self.at = Some(entry.next);
            }
            self.ahead = sys::read_folder(self.file.as_fd(), list.room())?;
            if self.ahead.is_empty() {
                return Ok(());
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
    /// How many bytes of the host's entries fit, about: the guest's take a little more, and with attributes several
    /// times as much.
    fn room(&self) -> usize {
        let left = self.size.saturating_sub(self.reply.len());
        if self.plus { left / 4 } else { left }
    }

    /// Adds one entry under the number that the guest knows it by; false when it doesn't fit.
    fn add(&mut self, number: u64, entry: &FolderEntry) -> bool {
        let name = entry.name.as_c_str();
        let length = folder_entry_length(name.to_bytes()) + if self.plus { ENTRY } else { 0 };
        if self.reply.len() + length > self.size {
            return false;
        }
        if self.plus {
            self.add_attributes(name);
        }
        self.reply.folder_entry(number, entry.next, entry.kind, name.to_bytes());
        true
    }

    /// What a look-up would answer; nothing for what is gone already and for the two names that lead elsewhere.
    fn add_attributes(&mut self, name: &CStr) {
        let is_real = !matches!(name.to_bytes(), b"." | b"..");
        match is_real.then(|| self.server.entry(self.header, self.server.look_at(self.header.node, name))) {
            Some(Ok(entry)) => self.reply.entry(&entry),
            _ => self.reply.no_entry(),
        }
    }
}
