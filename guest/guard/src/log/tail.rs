//! Where the last lines of a file begin, found from its end.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use super::Format;

/// How much is read at a time.
const BLOCK: u64 = 64 * 1024;

/// The position from which `file`, up to `end`, holds the last `wanted` records, and how many it found (fewer
/// when the file has fewer).
pub(super) fn find(file: &File, end: u64, format: Format, wanted: u64) -> io::Result<(u64, u64)> {
    match format {
        Format::JsonFile => find_lines(file, end, wanted),
        Format::Local => find_records(file, end, wanted),
    }
}

/// Where the last whole record of `file` ends.
pub(super) fn whole(file: &File, end: u64, format: Format) -> io::Result<u64> {
    match format {
        Format::JsonFile => Ok(find_lines(file, end, 0)?.0),
        Format::Local => {
            if is_intact(file, end)? {
                return Ok(end);
            }
            let mut place = 0;
            while place + 4 <= end {
                let next = place + u64::from(length_at(file, place)?) + 8;
                if next > end {
                    break;
                }
                place = next;
            }
            Ok(place)
        }
    }
}

/// Whether a record ends exactly at `end`.
fn is_intact(file: &File, end: u64) -> io::Result<bool> {
    let Some(last) = end.checked_sub(4) else { return Ok(end == 0) };
    let length = u64::from(length_at(file, last)?);
    let Some(start) = end.checked_sub(length + 8) else { return Ok(false) };
    Ok(u64::from(length_at(file, start)?) == length)
}

fn find_lines(file: &File, end: u64, wanted: u64) -> io::Result<(u64, u64)> {
    let mut found = 0;
    let mut start = end;
    let mut block = vec![0; BLOCK as usize];
    while start > 0 {
        let length = start.min(BLOCK);
        let from = start - length;
        let bytes = &mut block[..length as usize];
        file.read_exact_at(bytes, from)?;
        for place in (0..bytes.len()).rev().filter(|place| bytes[*place] == b'\n') {
            // The newline that ends the line before the wanted ones; the first met ends the last line.
            if found == wanted {
                return Ok((from + place as u64 + 1, wanted));
            }
            found += 1;
        }
        start = from;
    }
    Ok((0, found))
}

/// The framing's second length leads from a record's end to its beginning. A half-written last record breaks the
/// chain at once; the file is then walked from the front.
fn find_records(file: &File, end: u64, wanted: u64) -> io::Result<(u64, u64)> {
    let mut found = 0;
    let mut place = end;
    while found < wanted && place >= 8 {
        let length = u64::from(length_at(file, place - 4)?);
        let Some(start) = place.checked_sub(length + 8) else { return walk(file, end, wanted) };
        if u64::from(length_at(file, start)?) != length {
            return walk(file, end, wanted);
        }
        found += 1;
        place = start;
    }
    Ok((place, found))
}

fn walk(file: &File, end: u64, wanted: u64) -> io::Result<(u64, u64)> {
    let mut starts = Vec::new();
    let mut place = 0;
    while place + 4 <= end {
        let next = place + u64::from(length_at(file, place)?) + 8;
        if next > end {
            break;
        }
        starts.push(place);
        place = next;
    }
    let first = starts.len().saturating_sub(wanted as usize);
    Ok((starts.get(first).copied().unwrap_or(place), (starts.len() - first) as u64))
}

fn length_at(file: &File, place: u64) -> io::Result<u32> {
    let mut bytes = [0; 4];
    file.read_exact_at(&mut bytes, place)?;
    Ok(u32::from_be_bytes(bytes))
}
