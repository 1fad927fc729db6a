//! What devices need of the operating system: one thing to wait on for many streams, with one timer; moving bytes between
//! guest memory and files.

#[cfg(target_os = "linux")]
mod linux;

#[cfg(target_os = "linux")]
pub(crate) use linux::{Event, Poller, read_at, write_at};
