//! The compact form. A record is framed by its length on both sides, so that a reader can walk backwards.
//!
//! ```text
//! | length u32 BE | stream u8 | time u64 BE | text … | length u32 BE |
//! ```
//!
//! `length` counts stream, time and text.

use super::Record;
use crate::message::Stream;

/// Stream and time.
const HEAD: usize = 9;
/// No record is longer; a length beyond it is damage.
const LONGEST: usize = 1024 * 1024;

pub(super) fn encode(stream: Stream, time: u64, bytes: &[u8], out: &mut Vec<u8>) {
    let length = ((HEAD + bytes.len()) as u32).to_be_bytes();
    out.extend_from_slice(&length);
    out.push(stream as u8);
    out.extend_from_slice(&time.to_be_bytes());
    out.extend_from_slice(bytes);
    out.extend_from_slice(&length);
}

pub(super) fn decode(bytes: &[u8]) -> Option<(usize, Option<Record>)> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let length = u32::from_be_bytes(*length) as usize;
    if !(HEAD..=LONGEST).contains(&length) {
        // Nothing behind damage can be framed.
        return Some((bytes.len(), None));
    }
    let (body, rest) = rest.split_at_checked(length)?;
    let (end, _) = rest.split_first_chunk::<4>()?;
    let record = (u32::from_be_bytes(*end) as usize == length).then(|| Record {
        stream: if body[0] == Stream::Stderr as u8 { Stream::Stderr } else { Stream::Stdout },
        time: body[1..HEAD].iter().fold(0, |time, byte| time << 8 | u64::from(*byte)),
        bytes: body[HEAD..].to_vec(),
    });
    Some((length + 8, record))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_comes_back() {
        let mut out = Vec::new();
        encode(Stream::Stderr, 77, b"\xff\n", &mut out);
        let record = Record { stream: Stream::Stderr, time: 77, bytes: b"\xff\n".to_vec() };
        assert_eq!(decode(&out), Some((out.len(), Some(record))));
        assert_eq!(decode(&out[..out.len() - 1]), None);
    }
}
