//! Git's packets: four hexadecimal digits of length, then bytes (gitprotocol-common, "pkt-line").

use std::io::Read;

use super::wrong;
use crate::Result;

/// The longest packet.
const LONGEST: usize = 65_520;

/// What a stream of packets holds.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Packet {
    Data(Vec<u8>),
    /// The end of a message.
    Flush,
    /// The end of a part of it.
    Delimiter,
    /// The end of an answer without state.
    End,
}

/// Writes a line as a packet.
pub(super) fn line(to: &mut Vec<u8>, text: &str) {
    to.extend_from_slice(format!("{:04x}{text}\n", text.len() + 5).as_bytes());
}

pub(super) fn flush(to: &mut Vec<u8>) {
    to.extend_from_slice(b"0000");
}

pub(super) fn delimiter(to: &mut Vec<u8>) {
    to.extend_from_slice(b"0001");
}

/// How many of these bytes are whole packets, and whether the last of them is the one whose flush ends an answer; `left`
/// counts the flushes to come.
pub(super) fn whole(bytes: &[u8], left: &mut usize) -> Result<(usize, bool)> {
    let mut rest = bytes;
    loop {
        let before = rest;
        if rest.len() < 4 {
            return Ok((bytes.len() - before.len(), false));
        }
        let digits = str::from_utf8(&rest[..4]).ok();
        let length = digits.and_then(|digits| usize::from_str_radix(digits, 16).ok());
        if length.is_some_and(|length| (4..=LONGEST).contains(&length) && length > rest.len()) {
            return Ok((bytes.len() - before.len(), false));
        }
        match next(&mut rest)? {
            Some(Packet::Flush) => {
                *left = left.saturating_sub(1);
                if *left == 0 {
                    return Ok((bytes.len() - rest.len(), true));
                }
            }
            // The last word of a server that won't.
            Some(Packet::Data(data)) if data.starts_with(b"ERR ") => return Err(wrong(text(&data[4..]))),
            _ => {}
        }
    }
}

/// The next packet; none at the stream's end.
pub(super) fn next(from: &mut impl Read) -> Result<Option<Packet>> {
    let cut = |_| wrong("the server's answer is cut off");
    let mut digits = [0; 4];
    match from.read(&mut digits[..1]) {
        Ok(0) => return Ok(None),
        other => drop(other.map_err(cut)?),
    }
    from.read_exact(&mut digits[1..]).map_err(cut)?;
    let length = str::from_utf8(&digits).ok().and_then(|digits| usize::from_str_radix(digits, 16).ok());
    match length {
        Some(0) => Ok(Some(Packet::Flush)),
        Some(1) => Ok(Some(Packet::Delimiter)),
        Some(2) => Ok(Some(Packet::End)),
        Some(length @ 4..=LONGEST) => {
            let mut bytes = vec![0; length - 4];
            from.read_exact(&mut bytes).map_err(cut)?;
            Ok(Some(Packet::Data(bytes)))
        }
        _ => Err(wrong("the server doesn't answer as a git server does")),
    }
}

/// A packet's text without its newline.
pub(super) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim_end_matches('\n').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_ends_with_its_last_flush_and_whole_packets_are_counted() {
        let bytes = b"0006a\n00000006b\n00000006c\n00";
        for (flushes, expected) in [(1, (10, true)), (2, (20, true)), (3, (26, false))] {
            assert_eq!(whole(bytes, &mut flushes.clone()).unwrap(), expected);
        }
        assert_eq!(whole(b"0006a", &mut 1).unwrap(), (0, false));
        assert!(whole(b"000cERR none", &mut 1).unwrap_err().to_string().contains("none"));
    }

    #[test]
    fn packets_are_read_as_they_are_written() {
        let mut bytes = Vec::new();
        line(&mut bytes, "want x");
        delimiter(&mut bytes);
        flush(&mut bytes);
        let mut from = bytes.as_slice();
        assert_eq!(next(&mut from).unwrap(), Some(Packet::Data(b"want x\n".to_vec())));
        assert_eq!(next(&mut from).unwrap(), Some(Packet::Delimiter));
        assert_eq!(next(&mut from).unwrap(), Some(Packet::Flush));
        assert_eq!(next(&mut from).unwrap(), None);
        for bad in ["0003", "zzzz", "00", "0009abc", "ffff"] {
            assert!(next(&mut bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
