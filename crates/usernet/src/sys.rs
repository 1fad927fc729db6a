//! What isn't the same on every host: sockets that ping without privileges.

#[cfg(target_os = "linux")]
mod linux;

#[cfg(target_os = "linux")]
pub(crate) use linux::ping_socket;
