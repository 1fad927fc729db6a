//! Berth's own wire types: what the host daemon and the guest say to each other over vsock, and what the
//! window and the command line say to the host daemon.
//!
//! No operating system, no async and no logic beyond the encoding. The Docker API isn't here: it crosses the
//! same vsock as plain bytes that neither side of this protocol parses.
//!
//! Each conversation opens with a [`Version`] on both sides, since at the first upgrade an old guest meets a new
//! host daemon.

pub mod control;
pub mod frame;
pub mod guest;
pub mod machine;
pub mod port;
pub mod vsock;

use serde::{Deserialize, Serialize};

/// The version of this protocol. Two sides talk when their major numbers are equal; a new message or field is a
/// new minor number, and unknown fields are ignored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    /// Raised when an old peer would misunderstand.
    pub major: u16,
    /// Raised when something is added.
    pub minor: u16,
}

/// What this build speaks.
pub const VERSION: Version = Version { major: 3, minor: 0 };

impl Version {
    /// Whether a peer of version `other` understands us.
    pub fn understands(self, other: Self) -> bool {
        self.major == other.major
    }
}

impl std::fmt::Display for Version {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}.{}", self.major, self.minor)
    }
}
