//! The messages between engine and guard.

pub use berth_runtime::{FailureKind, Span, WindowSize};
use oci_spec::runtime::Process;
use serde::{Deserialize, Serialize};

use crate::exit::ExitRecord;

/// The process id, in messages, of the container's first process; execs have others, chosen by the engine.
pub const CONTAINER: u32 = 0;

/// What the engine says.
#[derive(Debug, Clone, PartialEq)]
pub enum ToGuard {
    /// Let the created container run.
    Start,
    /// Bytes for a process's standard input.
    Stdin {
        /// Whose.
        process: u32,
        /// At most [`MOST_DATA`](crate::frame::MOST_DATA).
        bytes: Vec<u8>,
    },
    /// Close a process's standard input, once what was sent before is delivered.
    CloseStdin {
        /// Whose.
        process: u32,
    },
    /// Change a terminal's size.
    Resize {
        /// Whose.
        process: u32,
        /// The new size.
        size: WindowSize,
    },
    /// Send a signal.
    Signal {
        /// To whom.
        process: u32,
        /// Which, by number.
        signal: i32,
    },
    /// Start one more process in the container.
    Exec {
        /// Its id from now on; not [`CONTAINER`] and not one in use.
        process: u32,
        /// What to start.
        request: Box<ExecRequest>,
    },
    /// The engine has taken note of the exit of a process: of an exec, which the guard then forgets; of the
    /// container, and the guard ends.
    Ack {
        /// Whose exit.
        process: u32,
    },
}

/// A process to add to a running container.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ExecRequest {
    /// The process, complete: environment, user, capabilities.
    pub spec: Process,
    /// Whether it has a terminal.
    #[serde(default)]
    pub terminal: bool,
    /// The terminal's first size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<WindowSize>,
    /// Whether its standard input is a pipe from the engine, instead of `/dev/null`.
    #[serde(default)]
    pub stdin: bool,
}

/// What the guard says.
#[derive(Debug, Clone, PartialEq)]
pub enum FromGuard {
    /// The first message on every connection: everything the engine needs to know.
    Hello {
        /// [`VERSION`](crate::VERSION) of the guard.
        version: u32,
        /// The container's state.
        state: State,
        /// Execs that the engine hasn't acknowledged.
        execs: Vec<ExecState>,
    },
    /// The container couldn't be made; the guard ends.
    CreateFailed {
        /// 127, 126 or neither.
        kind: FailureKind,
        /// In words for the user.
        message: String,
    },
    /// The container's program couldn't be executed; the guard ends.
    StartFailed {
        /// 127, 126 or neither.
        kind: FailureKind,
        /// In words for the user.
        message: String,
    },
    /// The container runs.
    Started {
        /// Its first process.
        pid: i32,
        /// When, in nanoseconds since 1970.
        at: u64,
        /// The parts of the start.
        spans: Vec<Span>,
        /// What was asked for and given only in part, in words for the user.
        warnings: Vec<String>,
    },
    /// A process wrote something.
    Output {
        /// Who.
        process: u32,
        /// Where; a terminal's output is all `Stdout`.
        stream: Stream,
        /// When it was read, in nanoseconds since 1970.
        at: u64,
        /// What.
        bytes: Vec<u8>,
    },
    /// So many bytes of a process's standard input were delivered (or dropped, when it reads no more): the engine
    /// keeps at most [`STDIN_WINDOW`](crate::STDIN_WINDOW) bytes per process on their way, so that a process
    /// that doesn't read never keeps a signal from reaching it.
    StdinTaken {
        /// Whose.
        process: u32,
        /// How many since the last message of this kind.
        bytes: u32,
    },
    /// More of the container's output is in its log than when it came: a scribe has written it.
    Logged,
    /// No more output of a process comes, on either stream.
    OutputEnd {
        /// Whose.
        process: u32,
    },
    /// An exec runs.
    ExecStarted {
        /// Which.
        process: u32,
        /// Its process.
        pid: i32,
    },
    /// An exec couldn't be started; its id is free again.
    ExecFailed {
        /// Which.
        process: u32,
        /// 127, 126 or neither.
        kind: FailureKind,
        /// In words for the user.
        message: String,
    },
    /// A process has ended and all its output was sent.
    Exited {
        /// Which.
        process: u32,
        /// How.
        exit: ExitRecord,
    },
}

/// Where output was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stream {
    /// Descriptor 1, or the terminal.
    Stdout,
    /// Descriptor 2.
    Stderr,
}

/// A container as its guard knows it.
///
/// ```text
/// Created -> Running -> Exited
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum State {
    /// Made, waiting for [`ToGuard::Start`].
    Created {
        /// Its first process.
        pid: i32,
    },
    /// Running.
    Running {
        /// Its first process.
        pid: i32,
        /// When it started, in nanoseconds since 1970.
        started_at: u64,
    },
    /// Ended.
    Exited {
        /// How.
        exit: ExitRecord,
    },
}

/// An exec as the guard knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecState {
    /// Its id.
    pub process: u32,
    /// Its process in the engine's pid namespace.
    pub pid: i32,
    /// How it ended, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit: Option<ExitRecord>,
}
