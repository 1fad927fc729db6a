//! Random moments that a failing test can be run again with: `BERTH_E2E_SEED` is printed by the failure.

use std::time::Duration;

/// A sequence of numbers that its seed decides (splitmix64).
pub struct Chance(u64);

impl Chance {
    /// From `BERTH_E2E_SEED`, else from a seed of `default`.
    pub fn seeded(default: u64) -> Self {
        let seed = std::env::var("BERTH_E2E_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(default);
        eprintln!("BERTH_E2E_SEED={seed}");
        Self::of(seed)
    }

    /// From this seed.
    pub fn of(seed: u64) -> Self {
        Self(seed)
    }

    /// One of `0..below`.
    pub fn number(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % below
    }

    /// A moment within `most`.
    pub fn moment(&mut self, most: Duration) -> Duration {
        Duration::from_micros(self.number(u64::try_from(most.as_micros()).unwrap_or(u64::MAX).max(1)))
    }
}

/// How often a test does what it does: what the variable `name` says, else `default`.
pub fn repeats(name: &str, default: u32) -> u32 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}
