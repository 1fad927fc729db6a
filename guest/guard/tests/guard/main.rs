//! The real guard program, driven through its socket, holding real containers.
#![expect(clippy::unwrap_used, reason = "a test fails where something unexpected happens")]

mod bundle;
mod client;

mod execs;
mod hostile;
mod lives;
mod streams;
