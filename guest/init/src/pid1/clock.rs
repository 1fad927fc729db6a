//! The guest's clock follows the host's: the machine has none of its own that survives a sleep.

use rustix::time::{ClockId, Timespec, clock_gettime, clock_settime};

/// A smaller difference is left alone: the message itself took time, and a clock that jumps back hurts more.
const TOLERATED_NANOS: i128 = 50_000_000;

/// Sets the clock to the host's, when they differ.
pub(super) fn follow(unix_nanos: u64) {
    let now = clock_gettime(ClockId::Realtime);
    let own = i128::from(now.tv_sec) * 1_000_000_000 + i128::from(now.tv_nsec);
    if (own - i128::from(unix_nanos)).abs() < TOLERATED_NANOS {
        return;
    }
    let seconds = i64::try_from(unix_nanos / 1_000_000_000).unwrap_or_default();
    let nanos = i64::try_from(unix_nanos % 1_000_000_000).unwrap_or_default();
    if let Err(error) = clock_settime(ClockId::Realtime, Timespec { tv_sec: seconds, tv_nsec: nanos }) {
        tracing::warn!(%error, "the clock can't be set");
    }
}

/// Microseconds since the kernel started.
pub(super) fn since_boot() -> u64 {
    let now = clock_gettime(ClockId::Boottime);
    u64::try_from(now.tv_sec * 1_000_000 + now.tv_nsec / 1000).unwrap_or_default()
}
