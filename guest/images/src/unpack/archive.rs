//! A tar stream entry by entry: plain, GNU and PAX headers. Only the header's fields are the `tar` crate's; what
//! belongs together and how long it is, is decided here once, so that no two readers can disagree about it.

use std::io::{self, Read};

use tar::{EntryType, Header};

use super::pax::Pax;
use super::sparse::{self, Segment};
use crate::{Error, Result};

/// Tar's unit.
const BLOCK: usize = 512;
/// Long names and PAX headers over this are refused: real ones hold a path and some attributes.
const EXTENSION_LARGEST: u64 = 1 << 20;

/// One entry's header, all extensions applied. Its content is read from the archive next.
pub(crate) struct Entry {
    pub(crate) kind: EntryType,
    pub(crate) path: Vec<u8>,
    pub(crate) link: Vec<u8>,
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) mtime: (i64, u32),
    pub(crate) device: (u32, u32),
    /// The file's size, holes included.
    pub(crate) size: u64,
    /// Where the data goes, when the file has holes.
    pub(crate) segments: Option<Vec<Segment>>,
    pub(crate) pax: Pax,
}

/// Reads entries from a stream.
pub(crate) struct Archive<R> {
    source: R,
    /// Unread bytes of the present entry's content and the padding after it.
    content: u64,
    padding: u64,
}

impl<R: Read> Archive<R> {
    pub(crate) fn new(source: R) -> Self {
        Self { source, content: 0, padding: 0 }
    }

    /// The next entry, or none at the archive's end. Unread content of the entry before is skipped.
    pub(crate) fn next(&mut self) -> Result<Option<Entry>> {
        let (mut pax, mut long_path, mut long_link) = (Pax::default(), None, None);
        loop {
            self.skip_content()?;
            let Some(header) = self.header()? else { return Ok(None) };
            let kind = header.entry_type();
            let size = header.entry_size().map_err(|_| Error::InvalidLayer("malformed size"))?;
            match kind {
                EntryType::XHeader => pax = Pax::parse(&self.extension(size)?)?,
                EntryType::XGlobalHeader => drop(self.extension(size)?),
                EntryType::GNULongName => long_path = Some(trimmed(self.extension(size)?)),
                EntryType::GNULongLink => long_link = Some(trimmed(self.extension(size)?)),
                _ => return self.entry(&header, kind, pax, long_path, long_link).map(Some),
            }
        }
    }

    /// Reads what follows the end marker, so that the stream's digest covers all of it.
    pub(crate) fn finish(mut self) -> Result<R> {
        io::copy(&mut self.source, &mut io::sink()).map_err(Error::stream("read the archive's end"))?;
        Ok(self.source)
    }

    fn entry(
        &mut self,
        header: &Header,
        kind: EntryType,
        pax: Pax,
        long_path: Option<Vec<u8>>,
        long_link: Option<Vec<u8>>,
    ) -> Result<Entry> {
        let wrong = |_| Error::InvalidLayer("malformed header field");
        let stored = match pax.number("size")? {
            Some(size) => size,
            None => header.entry_size().map_err(wrong)?,
        };
        let has_content = matches!(kind, EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse);
        // Links and folders have no content whatever their size says, as other readers have it.
        self.expect(if has_content { stored } else { 0 });
        let path = pax.get("path").map(<[u8]>::to_vec).or(long_path);
        let link = pax.get("linkpath").map(<[u8]>::to_vec).or(long_link);
        let narrow = |id: u64| u32::try_from(id).map_err(|_| Error::InvalidLayer("an owner over 32 bits"));
        let owner = |key, plain: io::Result<u64>| match pax.number(key)? {
            Some(id) => narrow(id),
            None => narrow(plain.map_err(wrong)?),
        };
        let mtime = match pax.time("mtime")? {
            Some(time) => time,
            None => (header.mtime().map_err(wrong)?.cast_signed(), 0),
        };
        let mut entry = Entry {
            kind,
            path: path.unwrap_or_else(|| header.path_bytes().into_owned()),
            link: link.unwrap_or_else(|| header.link_name_bytes().unwrap_or_default().into_owned()),
            mode: header.mode().map_err(wrong)? & 0o7777,
            uid: owner("uid", header.uid())?,
            gid: owner("gid", header.gid())?,
            mtime,
            device: device(header).map_err(wrong)?,
            size: stored,
            segments: None,
            pax,
        };
        if has_content {
            sparse::read_map(&mut entry, header, self)?;
        }
        Ok(entry)
    }

    /// The next header, or none at the end: two blocks of zeros, or the stream's own end between entries.
    fn header(&mut self) -> Result<Option<Header>> {
        let mut header = Header::new_old();
        let block = header.as_mut_bytes();
        let read = read_block(&mut self.source, block).map_err(Error::stream("read the archive"))?;
        if read == 0 || block.iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        if read < BLOCK {
            return Err(Error::InvalidLayer("truncated header"));
        }
        let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
        let field: u32 = block[148..156].iter().map(|byte| u32::from(*byte)).sum();
        if header.cksum().ok() != Some(sum - field + 8 * u32::from(b' ')) {
            return Err(Error::InvalidLayer("wrong header checksum"));
        }
        Ok(Some(header))
    }

    /// Another block that belongs to the header just read, as GNU's sparse maps have.
    pub(super) fn extra_block(&mut self) -> Result<[u8; BLOCK]> {
        let mut block = [0; BLOCK];
        self.source.read_exact(&mut block).map_err(Error::stream("read the archive"))?;
        Ok(block)
    }

    fn extension(&mut self, size: u64) -> Result<Vec<u8>> {
        if size > EXTENSION_LARGEST {
            return Err(Error::LayerLimit { what: "an extended header", limit: EXTENSION_LARGEST });
        }
        self.expect(size);
        let mut bytes = Vec::new();
        self.read_to_end(&mut bytes).map_err(Error::stream("read the archive"))?;
        Ok(bytes)
    }

    fn expect(&mut self, size: u64) {
        self.content = size;
        self.padding = size.next_multiple_of(BLOCK as u64) - size;
    }

    fn skip_content(&mut self) -> Result<()> {
        let rest = self.content + self.padding;
        let skipped = io::copy(&mut (&mut self.source).take(rest), &mut io::sink())
            .map_err(Error::stream("read the archive"))?;
        // A last entry's missing padding is as common as it is harmless.
        if skipped < self.content {
            return Err(Error::InvalidLayer("truncated content"));
        }
        (self.content, self.padding) = (0, 0);
        Ok(())
    }
}

/// The present entry's content.
impl<R: Read> Read for Archive<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = usize::try_from(self.content).unwrap_or(usize::MAX).min(buffer.len());
        if wanted == 0 {
            return Ok(0);
        }
        let count = self.source.read(&mut buffer[..wanted])?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.content -= count as u64;
        Ok(count)
    }
}

fn read_block(source: &mut impl Read, block: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < block.len() {
        match source.read(&mut block[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

fn device(header: &Header) -> io::Result<(u32, u32)> {
    Ok((header.device_major()?.unwrap_or(0), header.device_minor()?.unwrap_or(0)))
}

fn trimmed(mut bytes: Vec<u8>) -> Vec<u8> {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    bytes.truncate(end);
    bytes
}
