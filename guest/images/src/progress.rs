//! What a long operation tells on its way, in the shape of Docker's progress stream.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How often one of many lines is told at most, as by dockerd.
const REPORT_EVERY: Duration = Duration::from_millis(100);

/// One line of a progress stream.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Progress {
    /// What it is about: a layer's 12 digits, or the tag; empty for the operation as a whole.
    pub id: String,
    /// Docker's words: `Downloading`, `Pull complete`, `Status: …`.
    pub status: String,
    /// How far, while bytes move.
    pub detail: Option<Detail>,
}

/// How far something has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Detail {
    /// Bytes done.
    pub current: u64,
    /// Bytes in all; 0 when nobody knows.
    pub total: u64,
}

impl Progress {
    pub(crate) fn say(id: impl Into<String>, status: impl Into<String>) -> Self {
        Self { id: id.into(), status: status.into(), detail: None }
    }

    pub(crate) fn moved(id: &str, status: &str, current: u64, total: u64) -> Self {
        let detail = Some(Detail { current, total });
        Self { id: id.to_owned(), status: status.to_owned(), detail }
    }
}

/// Tells whether it is time for another progress line.
#[derive(Debug, Default)]
pub(crate) struct Pace(Mutex<Option<Instant>>);

impl Pace {
    pub(crate) fn is_due(&self) -> bool {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let due = last.is_none_or(|last| last.elapsed() >= REPORT_EVERY);
        if due {
            *last = Some(Instant::now());
        }
        due
    }
}
