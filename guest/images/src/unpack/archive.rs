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

const MALFORMED: Error = Error::InvalidTarHeader;

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
            let size = number(&header.as_old().size)?;
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
        io::copy(&mut self.source, &mut io::sink()).map_err(Error::reading)?;
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
        let stored = match pax.number("size")? {
            Some(size) => size,
            None => number(&header.as_old().size)?,
        };
        let has_content = matches!(kind, EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse);
        // Links and folders have no content whatever their size says, as other readers have it.
        self.expect(if has_content { stored } else { 0 });
        let path = pax.get("path").map(<[u8]>::to_vec).or(long_path);
        let link = pax.get("linkpath").map(<[u8]>::to_vec).or(long_link);
        let narrow = |id: u64| u32::try_from(id).map_err(|_| Error::InvalidLayer("an owner over 32 bits"));
        let owner = |key, plain: &[u8]| match pax.number(key)? {
            Some(id) => narrow(id),
            None => narrow(number(plain)?),
        };
        let mtime = match pax.time("mtime")? {
            Some(time) => time,
            None => (number(&header.as_old().mtime)?.cast_signed(), 0),
        };
        let mut entry = Entry {
            kind,
            path: path.unwrap_or_else(|| header.path_bytes().into_owned()),
            link: link.unwrap_or_else(|| header.link_name_bytes().unwrap_or_default().into_owned()),
            mode: u32::try_from(number(&header.as_old().mode)? & 0o7777).unwrap_or_default(),
            uid: owner("uid", &header.as_old().uid)?,
            gid: owner("gid", &header.as_old().gid)?,
            mtime,
            device: device(header)?,
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
        let read = read_block(&mut self.source, block).map_err(Error::reading)?;
        if read == 0 || block.iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        if read < BLOCK {
            return Err(Error::UnexpectedEnd);
        }
        let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
        let field: u32 = block[148..156].iter().map(|byte| u32::from(*byte)).sum();
        if header.cksum().ok() != Some(sum - field + 8 * u32::from(b' ')) {
            return Err(Error::InvalidTarHeader);
        }
        Ok(Some(header))
    }

    /// Another block that belongs to the header just read, as GNU's sparse maps have.
    pub(super) fn extra_block(&mut self) -> Result<[u8; BLOCK]> {
        let mut block = [0; BLOCK];
        self.source.read_exact(&mut block).map_err(Error::reading)?;
        Ok(block)
    }

    fn extension(&mut self, size: u64) -> Result<Vec<u8>> {
        if size > EXTENSION_LARGEST {
            return Err(Error::LayerLimit { what: "an extended header", limit: EXTENSION_LARGEST });
        }
        self.expect(size);
        let mut bytes = Vec::new();
        self.read_to_end(&mut bytes).map_err(Error::reading)?;
        Ok(bytes)
    }

    fn expect(&mut self, size: u64) {
        self.content = size;
        self.padding = size.next_multiple_of(BLOCK as u64) - size;
    }

    fn skip_content(&mut self) -> Result<()> {
        let rest = self.content + self.padding;
        let skipped =
            io::copy(&mut (&mut self.source).take(rest), &mut io::sink()).map_err(Error::reading)?;
        // A last entry's missing padding is as common as it is harmless.
        if skipped < self.content {
            return Err(Error::UnexpectedEnd);
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

/// The device numbers, where the header's form has them.
fn device(header: &Header) -> Result<(u32, u32)> {
    let fields = match (header.as_ustar(), header.as_gnu()) {
        (Some(ustar), _) => Some((ustar.dev_major, ustar.dev_minor)),
        (_, Some(gnu)) => Some((gnu.dev_major, gnu.dev_minor)),
        _ => None,
    };
    let Some((major, minor)) = fields else { return Ok((0, 0)) };
    let narrow = |field: [u8; 8]| u32::try_from(number(&field)?).map_err(|_| MALFORMED);
    Ok((narrow(major)?, narrow(minor)?))
}

/// A numeric field: octal digits between blanks and NULs, none meaning 0, or GNU's base 256 (sign-extended).
fn number(field: &[u8]) -> Result<u64> {
    if field[0] & 0x80 != 0 {
        // Bit 6 of the first byte is the sign of a two's complement number.
        let start =
            if field[0] & 0x40 == 0 { u64::from(field[0] & 0x3f) } else { u64::from(field[0]) | !0xff };
        let (rest, fits) = field[1..].iter().fold((start, true), |(value, fits), byte| {
            let shifted = value << 8 | u64::from(*byte);
            (shifted, fits && ((value << 8) as i64 >> 8) as u64 == value)
        });
        return if fits { Ok(rest) } else { Err(MALFORMED) };
    }
    let is_blank = |byte: &u8| matches!(byte, b' ' | 0);
    let start = field.iter().take_while(|byte| is_blank(byte)).count();
    let digits: Vec<u8> = field[start..].iter().copied().take_while(|byte| !is_blank(byte)).collect();
    if digits.is_empty() {
        return Ok(0);
    }
    let text = str::from_utf8(&digits).map_err(|_| MALFORMED)?;
    u64::from_str_radix(text, 8).map_err(|_| MALFORMED)
}

fn trimmed(mut bytes: Vec<u8>) -> Vec<u8> {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    bytes.truncate(end);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_octal_or_base_256() {
        assert_eq!(number(b"0000644\0").unwrap(), 0o644);
        assert_eq!(number(b"   755 \0").unwrap(), 0o755);
        assert_eq!(number(&[0; 8]).unwrap(), 0);
        assert_eq!(number(&[0x80, 0, 0, 0, 0, 0, 1, 0]).unwrap(), 256);
        assert_eq!(number(&[0xff; 12]).unwrap().cast_signed(), -1);
        assert!(number(&[0x80, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]).is_err());
        assert!(number(b"12x\0").is_err());
    }
}
