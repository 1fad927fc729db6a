//! The conversation between the host daemon and the guest's PID 1, over [`crate::vsock::CONTROL`].
//!
//! ```text
//! host                              guest
//!  │ Hello ───────────────────────► │   both sides check the version
//!  │ ◄─────────────────────── Hello │
//!  │ ◄─── Phase, Engine, Publish …  │   as things happen
//!  │ Published, Clock, Subnets ───► │
//!  │ PowerOff ────────────────────► │
//!  │ ◄────────────────── PoweringOff│   then the stream ends
//! ```

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::Version;
use crate::port::{Door, Outcome, Wanted};

/// What the host says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ToGuest {
    /// The first message.
    Hello(HostHello),
    /// What became of the set of [`FromGuest::Publish`] with the same generation, entry by entry.
    Published {
        /// The generation answered.
        generation: u64,
        /// One outcome per wanted port, in the same order.
        outcomes: Vec<Outcome>,
    },
    /// The host's clock; sent after connecting and whenever the host woke from sleep.
    Clock {
        /// Nanoseconds since 1970.
        unix_nanos: u64,
    },
    /// The host's own subnets, when they aren't those of its hello any more: a VPN came or went.
    Subnets {
        /// As [`HostHello::host_subnets`].
        host_subnets: Vec<String>,
    },
    /// Stop every container, sync, power off.
    PowerOff,
}

/// What the host tells of itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HostHello {
    /// The host daemon's protocol.
    pub version: Version,
    /// The host's clock, in nanoseconds since 1970.
    pub unix_nanos: u64,
    /// The host's path rules.
    pub os: HostOs,
    /// Host folders that containers may see.
    pub shares: Vec<Share>,
    /// How published connections come into the guest's network.
    pub door: Door,
    /// The host's own subnets, which container networks avoid (`192.168.0.0/16`).
    pub host_subnets: Vec<String>,
    /// The user's `daemon.json`, as text; empty when there is none.
    pub daemon_json: String,
    /// The texts of the files that it names (certificates, a system call filter), by the path as written there.
    #[serde(default)]
    pub files: BTreeMap<String, String>,
    /// The user's certificates of registries in Docker's `certs.d` layout: texts by `HOST:PORT/NAME.crt`.
    #[serde(default)]
    pub certificates: BTreeMap<String, String>,
    /// The host's proxies as the guest reaches them, by the environment's names: `HTTP_PROXY`, `HTTPS_PROXY`, `NO_PROXY`.
    #[serde(default)]
    pub proxies: BTreeMap<String, String>,
}

/// Whose path rules a bind mount follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HostOs {
    /// Absolute paths start with `/`.
    Linux,
    /// As Linux; names usually differ not only by case.
    Macos,
    /// `C:\path`; names never differ only by case.
    Windows,
}

/// The tag of the file system device that carries the shared folders.
pub const SHARES_TAG: &str = "berth-shares";

/// One host folder that containers may see.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share {
    /// The folder as the host names it.
    pub host: String,
    /// Its name in the root of the shared file system.
    pub name: String,
}

/// What the guest says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum FromGuest {
    /// The first message.
    Hello {
        /// The guest's protocol.
        version: Version,
        /// The hash of the root image's inputs.
        image: String,
    },
    /// A start-up phase of the guest ended.
    Phase {
        /// Its name, in the user's words.
        name: String,
        /// Since the kernel started, in microseconds.
        ended_at: u64,
    },
    /// The engine came up or went down.
    Engine {
        /// Whether the Docker API answers.
        up: bool,
        /// How often it was started since boot.
        starts: u32,
    },
    /// The engine can't take the user's `daemon.json`.
    ConfigurationRefused {
        /// Which key, and why.
        problem: String,
    },
    /// The complete set of ports that should be open on the host.
    Publish {
        /// Counts the sets.
        generation: u64,
        /// Every wanted port.
        ports: Vec<Wanted>,
    },
    /// Containers are stopped and the data disk is synced: the machine ends now.
    PoweringOff,
}
