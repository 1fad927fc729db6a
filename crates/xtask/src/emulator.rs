//! The installed emulator with more devices: a program that is called like it, to be found before it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::Context;

use crate::step::find_program;

const EMULATOR: &str = "qemu-system-x86_64";

/// Lays an emulator in the folder `programs` that gives its machine `devices`, too: options of its command line.
pub(crate) fn lay(programs: &Path, devices: &str) -> anyhow::Result<()> {
    let real = find_program(EMULATOR).with_context(|| format!("{EMULATOR} isn't installed"))?;
    let script = format!(
        "#!/bin/sh\n[ \"$1\" = --version ] && exec {real} --version\nexec {real} \"$@\" {devices}\n",
        real = real.display(),
    );
    fs::create_dir_all(programs)?;
    let emulator = programs.join(EMULATOR);
    fs::write(&emulator, script)?;
    Ok(fs::set_permissions(&emulator, fs::Permissions::from_mode(0o755))?)
}
