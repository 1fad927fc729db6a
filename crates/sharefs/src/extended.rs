//! Extended attributes: those of users (`user.…`), but for our own.

use std::ffi::CStr;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use crate::owner::HIDDEN;
use crate::server::Server;
use crate::sys::{self, Errno, Kind};
use crate::wire::LONGEST_ATTRIBUTE;
use crate::wire::reply::Reply;

impl Server {
    pub(crate) fn set_extended(&self, node: u64, name: &CStr, value: &[u8], flags: u32) -> Result<(), Errno> {
        let file = self.attributed(node, name)?;
        self.change_file(node, &file, || sys::set_attribute(file.as_fd(), name, value, flags))
    }

    /// A value, or its length when `size` is zero.
    pub(crate) fn get_extended(
        &self,
        node: u64,
        name: &CStr,
        size: usize,
        reply: &mut Reply<'_>,
    ) -> Result<(), Errno> {
        if !is_visible(name.to_bytes()) {
            return Err(if is_users(name.to_bytes()) { Errno::NODATA } else { Errno::OPNOTSUPP });
        }
        let file = self.attributed(node, name)?;
        let mut value = vec![0; LONGEST_ATTRIBUTE];
        let length = sys::get_attribute(file.as_fd(), name, &mut value)?;
        answer(&value[..length.min(value.len())], size, reply)
    }

    /// The names, or their length when `size` is zero.
    pub(crate) fn list_extended(&self, node: u64, size: usize, reply: &mut Reply<'_>) -> Result<(), Errno> {
        let file = self.folder(node)?;
        if !matches!(self.nodes().kind(node)?, Kind::Regular | Kind::Folder) {
            return answer(&[], size, reply);
        }
        let mut names = vec![0; LONGEST_ATTRIBUTE];
        let length = sys::list_attributes(file.as_fd(), &mut names)?;
        let names = names[..length.min(names.len())].split_inclusive(|byte| *byte == 0);
        let visible: Vec<u8> = names.filter(|name| is_visible(name)).flatten().copied().collect();
        answer(&visible, size, reply)
    }

    pub(crate) fn remove_extended(&self, node: u64, name: &CStr) -> Result<(), Errno> {
        let file = self.attributed(node, name)?;
        self.change_file(node, &file, || sys::remove_attribute(file.as_fd(), name))
    }

    /// The file, when it can have an attribute of this name.
    fn attributed(&self, node: u64, name: &CStr) -> Result<Arc<OwnedFd>, Errno> {
        let bytes = name.to_bytes();
        if bytes.len() > 255 {
            return Err(Errno::RANGE);
        }
        if !is_users(bytes) {
            return Err(Errno::OPNOTSUPP);
        }
        let can_have = matches!(self.nodes().kind(node)?, Kind::Regular | Kind::Folder);
        if !can_have || !is_visible(bytes) {
            return Err(Errno::PERM);
        }
        self.folder(node)
    }
}

fn is_users(name: &[u8]) -> bool {
    name.starts_with(b"user.")
}

fn is_visible(name: &[u8]) -> bool {
    is_users(name) && !name.starts_with(HIDDEN)
}

/// The bytes themselves, or how many there are when the asker has no room yet.
fn answer(bytes: &[u8], size: usize, reply: &mut Reply<'_>) -> Result<(), Errno> {
    if size == 0 {
        reply.u32(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
        reply.u32(0);
    } else if bytes.len() > size {
        return Err(Errno::RANGE);
    } else {
        reply.bytes.extend(bytes);
    }
    Ok(())
}
