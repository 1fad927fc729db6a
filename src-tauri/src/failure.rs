//! What the page is told when something fails: a code it has its own words for, and the sentence from below.

use bollard::errors::Error as DockerError;
use protocol::control::{Problem, ProblemCode};
use serde::Serialize;
use ts_rs::TS;

/// A failed wish or a broken machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
pub(crate) struct Failure {
    /// Which one.
    pub(crate) code: FailureCode,
    /// What the daemon or the engine says about it.
    pub(crate) message: String,
}

/// The failures that the page has words and a way out for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, TS)]
#[serde(rename_all = "snake_case")]
pub(crate) enum FailureCode {
    /// The emulator isn't installed.
    EmulatorMissing,
    /// The emulator is too old.
    EmulatorTooOld,
    /// Memory for the machine can't be had.
    OutOfMemory,
    /// The VM's kernel or root image isn't there.
    MachineImageMissing,
    /// Nothing more can be written.
    DiskFull,
    /// The machine ended by itself.
    MachineDied,
    /// Something took longer than it may.
    Deadline,
    /// Two sides speak different protocols.
    Version,
    /// The user's `daemon.json` can't be honoured.
    Configuration,
    /// The `berth` program isn't found.
    BerthMissing,
    /// The Docker API doesn't answer.
    EngineDown,
    /// A host port is in use by something else.
    PortTaken,
    /// The engine hasn't the container's image.
    ImageMissing,
    /// The container is gone.
    NotFound,
    /// The wish doesn't fit the container's state.
    Conflict,
    /// The engine says no for another reason.
    Refused,
    /// Nobody thought of this.
    Unexpected,
}

impl Failure {
    /// A failure of this kind.
    pub(crate) fn new(code: FailureCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    /// The Docker API doesn't answer.
    pub(crate) fn engine_down(error: &dyn std::error::Error) -> Self {
        Self::new(FailureCode::EngineDown, with_causes(error))
    }
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        let code = match problem.code {
            ProblemCode::EmulatorMissing => FailureCode::EmulatorMissing,
            ProblemCode::EmulatorTooOld => FailureCode::EmulatorTooOld,
            ProblemCode::OutOfMemory => FailureCode::OutOfMemory,
            ProblemCode::ImageMissing => FailureCode::MachineImageMissing,
            ProblemCode::DiskFull => FailureCode::DiskFull,
            ProblemCode::MachineDied => FailureCode::MachineDied,
            ProblemCode::Deadline => FailureCode::Deadline,
            ProblemCode::Version => FailureCode::Version,
            ProblemCode::Configuration => FailureCode::Configuration,
        };
        Self::new(code, problem.message)
    }
}

impl From<DockerError> for Failure {
    fn from(error: DockerError) -> Self {
        match error {
            DockerError::DockerResponseServerError { status_code, message } => {
                Self::new(refusal(status_code, &message), message)
            }
            DockerError::RequestTimeoutError => {
                Self::new(FailureCode::Deadline, "the engine didn't answer in time")
            }
            DockerError::JsonDataError { .. } | DockerError::JsonSerdeError { .. } => {
                Self::new(FailureCode::Unexpected, with_causes(&error))
            }
            error => Self::engine_down(&error),
        }
    }
}

/// Docker's API has a status and a sentence; the sentences are the same in every Docker.
fn refusal(status: u16, message: &str) -> FailureCode {
    let says = |words: &str| message.contains(words);
    if says("no space left on device") || says("No space left on device") {
        FailureCode::DiskFull
    } else if says("port is already allocated") || says("address already in use") {
        FailureCode::PortTaken
    } else if says("No such image") {
        FailureCode::ImageMissing
    } else {
        match status {
            404 => FailureCode::NotFound,
            409 => FailureCode::Conflict,
            _ => FailureCode::Refused,
        }
    }
}

/// An error and its causes in one line; a cause that its effect already names isn't repeated.
fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    for cause in std::iter::successors(error.source(), |error| error.source()).map(ToString::to_string) {
        if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(status_code: u16, message: &str) -> FailureCode {
        Failure::from(DockerError::DockerResponseServerError { status_code, message: message.to_owned() })
            .code
    }

    #[test]
    fn dockers_sentences_become_codes() {
        let taken = "driver failed programming external connectivity: Bind for 0.0.0.0:80 failed: port is already allocated";
        assert_eq!(code(500, taken), FailureCode::PortTaken);
        assert_eq!(code(404, "No such image: nginx:latest"), FailureCode::ImageMissing);
        assert_eq!(code(404, "No such container: web"), FailureCode::NotFound);
        assert_eq!(code(500, "write /var/lib: no space left on device"), FailureCode::DiskFull);
        assert_eq!(code(409, "the container is running"), FailureCode::Conflict);
        assert_eq!(code(500, "boom"), FailureCode::Refused);
    }

    #[test]
    fn a_lost_connection_is_an_engine_that_is_down() {
        let lost = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        assert_eq!(Failure::from(DockerError::IOError { err: lost }).code, FailureCode::EngineDown);
    }
}
