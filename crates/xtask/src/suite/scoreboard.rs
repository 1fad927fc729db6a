//! tests/scoreboard.json: what passed, per suite and engine, as the last run of each counted it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

use anyhow::Context;
use serde::{Deserialize, Serialize};

use crate::step::workspace_root;

/// One suite against one engine.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Score {
    /// How many passed.
    pub(super) passed: usize,
    /// How many skipped themselves.
    pub(super) skipped: usize,
    /// Which failed.
    pub(super) failed: BTreeSet<String>,
}

type Scores = BTreeMap<String, BTreeMap<String, Score>>;

/// Notes a run, and prints it beside the reference's.
pub(super) fn note(suite: &str, engine: &str, reference: &str, score: Score) -> anyhow::Result<()> {
    let mut scores = read()?;
    let of_suite = scores.entry(suite.to_owned()).or_default();
    of_suite.insert(engine.to_owned(), score);
    println!("\n  {:<10} {:>7} {:>7} {:>8}", suite, "passed", "failed", "skipped");
    for (engine, score) in &*of_suite {
        println!("  {engine:<10} {:>7} {:>7} {:>8}", score.passed, score.failed.len(), score.skipped);
    }
    if let (Some(ours), Some(theirs)) = (of_suite.get(engine), of_suite.get(reference)) {
        for test in ours.failed.difference(&theirs.failed) {
            println!("  fails with {engine} alone: {test}");
        }
    }
    fs::write(path(), serde_json::to_string_pretty(&scores)? + "\n").context("write the scoreboard")
}

fn read() -> anyhow::Result<Scores> {
    match fs::read_to_string(path()) {
        Ok(text) => serde_json::from_str(&text).context("read the scoreboard"),
        Err(_) => Ok(Scores::new()),
    }
}

fn path() -> PathBuf {
    workspace_root().join("tests/scoreboard.json")
}
