//! When the guest is to hear the host's clock: regularly, and as soon as that went its own way, because the host slept
//! or its user set it.
//!
//! Of the two clocks that are compared, one stands still while the host sleeps, and nobody sets it.

use std::time::{Duration, Instant, SystemTime};

use tokio::time::{Interval, MissedTickBehavior};

/// A host that woke is noticed within this, so that the guest's clock is right within a second.
const LOOK: Duration = Duration::from_millis(500);
/// How often the guest hears it anyway: its own clock drifts.
const REGULAR: Duration = Duration::from_secs(10);
/// What lies between two looks at two clocks isn't a jump.
const TOLERATED: Duration = Duration::from_millis(100);

/// Follows the host's clock.
pub(crate) struct Clock {
    looks: Interval,
    told: Told,
}

/// What the clocks were when the guest was last told.
struct Told {
    wall: SystemTime,
    steady: Instant,
}

impl Clock {
    /// Of a guest that has just been told.
    pub(crate) fn new() -> Self {
        let mut looks = tokio::time::interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { looks, told: Told { wall: SystemTime::now(), steady: Instant::now() } }
    }

    /// Waits until the guest is to be told. What wasn't waited for to the end is waited for at the next call.
    pub(crate) async fn is_due(&mut self) {
        loop {
            self.looks.tick().await;
            let (wall, steady) = (SystemTime::now(), Instant::now());
            if self.told.is_outdated(wall, steady) {
                self.told = Told { wall, steady };
                return;
            }
        }
    }
}

impl Told {
    fn is_outdated(&self, wall: SystemTime, steady: Instant) -> bool {
        let passed = steady.saturating_duration_since(self.steady);
        let expected = self.wall + passed;
        let jumped = match wall.duration_since(expected) {
            Ok(ahead) => ahead,
            Err(behind) => behind.duration(),
        };
        passed >= REGULAR || jumped > TOLERATED
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOURS: Duration = Duration::from_secs(5 * 3600);

    fn told() -> Told {
        Told { wall: SystemTime::now(), steady: Instant::now() }
    }

    #[test]
    fn clocks_that_go_alike_are_told_regularly_only() {
        let told = told();
        assert!(!told.is_outdated(told.wall + LOOK, told.steady + LOOK));
        assert!(told.is_outdated(told.wall + REGULAR, told.steady + REGULAR));
    }

    #[test]
    fn a_sleep_is_told_at_the_next_look() {
        let told = told();
        assert!(told.is_outdated(told.wall + HOURS + LOOK, told.steady + LOOK));
    }

    #[test]
    fn a_clock_that_was_set_back_is_told_at_the_next_look() {
        let told = told();
        assert!(told.is_outdated(told.wall - HOURS, told.steady + LOOK));
    }
}
