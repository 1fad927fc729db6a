//! How much of a step's output is told and remembered, as with BuildKit: clients that get more than they can show in time
//! take the build for broken off.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// So much of a stream is told (BuildKit's usual `BUILDKIT_STEP_LOG_MAX_SIZE`),
const MOST: usize = 2 << 20;
/// no more than this for each second (`BUILDKIT_STEP_LOG_MAX_SPEED`),
const SPEED: usize = 200 << 10;
/// and so much of what wasn't when the step ends.
const END: usize = 256 << 10;

/// One stream of a step.
pub(super) struct Clip {
    since: Instant,
    told: usize,
    is_clipping: bool,
    /// The last that wasn't told, after the last that was.
    end: VecDeque<u8>,
}

impl Clip {
    /// A stream that begins now.
    pub(super) fn begin() -> Self {
        Self { since: Instant::now(), told: 0, is_clipping: false, end: VecDeque::new() }
    }

    /// What of these bytes is told now.
    pub(super) fn told(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.told_after(self.since.elapsed(), bytes)
    }

    fn told_after(&mut self, elapsed: Duration, bytes: &[u8]) -> Vec<u8> {
        let seconds = usize::try_from(elapsed.as_secs()).unwrap_or(usize::MAX).saturating_add(1);
        let by_speed = SPEED.saturating_mul(seconds);
        let (limit, shown) = if by_speed < MOST { (by_speed, "200KiB/s") } else { (MOST, "2MiB") };
        let (told, kept) = bytes.split_at(bytes.len().min(limit.saturating_sub(self.told)));
        let mut told = told.to_vec();
        if !told.is_empty() {
            self.told += told.len();
            self.is_clipping = false;
            self.end.clear();
        }
        if !kept.is_empty() {
            if !self.is_clipping {
                told.extend(format!("\n[output clipped, log limit {shown} reached]\n").into_bytes());
            }
            self.is_clipping = true;
            self.end.extend(kept);
            self.end.drain(..self.end.len().saturating_sub(END));
        }
        told
    }

    /// What is told at last.
    pub(super) fn end(self) -> Vec<u8> {
        self.end.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn long() -> Vec<u8> {
        (0..3_000_000_u32).flat_map(u32::to_le_bytes).collect()
    }

    fn told(clip: &mut Clip, seconds: u64, bytes: &[u8]) -> Vec<u8> {
        bytes.chunks(100_000).flat_map(|part| clip.told_after(Duration::from_secs(seconds), part)).collect()
    }

    #[test]
    fn of_a_long_output_beginning_and_end_are_told() {
        let (mut clip, long) = (Clip::begin(), long());
        let told = told(&mut clip, 60, &long);
        assert_eq!(told[..MOST], long[..MOST]);
        assert_eq!(&told[MOST..], b"\n[output clipped, log limit 2MiB reached]\n");
        assert_eq!(clip.end(), long[long.len() - END..]);
    }

    #[test]
    fn what_comes_too_fast_is_told_again_a_second_later() {
        let (mut clip, long) = (Clip::begin(), long());
        let clipped = b"\n[output clipped, log limit 200KiB/s reached]\n";
        let first = told(&mut clip, 0, &long);
        assert_eq!(first, [&long[..SPEED], clipped].concat());
        assert_eq!(told(&mut clip, 1, b"more"), b"more");
        assert_eq!(clip.end(), b"", "it is older than what was told");
    }

    #[test]
    fn what_is_short_is_told_at_once_and_as_a_whole() {
        let mut clip = Clip::begin();
        assert_eq!(clip.told(b"one "), b"one ");
        assert_eq!(clip.told(&[b'x'; SPEED - 4]).len(), SPEED - 4);
        assert_eq!(clip.end(), b"");
    }
}
