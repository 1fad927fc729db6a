//! Figures of several ways, taken in turns, so that a loaded machine slows all of them.

use std::collections::BTreeMap;

use anyhow::Context;

use super::median;
use crate::interrupt;

/// How much is measured, and with what.
#[derive(clap::Args)]
pub(crate) struct Extent {
    /// How often each figure is taken.
    #[arg(long, default_value_t = 5)]
    pub(super) runs: usize,
    /// How many seconds requests are counted for.
    #[arg(long, default_value_t = 3)]
    pub(super) seconds: u64,
    /// With the programs as they are in target/berth, which were built for measuring before.
    #[arg(long)]
    pub(super) built: bool,
}

/// What is asked of one way to a server, each time in its turn.
pub(super) type Way<'a> = (&'static str, Box<dyn Fn(&[&str]) -> anyhow::Result<f64> + 'a>);
/// What each figure is called, and what is asked for it.
pub(super) type Work<'a> = (&'static str, Vec<&'a str>);
/// Medians by work, then by way.
pub(super) type Figures = BTreeMap<&'static str, BTreeMap<&'static str, f64>>;

/// Takes every figure so often, and prints each work's medians beside the first way's.
pub(super) fn measure(runs: usize, works: &[Work<'_>], ways: &[Way<'_>]) -> anyhow::Result<Figures> {
    let mut figures = Figures::new();
    for (name, work) in works {
        let mut taken: BTreeMap<&'static str, Vec<f64>> = BTreeMap::new();
        for _ in 0..runs {
            for (way, take) in ways {
                interrupt::check()?;
                taken.entry(way).or_default().push(take(work).with_context(|| format!("{name}, {way}"))?);
            }
        }
        let medians: BTreeMap<_, _> = taken.into_iter().map(|(way, all)| (way, median(all))).collect();
        let first = ways.first().and_then(|(way, _)| medians.get(way)).copied().unwrap_or(f64::NAN);
        for (way, _) in ways {
            let own = medians.get(way).copied().unwrap_or(f64::NAN);
            println!("  {name:<32} {way:<30} {own:>14.0} {:>7.2}", first / own);
        }
        figures.insert(name, medians);
    }
    Ok(figures)
}
