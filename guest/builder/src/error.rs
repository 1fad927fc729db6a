//! What can go wrong in a build, in Docker's words where Docker has some.

use std::io;
use std::path::PathBuf;

use crate::dockerfile::SyntaxError;

/// The result of this crate's calls.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What sort of failure an [`Error`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The request, the Dockerfile or the context makes no sense.
    InvalidParameter,
    /// Something named isn't there.
    NotFound,
    /// Our fault or the machine's.
    System,
}

/// A failed build.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The text isn't a Dockerfile.
    #[error(transparent)]
    Dockerfile(#[from] SyntaxError),
    /// The context has no such file. For Docker that isn't the request's fault.
    #[error("Cannot locate specified Dockerfile: {0}")]
    NoDockerfile(String),
    /// There is nothing in the file.
    #[error("the Dockerfile ({0}) cannot be empty")]
    EmptyDockerfile(String),
    /// The Dockerfile has no such stage.
    #[error("target stage {0:?} could not be found")]
    NoTarget(String),
    /// Stages start from each other in a circle.
    #[error("circular dependency detected on stage: {0}")]
    Circle(String),
    /// A command of the build failed.
    #[error("The command '{command}' returned a non-zero code: {code}")]
    Command {
        /// The command line.
        command: String,
        /// How it ended.
        code: i32,
    },
    /// A command of the build couldn't be started.
    #[error("failed to start '{command}': {reason}")]
    NotStarted {
        /// The command line.
        command: String,
        /// Why not.
        reason: String,
    },
    /// COPY or ADD can't do what it says.
    #[error("{keyword} failed: {reason}")]
    Copy {
        /// Which of the two.
        keyword: &'static str,
        /// Why not.
        reason: String,
    },
    /// What an instruction or the request says makes no sense.
    #[error("{0}")]
    Invalid(String),
    /// Something that this engine doesn't do.
    #[error("{0}")]
    Unsupported(String),
    /// The client left or asked to stop.
    #[error("build cancelled")]
    Cancelled,
    /// A download failed.
    #[error("failed to download {url}: {reason}")]
    Download {
        /// From where.
        url: String,
        /// Why.
        reason: String,
    },
    /// A file operation failed.
    #[error("{operation} {}", path.display())]
    File {
        /// What was tried.
        operation: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The image store or a registry refused.
    #[error(transparent)]
    Images(#[from] berth_images::Error),
    /// The networks refused.
    #[error(transparent)]
    Network(#[from] berth_network::Error),
    /// The runtime refused.
    #[error(transparent)]
    Runtime(#[from] berth_runtime::Error),
    /// A container's description can't be made.
    #[error("describe the step's container: {0}")]
    Description(String),
    /// A part of the build was interrupted.
    #[error("a part of the build ended unexpectedly")]
    Task(#[from] tokio::task::JoinError),
    /// Another stage that this one needs failed; it has said why.
    #[error("{0}")]
    Stage(std::sync::Arc<Error>),
}

impl Error {
    /// What sort of failure this is.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Dockerfile(_) | Self::EmptyDockerfile(_) | Self::NoTarget(_) | Self::Circle(_) => {
                Kind::InvalidParameter
            }
            Self::Invalid(_) | Self::Unsupported(_) | Self::Copy { .. } => Kind::InvalidParameter,
            Self::Images(error) => match error.kind() {
                berth_images::Kind::InvalidParameter => Kind::InvalidParameter,
                berth_images::Kind::NotFound => Kind::NotFound,
                _ => Kind::System,
            },
            Self::Stage(error) => error.kind(),
            _ => Kind::System,
        }
    }

    pub(crate) fn file(operation: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::File { operation, path: path.into(), source }
    }

    /// The error and its causes on one line.
    pub fn describe(&self) -> String {
        let mut text = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            text = format!("{text}: {error}");
            cause = error.source();
        }
        text
    }
}
