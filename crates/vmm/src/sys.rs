//! What a machine needs of the operating system: an emulator that can't outlive its vmm.

#[cfg(target_os = "linux")]
mod linux;

#[cfg(target_os = "linux")]
pub(crate) use linux::{kill_group, spawn_bound};
