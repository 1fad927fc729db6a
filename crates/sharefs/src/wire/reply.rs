//! Replies.

use super::REPLY_HEADER;
use super::request::Lock;
use crate::sys::{Errno, FileSystem, Status};

/// The owner shown is whoever asked: a kernel with our patch doesn't keep it for others (vm-image/fuse.patch).
pub(crate) const ATTRIBUTE_OF_ASKER: u32 = 1 << 31;
/// Attributes as the guest is to see them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Attributes {
    pub(crate) status: Status,
    /// The number that the guest sees.
    pub(crate) ino: u64,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// Whether the owner is whoever asked.
    pub(crate) of_asker: bool,
    /// How long the kernel may believe them, in seconds.
    pub(crate) valid: u64,
}

/// What a name leads to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry {
    pub(crate) node: u64,
    pub(crate) attributes: Attributes,
    /// How long the kernel may believe that the name leads there, in seconds.
    pub(crate) valid: u64,
}

/// A reply under construction; its header is written last.
pub(crate) struct Reply<'a> {
    pub(crate) bytes: &'a mut Vec<u8>,
    /// Bytes of the payload that lie with the carrier already.
    pub(crate) in_place: usize,
    /// Where lifetimes stand.
    lifetimes: Vec<usize>,
}

impl<'a> Reply<'a> {
    pub(crate) fn new(bytes: &'a mut Vec<u8>) -> Self {
        bytes.clear();
        bytes.resize(REPLY_HEADER, 0);
        Self { bytes, in_place: 0, lifetimes: Vec::new() }
    }

    /// Writes the header; an error takes the payload away. Returns how long the reply is.
    pub(crate) fn finish(self, unique: u64, result: Result<(), Errno>) -> usize {
        let mut length = self.bytes.len() + self.in_place;
        if result.is_err() {
            self.bytes.truncate(REPLY_HEADER);
            length = REPLY_HEADER;
        }
        self.bytes[..REPLY_HEADER].copy_from_slice(&bare(unique, result));
        self.bytes[..4].copy_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes());
        length
    }

    /// Cuts all lifetimes to so many seconds.
    pub(crate) fn shorten(&mut self, most: u64) {
        for at in &self.lifetimes {
            if let Some(Ok(field)) = self.bytes.get_mut(*at..at + 8).map(<&mut [u8; 8]>::try_from) {
                *field = u64::from_le_bytes(*field).min(most).to_le_bytes();
            }
        }
    }

    /// For how many seconds something may be believed.
    fn lifetime(&mut self, seconds: u64) {
        self.lifetimes.push(self.bytes.len());
        self.u64(seconds);
    }

    pub(crate) fn u16(&mut self, value: u16) {
        self.bytes.extend(value.to_le_bytes());
    }

    pub(crate) fn u32(&mut self, value: u32) {
        self.bytes.extend(value.to_le_bytes());
    }

    pub(crate) fn u64(&mut self, value: u64) {
        self.bytes.extend(value.to_le_bytes());
    }

    /// Bytes of the payload so far.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len() - REPLY_HEADER + self.in_place
    }

    /// `fuse_attr`.
    fn attributes(&mut self, of: &Attributes) {
        let status = &of.status;
        for value in [of.ino, status.size, status.blocks] {
            self.u64(value);
        }
        let times = [status.atime, status.mtime, status.ctime];
        for (seconds, _) in times {
            self.u64(seconds.cast_unsigned());
        }
        for (_, nanos) in times {
            self.u32(nanos);
        }
        for value in [status.mode, status.links, of.uid, of.gid, status.device_number, status.block_size] {
            self.u32(value);
        }
        self.u32(if of.of_asker { ATTRIBUTE_OF_ASKER } else { 0 });
    }

    /// `fuse_attr_out`.
    pub(crate) fn attributes_out(&mut self, of: &Attributes) {
        self.lifetime(of.valid);
        self.u64(0);
        self.attributes(of);
    }

    /// `fuse_entry_out`.
    pub(crate) fn entry(&mut self, entry: &Entry) {
        self.u64(entry.node);
        // The generation: node numbers are never used again.
        self.u64(0);
        self.lifetime(entry.valid);
        self.lifetime(entry.attributes.valid);
        self.u64(0);
        self.attributes(&entry.attributes);
    }

    /// A name that leads nowhere, which the kernel may believe for so many seconds.
    pub(crate) fn absent(&mut self, valid: u64) {
        // No node and no generation.
        self.u64(0);
        self.u64(0);
        self.lifetime(valid);
        let length = self.bytes.len();
        self.bytes.resize(length - 24 + ENTRY, 0);
    }

    /// A name in a list of which nothing more is said.
    pub(crate) fn no_entry(&mut self) {
        let length = self.bytes.len();
        self.bytes.resize(length + ENTRY, 0);
    }

    /// `fuse_open_out`.
    pub(crate) fn open(&mut self, handle: u64, flags: u32) {
        self.u64(handle);
        self.u32(flags);
        self.u32(0);
    }

    /// `fuse_lk_out`.
    pub(crate) fn lock(&mut self, lock: &Lock) {
        self.u64(lock.start);
        self.u64(lock.end);
        self.u32(lock.kind);
        self.u32(lock.pid);
    }

    /// `fuse_statfs_out`.
    pub(crate) fn file_system(&mut self, of: &FileSystem) {
        for value in [of.blocks, of.free, of.available, of.files, of.free_files] {
            self.u64(value);
        }
        for value in [of.block_size, of.longest_name, of.block_size, 0, 0, 0, 0, 0, 0, 0] {
            self.u32(value);
        }
    }

    /// `fuse_dirent`, after its entry when the kernel asked for attributes too.
    pub(crate) fn folder_entry(&mut self, ino: u64, next: u64, kind: u32, name: &[u8]) {
        self.u64(ino);
        self.u64(next);
        self.u32(u32::try_from(name.len()).unwrap_or_default());
        self.u32(kind);
        self.bytes.extend(name);
        let padded = self.len().next_multiple_of(8) + REPLY_HEADER;
        self.bytes.resize(padded, 0);
    }
}

