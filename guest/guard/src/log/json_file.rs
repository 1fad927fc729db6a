//! Docker's json-file format: `{"log":"…\n","stream":"stdout","time":"…"}`, one object per line.

use std::borrow::Cow;

use berth_runtime::rfc3339;
use serde::{Deserialize, Serialize};

use super::Record;
use crate::message::Stream;

#[derive(Serialize)]
struct Written<'a> {
    log: &'a str,
    stream: Stream,
    time: &'a str,
}

#[derive(Deserialize)]
struct Read<'a> {
    #[serde(borrow, default)]
    log: Cow<'a, str>,
    stream: Stream,
    time: Cow<'a, str>,
}

pub(super) fn encode(stream: Stream, time: u64, bytes: &[u8], out: &mut Vec<u8>) {
    // Bytes that aren't UTF-8 become replacement characters, as in Docker's own encoder.
    let log = String::from_utf8_lossy(bytes);
    let written = Written { log: &log, stream, time: &rfc3339::format(time) };
    // Into memory, of types that always serialise.
    let _ = serde_json::to_writer(&mut *out, &written);
    out.push(b'\n');
}

pub(super) fn decode(bytes: &[u8]) -> Option<(usize, Option<Record>)> {
    let length = bytes.iter().position(|byte| *byte == b'\n')? + 1;
    let read = serde_json::from_slice::<Read<'_>>(&bytes[..length]).ok().and_then(|read| {
        let time = rfc3339::parse(&read.time)?;
        Some(Record { stream: read.stream, time, bytes: read.log.into_owned().into_bytes() })
    });
    Some((length, read))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_what_docker_writes() {
        let mut out = Vec::new();
        encode(Stream::Stdout, 1_700_000_000_123_456_789, b"a \"b\" \xff\n", &mut out);
        let expected = "{\"log\":\"a \\\"b\\\" \u{fffd}\\n\",\"stream\":\"stdout\",\
                        \"time\":\"2023-11-14T22:13:20.123456789Z\"}\n";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn a_half_line_waits() {
        assert_eq!(decode(b"{\"log\":\"a"), None);
    }

    #[test]
    fn a_broken_line_is_skipped() {
        assert_eq!(decode(b"{\"lo\n{"), Some((5, None)));
    }
}
