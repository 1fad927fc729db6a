//! One virtual machine: its process, its memory, the wiring of its devices.
//!
//! [`process::run`] is the whole life of a vmm process; the host daemon starts itself again as one, so that a
//! crash here isn't a crash there. [`connect::connect`] reaches a vsock port of the guest from any process, and
//! [`handover::send`] brings a connection into its network.
//! [`emulated::Machine`] is the machine that works everywhere: an emulator's CPU with our own vsock and file system devices and our own network.

pub mod config;
pub mod connect;
mod data_disk;
pub mod emulated;
pub mod handover;
mod power_off;
pub mod process;
mod sys;

use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// Why a machine can't be started, or ended. The texts are one sentence each that a user can act upon.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The emulator isn't installed.
    #[error("`{0}` isn't installed: install QEMU (on Debian: apt install qemu-system-x86)")]
    EmulatorMissing(&'static str),
    /// The emulator is too old, or isn't one.
    #[error("the emulator is too old ({found}): QEMU 7.2 or later is needed")]
    EmulatorTooOld {
        /// What it says of itself.
        found: String,
    },
    /// Memory for the guest can't be had.
    #[error("there isn't enough free memory for the machine's {mib} MiB: close something or give it less")]
    OutOfMemory {
        /// What was asked for.
        mib: u32,
    },
    /// A file of the VM image isn't there.
    #[error("{} isn't there: build it with `cargo xtask image`", .0.display())]
    ImageMissing(PathBuf),
    /// The data disk can't be written.
    #[error("the disk that holds {} is full: free some space", .0.display())]
    DiskFull(PathBuf),
    /// The emulator ended by itself.
    #[error("the machine ended by itself ({status}); its last words: {last_words}")]
    Died {
        /// How its process ended.
        status: String,
        /// The end of its console, or of the emulator's messages.
        last_words: String,
    },
    /// Something took too long.
    #[error("{waited_for} took longer than {} s", .after.as_secs_f32())]
    Deadline {
        /// What was waited for.
        waited_for: &'static str,
        /// How long.
        after: Duration,
    },
    /// The operating system refused something.
    #[error("can't {doing}")]
    Os {
        /// What was tried.
        doing: String,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The vsock device can't be made.
    #[error("can't make the vsock device")]
    Vsock(#[from] virtio::Error),
    /// The shared folders can't be served.
    #[error("can't share the host's folders")]
    Shares(#[from] sharefs::Error),
    /// A message between vmm and guest can't be encoded or decoded.
    #[error("the guest sent something that isn't a message")]
    Message(#[from] protocol::frame::Error),
}

impl Error {
    /// Wraps what the operating system refused while `doing`.
    pub(crate) fn os(doing: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Os { doing: doing.into(), source }
    }

    /// The problem that the window has words for.
    pub fn code(&self) -> protocol::control::ProblemCode {
        use protocol::control::ProblemCode;
        match self {
            Self::EmulatorMissing(_) => ProblemCode::EmulatorMissing,
            Self::EmulatorTooOld { .. } => ProblemCode::EmulatorTooOld,
            Self::OutOfMemory { .. } => ProblemCode::OutOfMemory,
            Self::ImageMissing(_) => ProblemCode::ImageMissing,
            Self::DiskFull(_) => ProblemCode::DiskFull,
            Self::Deadline { .. } => ProblemCode::Deadline,
            Self::Died { .. } | Self::Os { .. } | Self::Vsock(_) | Self::Shares(_) | Self::Message(_) => {
                ProblemCode::MachineDied
            }
        }
    }
}
