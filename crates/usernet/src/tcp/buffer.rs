//! Bytes on their way, which take memory only while there are any.

/// Memory that an empty buffer may keep: thousands of connections are idle.
const KEPT: usize = 2048;
/// What is gone takes no more room than this before the rest is moved.
const GONE: usize = 64 << 10;

/// A queue of bytes, in one piece.
#[derive(Debug, Default)]
pub(super) struct Buffer {
    bytes: Vec<u8>,
    /// Where the queue begins; what lies before is gone.
    begin: usize,
}

impl Buffer {
    pub(super) fn len(&self) -> usize {
        self.bytes.len() - self.begin
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn as_slice(&self) -> &[u8] {
        &self.bytes[self.begin..]
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Takes away the first bytes, at most all.
    pub(super) fn take(&mut self, count: usize) {
        self.begin += count.min(self.len());
        if self.is_empty() {
            self.bytes.clear();
            self.begin = 0;
            if self.bytes.capacity() > KEPT {
                self.bytes = Vec::new();
            }
        } else if self.begin > GONE && self.begin > self.len() {
            self.bytes.drain(..self.begin);
            self.begin = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_goes_in_comes_out_in_order(steps in proptest::collection::vec((0_usize..100_000, 0_usize..100_000), 1..40)) {
            let (mut buffer, mut model) = (Buffer::default(), std::collections::VecDeque::new());
            let mut next = 0_u8;
            for (add, take) in steps {
                let bytes: Vec<u8> = (0..add).map(|_| { next = next.wrapping_add(1); next }).collect();
                buffer.push(&bytes);
                model.extend(bytes);
                buffer.take(take);
                model.drain(..take.min(model.len()));
                prop_assert!(buffer.as_slice() == model.make_contiguous());
            }
        }
    }

    #[test]
    fn an_empty_buffer_keeps_little() {
        let mut buffer = Buffer::default();
        buffer.push(&vec![1; 1 << 20]);
        buffer.take(1 << 20);
        assert!(buffer.bytes.capacity() <= KEPT);
    }
}
