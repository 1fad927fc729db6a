//! Bounds on what one layer may unpack to. They are far above real images and far below what fills a machine
//! before anyone notices.

use tar::EntryType;

use super::archive::Entry;
use crate::{Error, Result};

/// The most that one layer may hold.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Entries; a million are legitimate.
    pub(crate) entries: u64,
    /// Bytes of content, holes included.
    pub(crate) bytes: u64,
    /// Device nodes: images have a dozen, and each is an inode of no use.
    pub(crate) devices: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { entries: 4_000_000, bytes: 1 << 40, devices: 10_000 }
    }
}

/// The kernel's longest path, PATH_MAX without its NUL.
const PATH_LONGEST: usize = 4095;
/// The file system's longest name.
const NAME_LONGEST: usize = 255;

/// What has been used of the limits.
pub(crate) struct Spent {
    limits: Limits,
    entries: u64,
    bytes: u64,
    devices: u64,
}

impl Spent {
    pub(crate) fn new(limits: Limits) -> Self {
        Self { limits, entries: 0, bytes: 0, devices: 0 }
    }

    /// Counts an entry, or says which limit it breaks.
    pub(crate) fn entry(&mut self, entry: &Entry, path: &[u8]) -> Result<()> {
        self.entries += 1;
        self.bytes = self.bytes.saturating_add(if entry.kind.is_file() { entry.size } else { 0 });
        self.devices += u64::from(matches!(entry.kind, EntryType::Char | EntryType::Block));
        let within = |count: u64, limit: u64, what: &'static str| {
            if count > limit { Err(Error::LayerLimit { what, limit }) } else { Ok(()) }
        };
        within(self.entries, self.limits.entries, "entries")?;
        within(self.bytes, self.limits.bytes, "bytes of content")?;
        within(self.devices, self.limits.devices, "device nodes")?;
        within(path.len() as u64, PATH_LONGEST as u64, "a path's length")?;
        within(entry.link.len() as u64, PATH_LONGEST as u64, "a link's length")?;
        let longest = path.split(|byte| *byte == b'/').map(<[u8]>::len).max().unwrap_or(0);
        within(longest as u64, NAME_LONGEST as u64, "a name's length")
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;
    use crate::unpack::unpack;

    const LIMITS: Limits = Limits { entries: 10, bytes: 1 << 20, devices: 0 };

    fn archive(files: usize, size: usize) -> Vec<u8> {
        let mut tar = tar::Builder::new(Vec::new());
        for number in 0..files {
            let mut header = tar::Header::new_ustar();
            header.set_size(size as u64);
            tar.append_data(&mut header, number.to_string(), vec![0; size].as_slice()).unwrap();
        }
        tar.into_inner().unwrap()
    }

    fn gzipped(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn refused(archive: &[u8]) -> Option<String> {
        let folder = tempfile::tempdir().unwrap();
        let refused = unpack(archive, folder.path(), &LIMITS).err().map(|error| error.to_string());
        let entries = std::fs::read_dir(folder.path()).unwrap().count() as u64;
        assert!(entries <= LIMITS.entries, "{entries} were unpacked");
        refused
    }

    #[test]
    fn a_layer_of_more_than_the_limits_is_refused_by_name_as_it_comes() {
        assert_eq!(refused(&archive(10, 1)), None);
        let (too_many, too_much) =
            (refused(&archive(11, 1)).unwrap(), refused(&archive(2, 1 << 20)).unwrap());
        assert!(too_many.contains("entries") && too_many.contains("10"), "{too_many}");
        assert!(too_much.contains("bytes of content") && too_much.contains("1048576"), "{too_much}");
        let bomb = gzipped(&archive(1, 64 << 20));
        assert!(bomb.len() < 100_000, "{}", bomb.len());
        assert!(refused(&bomb).unwrap().contains("bytes of content"));
    }
}
