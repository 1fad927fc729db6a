//! The keys that leave a container's terminal without ending it, `ctrl-p,ctrl-q` by default.

use crate::failure::Failure;

/// Docker's default.
const DEFAULT: &str = "ctrl-p,ctrl-q";

/// A sequence of keys, and how much of it was typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DetachKeys {
    keys: Vec<u8>,
    typed: usize,
}

impl DetachKeys {
    /// Reads `a,ctrl-b,…`; the empty text is the default.
    pub(crate) fn parse(text: &str) -> Result<Self, Failure> {
        let text = if text.is_empty() { DEFAULT } else { text };
        let keys = text.split(',').map(key).collect::<Option<Vec<u8>>>();
        let keys = keys.ok_or_else(|| Failure::new(format!("invalid detach keys ({text}) provided")))?;
        Ok(Self { keys, typed: 0 })
    }

    /// What of the typed bytes goes to the process, and whether the sequence is complete.
    pub(crate) fn filter(&mut self, bytes: &[u8]) -> (Vec<u8>, bool) {
        let mut passed = Vec::with_capacity(bytes.len());
        for byte in bytes {
            if *byte == self.keys[self.typed] {
                self.typed += 1;
                if self.typed == self.keys.len() {
                    self.typed = 0;
                    return (passed, true);
                }
                continue;
            }
            // It wasn't the sequence: what was held back was meant for the process.
            passed.extend_from_slice(&self.keys[..self.typed]);
            self.typed = usize::from(*byte == self.keys[0]);
            if self.typed == 0 {
                passed.push(*byte);
            } else if self.keys.len() == 1 {
                self.typed = 0;
                return (passed, true);
            }
        }
        (passed, false)
    }
}

/// One key: itself, or `ctrl-` with a letter or one of `@[\]^_`.
fn key(text: &str) -> Option<u8> {
    if let Some(letter) = text.strip_prefix("ctrl-") {
        let [letter] = letter.as_bytes() else { return None };
        return match letter {
            b'a'..=b'z' => Some(letter - b'a' + 1),
            b'@' | b'['..=b'_' => Some(letter - b'@'),
            _ => None,
        };
    }
    let [key] = text.as_bytes() else { return None };
    Some(*key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sequence_is_found_and_half_of_it_is_passed_on() {
        let mut keys = DetachKeys::parse("").unwrap();
        assert_eq!(keys.filter(b"a\x10"), (b"a".to_vec(), false));
        assert_eq!(keys.filter(b"b"), (b"\x10b".to_vec(), false));
        assert_eq!(keys.filter(b"c\x10"), (b"c".to_vec(), false));
        assert_eq!(keys.filter(b"\x11d"), (Vec::new(), true));
    }

    #[test]
    fn a_wrong_key_is_refused() {
        assert!(DetachKeys::parse("ctrl-1").is_err());
        assert_eq!(DetachKeys::parse("ctrl-a,x").unwrap().keys, [1, b'x']);
    }
}
