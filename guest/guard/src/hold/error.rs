//! What can go wrong in the guard itself.

use std::io;
use std::path::PathBuf;

/// An error of the guard.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// A file of the launch can't be read.
    #[error("read {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    /// A file of the launch isn't what it should be.
    #[error("parse {}", path.display())]
    Parse { path: PathBuf, source: serde_json::Error },
    /// A system call failed.
    #[error("{operation}")]
    Call { operation: &'static str, source: io::Error },
    /// An exec came before the start or after the end.
    #[error("the container is not running")]
    NotRunning,
    /// The engine gave an id twice.
    #[error("exec {0} exists already")]
    ExecIdInUse(u32),
    /// The container can't be made or limited.
    #[error(transparent)]
    Runtime(#[from] berth_runtime::Error),
}

/// The message with its causes, on one line.
pub(crate) fn describe(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// Names the operation that an I/O error belongs to.
pub(crate) trait Doing<T> {
    fn doing(self, operation: &'static str) -> Result<T, Error>;
}

impl<T, E: Into<io::Error>> Doing<T> for Result<T, E> {
    fn doing(self, operation: &'static str) -> Result<T, Error> {
        self.map_err(|source| Error::Call { operation, source: source.into() })
    }
}
