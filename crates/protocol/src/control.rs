//! What the window and the command line say to the host daemon, over its `control.sock`.
//!
//! A client sends one [`Request`]; the daemon answers with [`Reply`] messages until it closes the stream.

use serde::{Deserialize, Serialize};

use crate::Version;
use crate::machine::{Kind, Phase, State};

/// A wish of a client.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Request {
    /// The client's protocol.
    pub version: Version,
    /// What it wants.
    pub wish: Wish,
}

/// What a client may want.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Wish {
    /// One [`Status`].
    Status,
    /// A [`Status`] now and whenever it changes, until the client leaves.
    Follow,
    /// Start the machine; a [`Status`] whenever it changes, until it runs or failed.
    Start {
        /// Which machine.
        machine: Kind,
    },
    /// Stop the machine and the daemon; a [`Status`] whenever it changes, until it is stopped.
    Stop,
}

/// What the daemon answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Reply {
    /// How things are.
    Status(Status),
    /// The wish can't be granted.
    Refused {
        /// One sentence that says why and what to do.
        message: String,
    },
}

/// How things are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// The daemon's protocol.
    pub version: Version,
    /// The machine as a whole.
    pub state: State,
    /// The machine's kind, once it is chosen.
    pub machine: Option<Kind>,
    /// What went wrong and what to do, when the state is failed.
    pub problem: Option<Problem>,
    /// The phases of the latest start or stop, in order.
    pub phases: Vec<Phase>,
    /// The Docker socket.
    pub docker_socket: String,
    /// Open published ports, as `address:port/transport`.
    pub ports: Vec<String>,
}

/// Something that a user can act upon.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// Which one, for the window's own words.
    pub code: ProblemCode,
    /// One sentence that names what is wrong and the way out.
    pub message: String,
}

/// The problems that the window has words for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProblemCode {
    /// The emulator isn't installed.
    EmulatorMissing,
    /// The emulator is too old.
    EmulatorTooOld,
    /// Memory for the machine can't be had.
    OutOfMemory,
    /// The kernel or the root image isn't there.
    ImageMissing,
    /// The data disk can't be written.
    DiskFull,
    /// The machine ended by itself.
    MachineDied,
    /// A phase passed its deadline.
    Deadline,
    /// The guest speaks another protocol.
    Version,
    /// The user's `daemon.json` can't be honoured.
    Configuration,
}
