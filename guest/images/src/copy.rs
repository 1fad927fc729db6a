//! Files in and out of a container's root as tar (`docker cp`). Everything is looked up beneath the given root,
//! whatever the archive or the container says.

use std::ffi::OsStr;
use std::io::{Read, Write};
use std::os::fd::BorrowedFd;

use crate::unpack::{self, Archive, Dress, Placing};
use crate::{Error, Result, pack};

/// How [`copy_in`] places what an archive holds.
#[derive(Debug, Clone, Default)]
pub struct CopyOptions {
    /// Whether a folder and something that isn't one may not replace each other.
    pub no_overwrite_dir_non_dir: bool,
    /// Who owns everything; whom the archive says when none is given.
    pub owner: Option<(u32, u32)>,
    /// Whether the folder that is copied into takes owner and mode of the archive's own top folder.
    pub dress_folder: bool,
}

/// Writes what is at `name` in `folder`, and all in it, as a tar whose first entry is `shown`. A `name` of `.` is the
/// folder itself.
///
/// # Errors
/// When it can't be read, or the writer refuses.
pub fn copy_out(folder: BorrowedFd<'_>, name: &OsStr, shown: &[u8], writer: impl Write) -> Result<()> {
    pack::one(folder, name, shown, writer)
}

/// Unpacks a tar, plain or compressed, into the folder `path` (absolute) of the tree at `root`.
///
/// # Errors
/// When it isn't an archive, or something in it can't be placed.
pub fn copy_in(
    root: BorrowedFd<'_>,
    path: &[u8],
    archive: impl Read + Send,
    options: &CopyOptions,
) -> Result<()> {
    let root = root.try_clone_to_owned().map_err(Error::stream("open the root"))?;
    let placing = Placing {
        beneath: unpack::clean(path)?,
        whiteouts: false,
        no_overwrite_dir_non_dir: options.no_overwrite_dir_non_dir,
        dress: Dress { owner: options.owner, mode: None },
        dress_folder: options.dress_folder,
    };
    unpack::decompressed(archive, |plain| unpack::place_entries(&mut Archive::new(plain), root, placing))
}
