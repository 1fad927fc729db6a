//! A Python of a suite's own, with the packages it needs from PyPI.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Context;

use crate::step::{find_program, step, workspace_root};

/// The folder of programs of a Python that has `packages`, made at the first use.
pub(super) fn programs_of(suite: &str, packages: &[&str]) -> anyhow::Result<PathBuf> {
    let folder = workspace_root().join("target/suites").join(suite);
    let programs = folder.join("bin");
    let ready = folder.join("ready");
    if !ready.exists() {
        let python = find_program("python3").context("python3 isn't installed")?;
        step("make a Python for the suite", Command::new(python).args(["-m", "venv"]).arg(&folder))?;
        let mut install = Command::new(programs.join("python"));
        step("install what the suite needs", install.args(["-m", "pip", "install", "-q"]).args(packages))?;
        std::fs::write(ready, "")?;
    }
    Ok(programs)
}
