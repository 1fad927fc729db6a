//! `cargo xtask window-test`: the page's own checks, then the real window against a real engine.
//!
//! Where a display, a driver, root or the docker client is missing, the tests print what and skip themselves.

use crate::step::{cargo, find_program, step};
use crate::{build, window};

/// Builds what is needed and runs the window's tests.
pub(crate) fn run() -> anyhow::Result<()> {
    window::check_page()?;
    build::run(&build::Args::default())?;
    step("test the shell", cargo().args(["test", "--quiet", "--package", "berth-desktop"]))?;
    // Each test has a display and an engine of its own; nextest shows a skip's reason only when asked.
    let tests = ["--package", "e2e", "--test", "window", "--test", "window_machine"];
    if find_program("cargo-nextest").is_some() {
        return step(
            "test the window",
            cargo().args(["nextest", "run", "--success-output=final"]).args(tests),
        );
    }
    step("test the window", cargo().arg("test").args(tests).args(["--", "--nocapture"]))
}
