//! Sequence numbers, which wrap (RFC 9293, 3.4).

use smoltcp::wire::TcpSeqNumber;

/// As a plain number.
pub(super) fn number(sequence: TcpSeqNumber) -> u32 {
    u32::from_ne_bytes(sequence.0.to_ne_bytes())
}

/// As it is written into segments.
pub(super) fn written(number: u32) -> TcpSeqNumber {
    TcpSeqNumber(i32::from_ne_bytes(number.to_ne_bytes()))
}

/// How far `number` lies after `other`; negative when before.
pub(super) fn after(number: u32, other: u32) -> i64 {
    i64::from(i32::from_ne_bytes(number.wrapping_sub(other).to_ne_bytes()))
}

/// The number so many bytes on.
pub(super) fn plus(number: u32, bytes: usize) -> u32 {
    // Nothing here is longer than a window, which is far below 2^32.
    number.wrapping_add(u32::try_from(bytes).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_wrap() {
        assert_eq!(after(plus(u32::MAX, 3), u32::MAX), 3);
        assert_eq!(after(u32::MAX, 2), -3);
        assert_eq!(number(written(u32::MAX - 1)), u32::MAX - 1);
    }
}