/// A reply without a payload, which is a header.
pub(crate) fn bare(unique: u64, result: Result<(), Errno>) -> [u8; REPLY_HEADER] {
    let error = result.err().map_or(0, |errno| -errno.raw_os_error());
    let mut bytes = [0; REPLY_HEADER];
    bytes[..4].copy_from_slice(&(REPLY_HEADER as u32).to_le_bytes());
    bytes[4..8].copy_from_slice(&error.to_le_bytes());
    bytes[8..].copy_from_slice(&unique.to_le_bytes());
    bytes
}

/// How long [`Reply::entry`] is.
pub(crate) const ENTRY: usize = 128;

/// How long [`Reply::folder_entry`] of a name is.
pub(crate) fn folder_entry_length(name: &[u8]) -> usize {
    (24 + name.len()).next_multiple_of(8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_said_for_long_is_cut_and_the_rest_of_a_reply_stays() {
        let attributes = Attributes {
            status: Status { size: 77, ..Status::default() },
            ino: 40,
            uid: 30,
            gid: 30,
            of_asker: false,
            valid: 30,
        };
        let reply = |valid: u64, attributes: Attributes| {
            let mut bytes = Vec::new();
            let mut reply = Reply::new(&mut bytes);
            reply.entry(&Entry { node: 30, attributes, valid });
            reply.folder_entry(40, 50, 8, b"name");
            reply.attributes_out(&attributes);
            reply.shorten(1);
            bytes
        };
        assert_eq!(reply(30, attributes), reply(1, Attributes { valid: 1, ..attributes }));
        assert_eq!(reply(0, attributes), reply(0, Attributes { valid: 1, ..attributes }));
    }
}
