//! How the host daemon is reached on this operating system.

#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

#[cfg(unix)]
pub(crate) use unix::connect;
#[cfg(windows)]
pub(crate) use windows::connect;
