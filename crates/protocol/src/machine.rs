//! What a user can see of the machine's state: which phase, for how long, waiting for what, until when.

use serde::{Deserialize, Serialize};

/// The machine as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// No machine and nothing wrong.
    Stopped,
    /// On its way up.
    Starting,
    /// The Docker API answers.
    Running,
    /// On its way down.
    Stopping,
    /// It can't run; the status says why.
    Failed,
}

/// One step of a start or a stop.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Phase {
    /// Its name, in the user's words.
    pub name: String,
    /// What it waits for, in the user's words.
    pub waits_for: String,
    /// When it began, in milliseconds since the start or stop was asked for.
    pub began_ms: u64,
    /// How long it took; none while it lasts.
    pub took_ms: Option<u64>,
    /// When it is given up, in milliseconds after it began.
    pub deadline_ms: u64,
}

/// Which kind of machine to boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The best one that works here.
    Auto,
    /// Software emulation: works everywhere, slowly.
    Emulated,
}
