//! What a machine needs of the host: an emulator that can't outlive its vmm, the speed of the CPU's
//! counter, descriptors for shared files and for other processes.

#[cfg(target_os = "linux")]
mod alarm;
#[cfg(unix)]
mod descriptors;
#[cfg(target_os = "linux")]
mod linux;
mod tsc;

#[cfg(target_os = "linux")]
pub(crate) use alarm::Alarm;
#[cfg(unix)]
pub(crate) use descriptors::{receive_descriptors, send_descriptors};
#[cfg(target_os = "linux")]
pub(crate) use linux::{kill_group, raise_descriptors, spawn_bound};
pub(crate) use tsc::tsc_khz;
