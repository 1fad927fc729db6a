//! Cuts a stream into the lines of a log, as Docker's copier does: at newlines, and at 16 KiB.

use super::LONGEST_LINE;

/// The unfinished line of one stream.
#[derive(Debug, Default)]
pub struct Lines {
    line: Vec<u8>,
    since: u64,
}

impl Lines {
    /// Takes output that came at `time` and gives every finished line, or full part of a line, with its own time.
    pub fn push(&mut self, mut bytes: &[u8], time: u64, mut each: impl FnMut(&[u8], u64)) {
        while !bytes.is_empty() {
            if self.line.is_empty() {
                self.since = time;
            }
            let room = LONGEST_LINE - self.line.len();
            let newline = bytes.iter().position(|byte| *byte == b'\n').map(|place| place + 1);
            let taken = newline.unwrap_or(bytes.len()).min(room);
            let (head, rest) = bytes.split_at(taken);
            self.line.extend_from_slice(head);
            if self.line.last() == Some(&b'\n') || self.line.len() == LONGEST_LINE {
                each(&self.line, self.since);
                self.line.clear();
            }
            bytes = rest;
        }
    }

    /// Gives the last line if it has no newline; at the end of the stream.
    pub fn finish(&mut self, mut each: impl FnMut(&[u8], u64)) {
        if !self.line.is_empty() {
            each(&self.line, self.since);
        }
        self.line = Vec::new();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_in_pieces_is_one_line() {
        let (mut lines, mut got) = (Lines::default(), Vec::new());
        lines.push(b"hel", 1, |line, time| got.push((line.to_vec(), time)));
        lines.push(b"lo\nrest", 2, |line, time| got.push((line.to_vec(), time)));
        lines.finish(|line, time| got.push((line.to_vec(), time)));
        assert_eq!(got, [(b"hello\n".to_vec(), 1), (b"rest".to_vec(), 2)]);
    }

    #[test]
    fn a_long_line_comes_in_parts() {
        let (mut lines, mut got) = (Lines::default(), Vec::new());
        lines.push(&vec![b'x'; LONGEST_LINE + 5], 1, |line, _| got.push(line.len()));
        lines.push(b"\n", 1, |line, _| got.push(line.len()));
        assert_eq!(got, [LONGEST_LINE, 6]);
    }
}
