//! The server behind a real kernel's FUSE: programs' system calls in, changes of the host's folder out.

#![expect(clippy::unwrap_used, reason = "a test's panic is its report")]

mod case;
mod changes;
mod files;
mod guest;
mod host;
mod hostile;
mod locks;
mod losses;
mod mounted;
mod names;
mod ntfs;
mod owners;
mod soak;
mod stream;
mod sys;
