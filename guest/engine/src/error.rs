//! What can go wrong, by kind. `api` maps a kind to a status in one place.

use std::path::PathBuf;

/// What sort of failure an [`Error`] is, after moby's errdefs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The request makes no sense.
    InvalidParameter,
    /// The named thing isn't there.
    NotFound,
    /// It can't be done in the present state.
    Conflict,
    /// It already is as asked.
    NotModified,
    /// It isn't allowed.
    Forbidden,
    /// It isn't there in this engine.
    NotImplemented,
    /// Something it needs doesn't answer.
    Unavailable,
    /// Our fault or the machine's.
    System,
}

/// A failed engine call. The text is Docker's own where Docker has one.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A folder of the engine can't be made.
    #[error("can't make the folder {folder}")]
    Folder {
        /// Which.
        folder: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

impl Error {
    /// What sort of failure this is.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Folder { .. } => Kind::System,
        }
    }
}
