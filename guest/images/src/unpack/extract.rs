//! Archives of plain files: a build's context, what ADD unpacks. Whiteouts are names like any other here.

use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::archive::Archive;
use super::decompress::{decompress, piped};
use super::tree::Tree;
use super::{Limits, Placing, clean, place_all};
use crate::{Error, Result};

/// What unpacked files get instead of what their archive says.
#[derive(Clone, Copy, Default)]
pub struct Dress<'a> {
    /// User and group.
    pub owner: Option<(u32, u32)>,
    /// Permissions, by the archive's and whether it is a folder.
    pub mode: Option<&'a dyn Fn(u32, bool) -> u32>,
}

impl std::fmt::Debug for Dress<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Dress").field("owner", &self.owner).finish_non_exhaustive()
    }
}

/// Unpacks an archive, plain or compressed, into the folder `beneath` of `root`; says the files' sizes together.
/// Every name is resolved beneath `root`, whatever links lie there.
///
/// # Errors
/// When it isn't an archive, holds more than a layer may, or the disk refuses.
pub fn extract(source: impl Read + Send, root: &Path, beneath: &Path, dress: Dress<'_>) -> Result<u64> {
    let beneath = clean(beneath.as_os_str().as_bytes())?;
    let placing = Placing { beneath, dress, ..Placing::default() };
    let tree = Tree::open(root).map_err(Error::file("open", root))?;
    piped(source, |plain| {
        let mut archive = Archive::new(plain);
        let size = place_all(&mut archive, tree, placing, &Limits::default())?;
        // Whoever sends it must not be cut off before its end.
        archive.finish().map(|_| size)
    })
}

/// Whether a file is an archive that [`extract`] reads, told by its first entry.
///
/// # Errors
/// When it can't be read.
pub fn is_archive(file: File) -> Result<bool> {
    let length = file.metadata().map_err(Error::stream("look at a file"))?.len();
    if length < 10 {
        return Ok(false);
    }
    let Ok(plain) = decompress(file) else { return Ok(false) };
    Ok(matches!(Archive::new(plain).next(), Ok(Some(_))))
}
