//! What took how long, from the start of the machine to the fetched page.

use std::fmt;
use std::time::{Duration, Instant};

use anyhow::Context;
use serde_json::Value;

/// Columns of the longest bar.
const WIDTH: f64 = 40.0;

/// Steps in order: name, begin, duration.
pub(super) struct Timeline {
    began: Instant,
    steps: Vec<(String, Duration, Duration)>,
    total: Duration,
}

impl Timeline {
    pub(super) fn begin() -> Self {
        Self { began: Instant::now(), steps: Vec::new(), total: Duration::ZERO }
    }

    /// The machine's own phases, as the daemon tells them; none when it ran already.
    pub(super) fn machine(&mut self, status: &Value) -> anyhow::Result<()> {
        let until_now = self.began.elapsed();
        let phases = status["phases"].as_array().context("the status has no phases")?;
        let number =
            |phase: &Value, name: &str| Duration::from_millis(phase[name].as_u64().unwrap_or_default());
        let end =
            phases.last().map(|last| number(last, "began_ms") + number(last, "took_ms")).unwrap_or_default();
        // An older start's phases are longer than the time since we asked.
        if end > until_now {
            self.steps.push(("the machine runs already".to_owned(), Duration::ZERO, until_now));
            return Ok(());
        }
        let before = until_now - end;
        self.steps.push(("start the daemon".to_owned(), Duration::ZERO, before));
        for phase in phases {
            let name = phase["name"].as_str().unwrap_or_default().to_owned();
            self.steps.push((name, before + number(phase, "began_ms"), number(phase, "took_ms")));
        }
        Ok(())
    }

    /// A step of our own that ends now.
    pub(super) fn step(&mut self, name: &str, began: Instant) {
        self.steps.push((name.to_owned(), began - self.began, began.elapsed()));
    }

    pub(super) fn end(&mut self) {
        self.total = self.began.elapsed();
    }
}

impl fmt::Display for Timeline {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let total = self.total.as_secs_f64().max(0.001);
        writeln!(formatter)?;
        for (name, began, took) in &self.steps {
            let indent = (began.as_secs_f64() / total * WIDTH) as usize;
            let length = ((took.as_secs_f64() / total * WIDTH).round() as usize).max(1);
            let bar = format!("{}{}", " ".repeat(indent), "█".repeat(length));
            writeln!(formatter, "  {name:<26} {:>7.3} s  {bar}", took.as_secs_f64())?;
        }
        writeln!(formatter, "  {:<26} {total:>7.3} s", "from start to page")
    }
}
