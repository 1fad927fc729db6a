//! An extended attribute by a name in a folder. A descriptor without rights leads to attributes through `/proc` only, which
//! takes three times as long.

#![expect(unsafe_code, reason = "rustix doesn't have the call yet")]

use std::ffi::{CStr, c_char, c_int, c_long};
use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::fs::AtFlags;

use super::{Errno, Result};

/// getxattrat(2), Linux 6.13; the same number on every processor.
const GETXATTRAT: c_long = 464;

/// `struct xattr_args`, `linux/xattr.h`.
#[repr(C)]
struct Value {
    address: u64,
    size: u32,
    flags: u32,
}

unsafe extern "C" {
    fn syscall(number: c_long, ...) -> c_long;
}

/// The attribute `attribute` of what `name` in `folder` is, at most as long as `into`; a link's are its own. The name is a
/// single component.
///
/// # Errors
/// `NOSYS` on kernels that don't have the call, among others.
pub(crate) fn get_attribute_of_name(
    folder: BorrowedFd<'_>,
    name: &CStr,
    attribute: &CStr,
    into: &mut [u8],
) -> Result<usize> {
    let size = u32::try_from(into.len()).unwrap_or(u32::MAX);
    let mut value = Value { address: into.as_mut_ptr() as u64, size, flags: 0 };
    let flags = AtFlags::SYMLINK_NOFOLLOW.bits();
    let (name, attribute): (*const c_char, *const c_char) = (name.as_ptr(), attribute.as_ptr());
    // SAFETY: both names end with a zero, and all that is pointed to outlives the call, which writes at most `size` bytes.
    let length = unsafe {
        syscall(
            GETXATTRAT,
            folder.as_raw_fd() as c_int,
            name,
            flags,
            attribute,
            std::ptr::from_mut(&mut value),
            size_of::<Value>(),
        )
    };
    usize::try_from(length)
        .map_err(|_| Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO))
}
