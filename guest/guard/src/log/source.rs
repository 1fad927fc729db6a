//! One file of a log to read from, as it was written or compressed (RFC 1952).

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use flate2::read::GzDecoder;
use flate2::{Compression, GzBuilder};

/// The name of our field in the header of a compressed file (RFC 1952, 2.3.1.1).
const FIELD: [u8; 2] = *b"Bt";

/// An open file of a log.
#[derive(Debug)]
pub(super) enum Source {
    /// As it was written; read from `place` on.
    Plain { file: File, place: u64 },
    /// Compressed; read from its beginning to its end.
    Compressed(Box<GzDecoder<File>>),
}

/// What tells a file that isn't written any more from others, also after it was compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    /// In nanoseconds since 1970.
    modified: u64,
    size: u64,
}

impl Source {
    pub(super) fn plain(file: File) -> Self {
        Self::Plain { file, place: 0 }
    }

    pub(super) fn compressed(file: File) -> Self {
        Self::Compressed(Box::new(GzDecoder::new(file)))
    }

    /// Whether both hold the same part of the log.
    pub(super) fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Plain { file, .. }, Self::Plain { file: other, .. }) => {
                let identity = |file: &File| file.metadata().map(|data| (data.dev(), data.ino())).ok();
                identity(file) == identity(other)
            }
            _ => self.stamp().is_some_and(|stamp| Some(stamp) == other.stamp()),
        }
    }

    fn stamp(&self) -> Option<Stamp> {
        match self {
            Self::Plain { file, .. } => Stamp::of(file).ok(),
            Self::Compressed(decoder) => Stamp::decode(decoder.header()?.extra()?),
        }
    }

    /// Reads some bytes; 0 at the present end.
    ///
    /// # Errors
    /// `InvalidData` when what was compressed is damaged.
    pub(super) fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain { file, place } => {
                let read = file.read_at(bytes, *place)?;
                *place += read as u64;
                Ok(read)
            }
            Self::Compressed(decoder) => decoder.read(bytes).map_err(|error| {
                let text = format!("the rest of a compressed log file can't be read: {error}");
                io::Error::new(io::ErrorKind::InvalidData, text)
            }),
        }
    }

    /// Goes back to the beginning.
    pub(super) fn rewind(self) -> io::Result<Self> {
        match self {
            Self::Plain { file, .. } => Ok(Self::plain(file)),
            Self::Compressed(decoder) => {
                let mut file = decoder.into_inner();
                file.seek(SeekFrom::Start(0))?;
                Ok(Self::compressed(file))
            }
        }
    }

    /// Whether the file is shorter than what was read of it: emptied by a rotation that keeps only one file.
    /// The next byte read is its first then.
    pub(super) fn was_emptied(&mut self) -> io::Result<bool> {
        let Self::Plain { file, place } = self else { return Ok(false) };
        let emptied = file.metadata()?.len() < *place;
        if emptied {
            *place = 0;
        }
        Ok(emptied)
    }
}

/// Compresses the log file `from`, which isn't written any more, into a new one at `to`, and syncs it.
pub fn compress(mut from: &File, to: &Path) -> io::Result<()> {
    let into = File::options().write(true).create(true).truncate(true).mode(0o640).open(to)?;
    let builder = GzBuilder::new().extra(Stamp::of(from)?.encode());
    let mut encoder = builder.write(into, Compression::fast());
    io::copy(&mut from, &mut encoder)?;
    encoder.finish()?.sync_all()
}

impl Stamp {
    fn of(file: &File) -> io::Result<Self> {
        let data = file.metadata()?;
        let modified = data.mtime().wrapping_mul(1_000_000_000).wrapping_add(data.mtime_nsec());
        Ok(Self { inode: data.ino(), modified: modified as u64, size: data.size() })
    }

    /// The extra field: two bytes of name, two of length (least significant first), three numbers.
    fn encode(self) -> Vec<u8> {
        let numbers = [self.inode, self.modified, self.size].map(u64::to_be_bytes);
        [&FIELD[..], &24_u16.to_le_bytes(), numbers.as_flattened()].concat()
    }

    fn decode(extra: &[u8]) -> Option<Self> {
        let (name, rest) = extra.split_first_chunk::<2>()?;
        let (length, numbers) = rest.split_first_chunk::<2>()?;
        let (numbers, []) = numbers.as_chunks::<8>() else { return None };
        let [inode, modified, size] = *numbers else { return None };
        let [inode, modified, size] = [inode, modified, size].map(u64::from_be_bytes);
        (*name == FIELD && u16::from_le_bytes(*length) == 24).then_some(Self { inode, modified, size })
    }
}
