//! The tiny init of `docker run --init`: forwards signals to its one child, reaps orphans, ends as the child did.

use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitCode};

/// Placeholder until the init's own step.
pub fn run(arguments: &[String]) -> ExitCode {
    let Some((program, rest)) = arguments.split_first() else { return ExitCode::from(1) };
    match Command::new(program).args(rest).status() {
        Ok(status) => {
            let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
            ExitCode::from(code as u8)
        }
        Err(_) => ExitCode::from(127),
    }
}
