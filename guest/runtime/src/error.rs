//! What can go wrong while a container's process is made, and how the caller tells 127 from 126.

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// Why a process couldn't be started, as far as a client's exit code tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// The program doesn't exist: exit code 127.
    NotFound,
    /// The program is there but can't be executed: exit code 126.
    NotExecutable,
    /// Anything else.
    Other,
}

/// An error of the runtime.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The specification lacks a part that is needed, or a part says something impossible.
    #[error("specification: {0}")]
    Spec(&'static str),
    /// A value of the specification can't be used.
    #[error("specification: {what} {value:?}")]
    Value {
        /// What is wrong with it.
        what: &'static str,
        /// The value.
        value: String,
    },
    /// A system call without a path failed.
    #[error("{operation}")]
    Call {
        /// What was tried.
        operation: &'static str,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// A system call on a path failed.
    #[error("{operation} {}", path.display())]
    Path {
        /// What was tried.
        operation: &'static str,
        /// On which path.
        path: PathBuf,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// A path in the container isn't what it must be; the image or a mount tricks.
    #[error("{}: {problem}", path.display())]
    Hostile {
        /// The path inside the container.
        path: PathBuf,
        /// What is wrong.
        problem: &'static str,
    },
    /// The program isn't in the container.
    #[error("exec: {program:?}: {reason}")]
    Program {
        /// 127 or 126.
        kind: FailureKind,
        /// The name as given.
        program: String,
        /// Docker's wording.
        reason: String,
    },
    /// The child reported why it gave up.
    #[error("{message}")]
    Child {
        /// 127, 126 or neither.
        kind: FailureKind,
        /// The child's words.
        message: String,
    },
    /// A hook failed.
    #[error("error running {stage} hook #{index}: {reason}")]
    Hook {
        /// Its key in the specification.
        stage: &'static str,
        /// Its place in the list, from 0.
        index: usize,
        /// How it ended.
        reason: String,
    },
    /// A part of the specification or of the command line that isn't supported.
    #[error("{0}")]
    Refused(String),
    /// No container has this name.
    #[error("container {0} does not exist")]
    NotExist(String),
    /// The name is taken.
    #[error("container with given ID already exists: {0}")]
    Exists(String),
    /// A container's state doesn't allow it.
    #[error("{0}")]
    State(String),
    /// The child ended without a word.
    #[error("the container's process ended before it was ready")]
    ChildVanished,
    /// A file isn't the JSON that it must be.
    #[error("read {}", path.display())]
    Json {
        /// Which file.
        path: PathBuf,
        /// Where it goes wrong.
        #[source]
        source: serde_json::Error,
    },
    /// A message between parent and child can't be read.
    #[error("handshake with the container's process")]
    Handshake(#[source] serde_json::Error),
}

impl Error {
    /// What the caller's exit code should tell.
    pub fn kind(&self) -> FailureKind {
        match self {
            Self::Program { kind, .. } | Self::Child { kind, .. } => *kind,
            _ => FailureKind::Other,
        }
    }

    /// The message with its causes, on one line.
    pub fn describe(&self) -> String {
        let mut text = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            text.push_str(": ");
            text.push_str(&plain(error));
            cause = error.source();
        }
        text
    }
}

/// The text of a cause as `strerror` has it: no `(os error 2)`, and lower-case as Docker's clients expect.
pub fn plain(error: &(dyn std::error::Error + 'static)) -> String {
    let text = error.to_string();
    let Some(io) = error.downcast_ref::<io::Error>() else { return text };
    if io.raw_os_error().is_none() {
        return text;
    }
    let text = text.split(" (os error").next().unwrap_or_default();
    let mut letters = text.chars();
    letters
        .next()
        .map(|first| first.to_lowercase().collect::<String>() + letters.as_str())
        .unwrap_or_default()
}

/// Names the operation, and its path, that an I/O error belongs to.
pub(crate) trait Doing<T> {
    /// For calls without a path.
    fn doing(self, operation: &'static str) -> Result<T, Error>;
    /// For calls on a path.
    fn on(self, operation: &'static str, path: impl AsRef<Path>) -> Result<T, Error>;
}

impl<T, E: Into<io::Error>> Doing<T> for Result<T, E> {
    fn doing(self, operation: &'static str) -> Result<T, Error> {
        self.map_err(|source| Error::Call { operation, source: source.into() })
    }

    fn on(self, operation: &'static str, path: impl AsRef<Path>) -> Result<T, Error> {
        self.map_err(|source| Error::Path { operation, path: path.as_ref().into(), source: source.into() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_read_as_docker_writes_them() {
        let failed: Result<(), _> = Err(io::Error::from_raw_os_error(libc::ENOENT));
        assert_eq!(failed.on("open", "/x").unwrap_err().describe(), "open /x: no such file or directory");
    }
}
