//! How long the parts of a start took: the lines of the waterfall.

use std::time::Instant;

use serde::{Deserialize, Serialize};

/// One part of a start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    /// `namespaces`, `rootfs`, `process`, `exec` …
    pub name: String,
    /// Its length in microseconds.
    pub micros: u64,
}

/// Measures one part after another.
pub(crate) struct Stopwatch {
    since: Instant,
    spans: Vec<Span>,
}

impl Stopwatch {
    /// Starts with the first part.
    pub(crate) fn start() -> Self {
        Self { since: Instant::now(), spans: Vec::new() }
    }

    /// Ends the current part under `name` and begins the next.
    pub(crate) fn lap(&mut self, name: &str) {
        let now = Instant::now();
        let micros = now.duration_since(self.since).as_micros() as u64;
        self.spans.push(Span { name: name.to_owned(), micros });
        self.since = now;
    }

    /// What was measured.
    pub(crate) fn spans(self) -> Vec<Span> {
        self.spans
    }
}
