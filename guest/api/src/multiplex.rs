//! Stdout and stderr on one stream: 8 bytes (which, three zeros, the length big-endian), then the bytes. A
//! terminal has only one stream and no framing.

use berth_engine::output::Stream;

/// Frames `bytes` unless they come from a terminal.
pub(crate) fn frame(stream: Stream, bytes: &[u8], terminal: bool) -> Vec<u8> {
    if terminal {
        return bytes.to_vec();
    }
    let mut framed = Vec::with_capacity(8 + bytes.len());
    let which = match stream {
        Stream::Stdout => 1,
        Stream::Stderr => 2,
    };
    framed.extend_from_slice(&[which, 0, 0, 0]);
    // A chunk is at most 64 KiB, a log line at most 16 KiB.
    framed.extend_from_slice(&u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes());
    framed.extend_from_slice(bytes);
    framed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_says_which_stream_and_how_long() {
        assert_eq!(frame(Stream::Stderr, b"no", false), b"\x02\0\0\0\0\0\0\x02no");
        assert_eq!(frame(Stream::Stdout, b"yes", true), b"yes");
    }
}
