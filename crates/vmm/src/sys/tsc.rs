//! How fast this machine's time-stamp counter runs. An emulated CPU shows the host's counter, and its guest has
//! nothing to measure it with: without this number the guest's clock ticks in steps of 10 ms, and everything that
//! needs a fine timer (CPU quotas, short sleeps) is wrong.
#![expect(unsafe_code, reason = "reading the time-stamp counter")]

use std::time::{Duration, Instant};

/// How long to measure: an error of 100 ns at each end is then 10 millionths, about a second a day, which the
/// host's clock messages correct.
const MEASURE: Duration = Duration::from_millis(20);

/// The counter's frequency in kHz; none where this CPU has no such counter.
pub(crate) fn tsc_khz() -> Option<u64> {
    let (began, first) = reading()?;
    std::thread::sleep(MEASURE);
    let (ended, last) = reading()?;
    let nanos = ended.duration_since(began).as_nanos();
    let ticks = u128::from(last.checked_sub(first)?);
    u64::try_from(ticks * 1_000_000 / nanos.max(1)).ok()
}

/// The clock and the counter at one moment: the closest pair of a few, so that an interruption doesn't count.
fn reading() -> Option<(Instant, u64)> {
    let pairs = (0..8).map(|_| {
        let before = counter();
        let now = Instant::now();
        let after = counter();
        Some((after?.checked_sub(before?)?, now, before?))
    });
    let best = pairs.collect::<Option<Vec<_>>>()?.into_iter().min_by_key(|(width, ..)| *width)?;
    Some((best.1, best.2 + best.0 / 2))
}

#[cfg(target_arch = "x86_64")]
#[expect(clippy::unnecessary_wraps, reason = "other CPUs have none")]
fn counter() -> Option<u64> {
    // SAFETY: every x86-64 CPU has the instruction, and Linux lets programs use it.
    Some(unsafe { std::arch::x86_64::_rdtsc() })
}

#[cfg(not(target_arch = "x86_64"))]
fn counter() -> Option<u64> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_measurements_agree() {
        let (Some(one), Some(other)) = (tsc_khz(), tsc_khz()) else {
            eprintln!("skipped: this CPU has no time-stamp counter");
            return;
        };
        assert!(one.abs_diff(other) < one / 1000, "{one} kHz and then {other} kHz");
    }
}
