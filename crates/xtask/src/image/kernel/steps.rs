//! The steps from source to `vmlinux`. This file is an input of the kernel's cache: changing it builds anew.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::bail;

use crate::step::step;

/// What the kernel says of its build, and the only date in it: the first second of 2025.
const BUILD: &[(&str, &str)] = &[
    ("KBUILD_BUILD_TIMESTAMP", "Wed Jan  1 00:00:00 UTC 2025"),
    ("KBUILD_BUILD_USER", "berth"),
    ("KBUILD_BUILD_HOST", "berth"),
    ("KBUILD_BUILD_VERSION", "1"),
    ("SOURCE_DATE_EPOCH", "1735689600"),
    ("LC_ALL", "C"),
];

/// Builds the kernel of `tarball` with `patch` and `config` in `folder`, which must be empty; returns the path of `vmlinux`
/// beneath it.
pub(super) fn build(tarball: &str, patch: &str, config: &str, folder: &Path) -> anyhow::Result<PathBuf> {
    let source = folder.join("linux");
    fs::create_dir(&source)?;
    let mut unpack = Command::new("tar");
    unpack.args(["-xJf", tarball, "--strip-components=1", "-C"]).arg(&source);
    step("unpack the kernel's source", &mut unpack)?;
    fs::write(source.join("berth.patch"), patch)?;
    let mut apply = Command::new("patch");
    apply.args(["--quiet", "--strip=1", "--fuzz=0", "--input=berth.patch", "--directory"]).arg(&source);
    step("patch the kernel's source", &mut apply)?;
    fs::write(source.join("berth.config"), config)?;
    step("configure the kernel: tinyconfig", make(&source).arg("tinyconfig"))?;
    let mut merge = Command::new("scripts/kconfig/merge_config.sh");
    merge.args(["-Q", "-m", ".config", "berth.config"]);
    step_in("configure the kernel: merge", &source, merge)?;
    step("configure the kernel: olddefconfig", make(&source).arg("olddefconfig"))?;
    let result = fs::read_to_string(source.join(".config"))?;
    let dropped = dropped(config, &result);
    if !dropped.is_empty() {
        bail!("the kernel's configuration lacks what was asked for: {}", dropped.join(" "));
    }
    let jobs = std::thread::available_parallelism().map_or(1, usize::from);
    step("build the kernel (minutes)", make(&source).arg(format!("-j{jobs}")).arg("vmlinux"))?;
    Ok(source.join("vmlinux"))
}

fn make(source: &Path) -> Command {
    let mut make = Command::new("make");
    make.arg("--quiet").arg("-C").arg(source).envs(BUILD.iter().copied());
    // Flags of an outer make, or of the user's shell, must not reach the build.
    for name in ["MAKEFLAGS", "CFLAGS", "KCFLAGS", "LDFLAGS", "ARCH", "CROSS_COMPILE"] {
        make.env_remove(name);
    }
    make
}

/// Runs a script of the source tree with that tree as its folder.
fn step_in(title: &str, folder: &Path, command: Command) -> anyhow::Result<()> {
    let mut there = Command::new("env");
    there.arg("-C").arg(folder).arg(command.get_program()).args(command.get_args());
    step(title, there.stdout(std::process::Stdio::null()))
}

/// The symbols of `asked` that `result` doesn't have as asked.
fn dropped<'a>(asked: &'a str, result: &str) -> Vec<&'a str> {
    let has = |line: &str| result.lines().any(|found| found == line);
    let names = |line: &str| result.lines().any(|found| found.starts_with(&format!("{line}=")));
    asked
        .lines()
        .filter(|line| line.starts_with("CONFIG_"))
        .filter(|line| match line.strip_suffix("=n") {
            Some(name) => names(name),
            None => !has(line),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_symbol_that_kconfig_dropped_is_found() {
        let asked = "# words\nCONFIG_A=y\nCONFIG_B=y\nCONFIG_C=n\n# CONFIG_D is not set\n";
        assert_eq!(
            dropped(asked, "CONFIG_A=y\n# CONFIG_B is not set\nCONFIG_C=y\n"),
            ["CONFIG_B=y", "CONFIG_C=n"]
        );
        assert!(dropped(asked, "CONFIG_A=y\nCONFIG_B=y\n").is_empty());
    }
}
