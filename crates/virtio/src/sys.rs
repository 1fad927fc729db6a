//! What devices need of the operating system: one thing to wait on for many streams, with one timer.

#[cfg(target_os = "linux")]
mod linux;

#[cfg(target_os = "linux")]
pub(crate) use linux::{Event, Poller};
