//! Waiting for a condition, with a deadline that fails the test.

use std::time::{Duration, Instant};

/// How long anything may take on a loaded machine.
const DEADLINE: Duration = Duration::from_secs(30);

/// Asks until `ask` gives something.
///
/// # Panics
/// When it gives nothing for half a minute.
pub fn eventually<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + DEADLINE;
    loop {
        if let Some(found) = ask() {
            return found;
        }
        assert!(Instant::now() < deadline, "still not after {} s: {what}", DEADLINE.as_secs());
        std::thread::sleep(Duration::from_millis(10));
    }
}
