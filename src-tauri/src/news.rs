//! What the page is told: a snapshot when it is ready, then news. These types are its TypeScript bindings' source.

use serde::Serialize;
use ts_rs::TS;

use crate::engine::container::Container;
use crate::engine::image::Image;
use crate::engine::logs::Line;
use crate::failure::Failure;
use crate::machine::status::Daemon;

/// How everything is.
#[derive(Debug, Clone, PartialEq, Serialize, TS)]
pub(crate) struct Snapshot {
    /// The host daemon and its machine.
    pub(crate) daemon: Daemon,
    /// The Docker API.
    pub(crate) engine: Engine,
    /// All containers, the running ones first.
    pub(crate) containers: Vec<Container>,
    /// All images.
    pub(crate) images: Vec<Image>,
}

/// One change.
#[derive(Debug, Clone, PartialEq, Serialize, TS)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum News {
    /// The host daemon or its machine changed.
    Daemon {
        /// How it is now.
        daemon: Daemon,
    },
    /// The Docker API came or went.
    Engine {
        /// How it is now.
        engine: Engine,
    },
    /// Containers came, changed or went.
    Containers {
        /// All of them.
        containers: Vec<Container>,
    },
    /// Images came, changed or went.
    Images {
        /// All of them.
        images: Vec<Image>,
    },
}

/// The Docker API, seen from here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
#[serde(tag = "state", rename_all = "snake_case")]
pub(crate) enum Engine {
    /// Nobody said yet where it listens: the machine isn't up.
    Waiting,
    /// It answers.
    Up {
        /// The engine's own version.
        version: String,
    },
    /// It should answer and doesn't; it is tried again all the time.
    Down {
        /// Why not.
        failure: Failure,
    },
}

/// What a reader of a container's output is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum LogNews {
    /// More lines, in order.
    Lines {
        /// As many as were there.
        lines: Vec<Line>,
    },
    /// There will be no more: the container ended, or the output can't be read.
    Ended {
        /// Why, when it isn't the container's end.
        failure: Option<Failure>,
    },
}
