//! The vmm process: one machine from start to end, told to its parent as JSON lines on standard output.
//!
//! The parent holds the other end of standard input. When that ends (the parent closed it, or died) the guest is
//! powered off in order, and killed when that takes too long.

use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use protocol::control::ProblemCode;
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::config::Config;
use crate::emulated::{Machine, Phase};

/// How long a guest may take to power off: 10 s of its own (containers get at most 7) and the way there.
const POWER_OFF: Duration = Duration::from_secs(14);

/// What the vmm process says, one JSON object per line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Event {
    /// A step of the start ended, so many milliseconds after the process began.
    Phase {
        /// Which one.
        phase: Phase,
        /// When.
        ended_at_ms: u64,
    },
    /// The machine ended in order.
    Ended,
    /// The machine couldn't start, or ended by itself.
    Failed {
        /// Which problem.
        code: ProblemCode,
        /// One sentence, with its causes.
        message: String,
    },
}

/// Runs a machine until it ends.
///
/// # Errors
/// As the machine's, after telling the parent.
pub fn run(config: Config) -> Result<(), Error> {
    let began = Instant::now();
    let ended = live(config, began);
    tell(&match &ended {
        Ok(()) => Event::Ended,
        Err(error) => Event::Failed { code: error.code(), message: with_causes(error) },
    });
    ended
}

fn live(config: Config, began: Instant) -> Result<(), Error> {
    let on_phase = move |phase| {
        let ended_at_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        tell(&Event::Phase { phase, ended_at_ms });
    };
    let machine = Arc::new(Machine::start(config, on_phase)?);
    let watched = Arc::clone(&machine);
    let watcher = std::thread::Builder::new().name("parent".to_owned()).spawn(move || {
        // Nobody writes to us: this returns when the parent is gone.
        let _ = io::copy(&mut io::stdin(), &mut io::sink());
        if let Err(error) = watched.power_off(POWER_OFF) {
            tracing::warn!(%error, "the machine was killed");
        }
    });
    watcher.map_err(Error::os("watch the parent"))?;
    machine.wait()
}

/// Reads a configuration that the parent wrote.
///
/// # Errors
/// When the file isn't there or isn't one.
pub fn read_config(path: &Path) -> io::Result<Config> {
    let mut text = String::new();
    std::fs::File::open(path)?.read_to_string(&mut text)?;
    Ok(serde_json::from_str(&text)?)
}

/// Tells the parent; one that is gone doesn't listen.
fn tell(event: &Event) {
    if let Ok(mut line) = serde_json::to_vec(event) {
        line.push(b'\n');
        let _ = io::stdout().lock().write_all(&line);
        let _ = io::stdout().flush();
    }
}

fn with_causes(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
