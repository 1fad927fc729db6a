//! The keys that leave a terminal without ending what runs in it: `ctrl-p,ctrl-q` unless the client says
//! otherwise.

use crate::error::Failure;

/// Looks for a sequence of keys in what a client types.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct DetachKeys {
    keys: Vec<u8>,
    seen: usize,
}

impl DetachKeys {
    /// `a,ctrl-c`; empty is the default.
    pub(crate) fn parse(text: &str) -> Result<Self, Failure> {
        let text = if text.is_empty() { "ctrl-p,ctrl-q" } else { text };
        let invalid = || Failure::bad_request(format!("Invalid escape keys ({text}) provided"));
        let key = |part: &str| match part.as_bytes() {
            [single] => Ok(*single),
            bytes => match bytes.strip_prefix(b"ctrl-") {
                Some([letter @ b'a'..=b'z']) => Ok(letter - b'a' + 1),
                Some(b"@") => Ok(0),
                Some([sign @ (b'[' | b'\\' | b']' | b'^' | b'_')]) => Ok(sign - b'@'),
                _ => Err(invalid()),
            },
        };
        Ok(Self { keys: text.split(',').map(key).collect::<Result<_, _>>()?, seen: 0 })
    }

    /// What of `typed` goes to the process, and whether the client leaves. A begun sequence is held back until
    /// it is clear that it isn't one.
    pub(crate) fn filter(&mut self, typed: &[u8]) -> (Vec<u8>, bool) {
        let mut passed = Vec::with_capacity(typed.len());
        for &byte in typed {
            if byte == self.keys[self.seen] {
                self.seen += 1;
                if self.seen == self.keys.len() {
                    return (passed, true);
                }
                continue;
            }
            passed.extend_from_slice(&self.keys[..self.seen]);
            self.seen = usize::from(byte == self.keys[0]);
            if self.seen == 0 {
                passed.push(byte);
            } else if self.keys.len() == 1 {
                return (passed, true);
            }
        }
        (passed, false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_keys_detach_even_in_two_reads() {
        let mut keys = DetachKeys::parse("").unwrap();
        assert_eq!(keys.filter(b"ls\x10"), (b"ls".to_vec(), false));
        assert_eq!(keys.filter(b"\x11rest"), (Vec::new(), true));
    }

    #[test]
    fn a_begun_sequence_that_breaks_off_is_typed() {
        let mut keys = DetachKeys::parse("a,b").unwrap();
        assert_eq!(keys.filter(b"aac"), (b"aac".to_vec(), false));
    }

    #[test]
    fn nonsense_is_refused() {
        assert!(DetachKeys::parse("ctrl-").is_err() && DetachKeys::parse("abc").is_err());
    }
}
