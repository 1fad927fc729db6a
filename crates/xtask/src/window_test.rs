//! `cargo xtask window-test`: the page's own checks, then the real window against a real engine.
//!
//! Where a display, a driver, root or the docker client is missing, the tests print what and skip themselves.

use crate::step::{cargo, step};
use crate::test::skips;
use crate::{build, setup, window};

/// Builds what is needed and runs the window's tests.
pub(crate) fn run() -> anyhow::Result<()> {
    setup::run(&setup::Args::default())?;
    window::check_page()?;
    build::run(&build::Args::default())?;
    step("test the shell", cargo().args(["test", "--quiet", "--package", "berth-desktop"]))?;
    let tests = ["--package", "e2e", "--test", "window", "--test", "window_machine"];
    step("test the window", cargo().args(["nextest", "run"]).args(tests))?;
    skips::print("default")
}
