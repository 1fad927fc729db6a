//! What the engine and a container's guard agree on: the launch description, the messages, the log's format.
//!
//! The guard is a small program that is the parent of one container's processes, so that they, their output and
//! their exit codes outlive the engine. The engine starts it as `berth-guard <dir>`, where `<dir>/launch.json` holds a
//! [`Launch`], and speaks with it over `<dir>/guard.sock` in [`ToGuard`] and [`FromGuard`]. What the guard knows at
//! its end stands in `<dir>/exit.json` as an [`ExitRecord`].
//!
//! Nothing here is async or starts anything: the engine brings its own I/O.

pub mod exit;
pub mod frame;
pub mod launch;
pub mod log;
pub mod message;

pub use exit::ExitRecord;
pub use frame::{Decoder, FrameError};
pub use launch::{Launch, LogDriver, StdinMode};
pub use message::{
    CONTAINER, ExecRequest, ExecState, FailureKind, FromGuard, Span, State, Stream, ToGuard, WindowSize,
};

/// The version that a guard names in its first message; an engine that doesn't know it leaves the container alone.
pub const VERSION: u32 = 1;
/// The most bytes of standard input, per process, that the engine sends before hearing of their delivery.
pub const STDIN_WINDOW: usize = 256 * 1024;
/// The launch description's name in the guard's folder.
pub const LAUNCH_FILE: &str = "launch.json";
/// The socket's name in the guard's folder.
pub const SOCKET_FILE: &str = "guard.sock";
/// The exit record's name in the guard's folder.
pub const EXIT_FILE: &str = "exit.json";
