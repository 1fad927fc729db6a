//! What the server tells the kernel unasked. Each message is what would be written to `/dev/fuse`; the last one is our
//! patch's (vm-image/fuse.patch).

use std::ffi::CStr;

use super::REPLY_HEADER;

/// The code of [`look`].
pub(crate) const LOOK: u32 = 0x4002;

/// What the kernel knows of a file is no longer sure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stale {
    Attributes,
    /// Its content too.
    Content,
}

/// Appends: attributes of a node, or its content too, are to be asked for again.
pub(crate) fn stale(into: &mut Vec<u8>, node: u64, what: Stale) {
    let offset: i64 = if what == Stale::Content { 0 } else { -1 };
    message(into, 2, |into| {
        into.extend(node.to_le_bytes());
        into.extend(offset.to_le_bytes());
        into.extend(0i64.to_le_bytes());
    });
}

/// Appends: where a name leads is to be asked again. What is mounted there stays mounted.
pub(crate) fn stale_name(into: &mut Vec<u8>, folder: u64, name: &CStr) {
    const EXPIRE_ONLY: u32 = 1;
    message(into, 3, |into| {
        into.extend(folder.to_le_bytes());
        into.extend(length(name).to_le_bytes());
        into.extend(EXPIRE_ONLY.to_le_bytes());
        into.extend(name.to_bytes_with_nul());
    });
}

/// Appends: an inotify event for those who watch the folder or the file.
pub(crate) fn event(
    into: &mut Vec<u8>,
    folder: u64,
    child: Option<u64>,
    mask: u32,
    cookie: u32,
    name: &CStr,
) {
    message(into, 0x4001, |into| {
        into.extend(folder.to_le_bytes());
        into.extend(child.unwrap_or(0).to_le_bytes());
        for value in [mask, cookie, length(name), 0] {
            into.extend(value.to_le_bytes());
        }
        into.extend(name.to_bytes_with_nul());
    });
}

/// Appends: whoever carries these is to look at a path beneath the mount, so that the kernel knows it. Not the kernel's to
/// read: a kernel can raise a file's event with its name only for a file that it knows.
pub(crate) fn look(into: &mut Vec<u8>, path: &[u8]) {
    message(into, LOOK, |into| into.extend(path));
}

fn length(name: &CStr) -> u32 {
    u32::try_from(name.count_bytes()).unwrap_or(u32::MAX)
}

/// A header that no request has asked for: the code stands where the error would.
fn message(into: &mut Vec<u8>, code: u32, body: impl FnOnce(&mut Vec<u8>)) {
    let start = into.len();
    into.resize(start + REPLY_HEADER, 0);
    body(into);
    let length = u32::try_from(into.len() - start).unwrap_or(u32::MAX);
    into[start..start + 4].copy_from_slice(&length.to_le_bytes());
    into[start + 4..start + 8].copy_from_slice(&code.to_le_bytes());
}
