//! What goes wrong, in the words and with the exit code that the user sees.

use std::io::Write;
use std::process::ExitCode;

/// How every command ends.
pub(crate) type Outcome = Result<ExitCode, Failure>;

/// A message for standard error, and the exit code.
#[derive(Debug)]
pub(crate) struct Failure {
    message: String,
    code: u8,
    is_complete: bool,
}

impl Failure {
    /// Printed as it stands, with a line end; exit code 1.
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), code: 1, is_complete: false }
    }

    /// Nothing more to say.
    pub(crate) fn silent(code: u8) -> Self {
        Self { message: String::new(), code, is_complete: true }
    }

    /// An error with its causes.
    pub(crate) fn from_error(error: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self::new(format!("{:#}", anyhow::Error::new(error)))
    }

    /// Another exit code.
    pub(crate) fn with_code(mut self, code: u8) -> Self {
        self.code = code;
        self
    }

    /// Nothing is to be added to it, neither the command's name nor where help is.
    pub(crate) fn complete(mut self) -> Self {
        self.is_complete = true;
        self
    }

    /// Whether nothing is to be added.
    pub(crate) fn is_complete(&self) -> bool {
        self.is_complete
    }

    /// The exit code.
    pub(crate) fn code(&self) -> u8 {
        self.code
    }

    /// What it says.
    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    /// Says it and gives the exit code.
    pub(crate) fn tell(self) -> ExitCode {
        if !self.message.is_empty() {
            let _ = writeln!(std::io::stderr().lock(), "{}", self.message);
        }
        ExitCode::from(self.code)
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        if error.kind() == std::io::ErrorKind::BrokenPipe {
            // Whoever reads our output has seen enough.
            return Self::silent(0);
        }
        Self::new(error.to_string())
    }
}

impl From<bollard::errors::Error> for Failure {
    fn from(error: bollard::errors::Error) -> Self {
        use bollard::errors::Error;
        match error {
            Error::DockerResponseServerError { message, .. } => {
                Self::new(format!("Error response from daemon: {message}"))
            }
            Error::DockerStreamError { error } => Self::new(error),
            other => Self::from_error(other),
        }
    }
}
