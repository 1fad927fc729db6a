//! Files with holes: GNU's old sparse headers and its PAX forms 0.1 and 1.0 ("Storing Sparse Files", GNU tar manual).

use std::io::Read;

use tar::{EntryType, Header};

use super::archive::{Archive, Entry};
use crate::{Error, Result};

/// More pieces than this make no sense; each costs a write.
const SEGMENTS_MOST: usize = 1 << 20;
const WRONG: Error = Error::InvalidLayer("malformed sparse map");

/// A piece of data and where it goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Segment {
    pub(crate) offset: u64,
    pub(crate) length: u64,
}

/// Finds an entry's sparse map, if it has one, leaving the archive at the data.
pub(super) fn read_map<R: Read>(entry: &mut Entry, header: &Header, archive: &mut Archive<R>) -> Result<()> {
    if entry.kind == EntryType::GNUSparse {
        return read_gnu(entry, header, archive);
    }
    let segments = if entry.pax.get("GNU.sparse.major") == Some(b"1") {
        read_pax_1(archive)?
    } else if let Some(map) = entry.pax.get("GNU.sparse.map") {
        let text = str::from_utf8(map).map_err(|_| WRONG)?;
        let numbers: Vec<u64> =
            text.split(',').map(|n| n.parse().map_err(|_| WRONG)).collect::<Result<_>>()?;
        numbers.chunks(2).map(segment).collect::<Result<_>>()?
    } else if entry.pax.get("GNU.sparse.size").is_some() {
        return Err(Error::InvalidLayer("sparse format 0.0 isn't supported"));
    } else {
        return Ok(());
    };
    if let Some(name) = entry.pax.get("GNU.sparse.name") {
        entry.path = name.to_vec();
    }
    let size = match entry.pax.number("GNU.sparse.realsize")? {
        Some(size) => size,
        None => entry.pax.number("GNU.sparse.size")?.ok_or(WRONG)?,
    };
    accept(entry, size, segments)
}

fn segment(pair: &[u64]) -> Result<Segment> {
    match pair {
        [offset, length] => Ok(Segment { offset: *offset, length: *length }),
        _ => Err(WRONG),
    }
}

/// Old GNU headers: four pieces in the header, 21 in each block that follows it.
fn read_gnu<R: Read>(entry: &mut Entry, header: &Header, archive: &mut Archive<R>) -> Result<()> {
    let gnu = header.as_gnu().ok_or(WRONG)?;
    let mut segments = Vec::new();
    let mut take = |headers: &[tar::GnuSparseHeader]| -> Result<()> {
        for piece in headers.iter().filter(|piece| !piece.is_empty()) {
            let (offset, length) = (piece.offset().map_err(|_| WRONG)?, piece.length().map_err(|_| WRONG)?);
            segments.push(Segment { offset, length });
        }
        if segments.len() > SEGMENTS_MOST { Err(WRONG) } else { Ok(()) }
    };
    take(&gnu.sparse)?;
    let mut more = gnu.is_extended();
    while more {
        let mut extended = tar::GnuExtSparseHeader::new();
        extended.as_mut_bytes().copy_from_slice(&archive.extra_block()?);
        take(&extended.sparse)?;
        more = extended.is_extended();
    }
    accept(entry, gnu.real_size().map_err(|_| WRONG)?, segments)
}

/// PAX 1.0: the map stands before the data, decimal numbers on lines of their own, padded to a block.
fn read_pax_1<R: Read>(archive: &mut Archive<R>) -> Result<Vec<Segment>> {
    let mut numbers = Vec::new();
    let mut wanted = 1;
    let mut digits = String::new();
    let mut block = [0; 512];
    while numbers.len() < wanted {
        archive.read_exact(&mut block).map_err(Error::reading)?;
        for byte in block {
            if numbers.len() == wanted {
                break;
            }
            match byte {
                b'0'..=b'9' if digits.len() < 20 => digits.push(char::from(byte)),
                b'\n' => numbers.push(std::mem::take(&mut digits).parse::<u64>().map_err(|_| WRONG)?),
                _ => return Err(WRONG),
            }
            if numbers.len() == 1 && wanted == 1 {
                let count = usize::try_from(numbers[0]).ok().filter(|n| *n <= SEGMENTS_MOST).ok_or(WRONG)?;
                wanted = 1 + 2 * count;
            }
        }
    }
    numbers[1..].chunks(2).map(segment).collect()
}

/// Checks that the pieces lie in order within the file.
fn accept(entry: &mut Entry, size: u64, segments: Vec<Segment>) -> Result<()> {
    let mut end = 0;
    for piece in &segments {
        if piece.offset < end {
            return Err(WRONG);
        }
        end = piece.offset.checked_add(piece.length).filter(|end| *end <= size).ok_or(WRONG)?;
    }
    entry.kind = EntryType::Regular;
    entry.size = size;
    entry.segments = Some(segments);
    Ok(())
}
