//! Programs that the window starts: `berth start`, and the user's browser.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use crate::failure::{Failure, FailureCode};

/// How long `berth start` may take. Its phases have deadlines of their own, which are shorter in sum.
const START: Duration = Duration::from_secs(300);

/// Runs `berth start` to its end.
pub(crate) async fn berth_start() -> Result<(), Failure> {
    let missing = || {
        let message = "the `berth` program is neither beside this one nor in PATH";
        Failure::new(FailureCode::BerthMissing, message)
    };
    let program = berth_program().ok_or_else(missing)?;
    let mut command = Command::new(&program);
    command.arg("start").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let output = tokio::time::timeout(START, command.output())
        .await
        .map_err(|_| Failure::new(FailureCode::Deadline, "`berth start` doesn't end"))?
        .map_err(|error| Failure::new(FailureCode::Unexpected, format!("{}: {error}", program.display())))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let said = said.trim();
    let message =
        if said.is_empty() { format!("`berth start` ended with {}", output.status) } else { said.to_owned() };
    Err(Failure::new(FailureCode::Unexpected, message))
}

/// `berth`, beside this program or in PATH.
fn berth_program() -> Option<PathBuf> {
    let name = format!("berth{}", std::env::consts::EXE_SUFFIX);
    let beside = std::env::current_exe().ok().and_then(|own| own.parent().map(|folder| folder.join(&name)));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let in_path = std::env::split_paths(&path).map(|folder| folder.join(&name));
    beside.into_iter().chain(in_path).find(|file| file.is_file())
}

/// Opens a published port of this computer in the user's browser.
pub(crate) fn browser(port: u16) -> Result<(), Failure> {
    open::that_detached(format!("http://localhost:{port}/"))
        .map_err(|error| Failure::new(FailureCode::Unexpected, format!("no browser can be opened: {error}")))
}
