//! The window's program: its page by npm and Vite, its shell by Cargo, which embeds the page.

use std::fs;
use std::process::Command;

use anyhow::{Context, bail};

use crate::build;
use crate::step::{cargo, find_program, step, workspace_root};

/// Builds the page and then the shell, and lays `target/berth/berth-desktop`.
pub(crate) fn build() -> anyhow::Result<()> {
    packages()?;
    step("build the window's page", &mut npm(&["run", "--silent", "build"]))?;
    if !workspace_root().join("ui/dist/index.html").is_file() {
        bail!("the page's build left no ui/dist/index.html: a window without it would be empty");
    }
    step("build the window", cargo().args(["build", "--quiet", "--package", "berth-desktop"]))?;
    build::lay(&build::cargo_target_dir()?.join("debug"), &["berth-desktop"])
}

/// Checks the page's types and runs its unit tests.
pub(crate) fn check_page() -> anyhow::Result<()> {
    packages()?;
    step("check the window's page", &mut npm(&["run", "--silent", "check"]))?;
    step("test the window's page", &mut npm(&["run", "--silent", "test"]))
}

/// Installs the page's packages exactly as locked, unless they are there.
fn packages() -> anyhow::Result<()> {
    if find_program("npm").is_none() {
        bail!("npm is missing: install Node.js 20.19 or newer, which brings it");
    }
    let ui = workspace_root().join("ui");
    let changed = |name: &str| fs::metadata(ui.join(name)).and_then(|file| file.modified());
    let locked = changed("package-lock.json").context("find ui/package-lock.json")?;
    // npm writes this file at the end of an installation.
    let are_there = changed("node_modules/.package-lock.json").is_ok_and(|installed| installed >= locked);
    if are_there {
        return Ok(());
    }
    step("install the page's packages", &mut npm(&["ci", "--silent"]))
}

/// npm in the page's folder.
fn npm(args: &[&str]) -> Command {
    let mut npm = Command::new("npm");
    npm.args(["--prefix", "ui"]).args(args);
    npm
}
