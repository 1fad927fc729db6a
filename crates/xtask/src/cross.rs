//! `cargo xtask cross`: lints for macOS and Windows what is to run there, on Linux.
//!
//! The pinned toolchain has no standard library for these systems and none can be counted on to be fetched. Debian's
//! `rustc-web` comes with the library's source: its metadata is made once for each target and cached, which is all
//! that checking needs. Nothing is linked or run, so "checked" is all that the README may say of these systems.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};

use crate::step::{step, workspace_root};
use crate::{cache, digest, setup};

const TARGETS: &[&str] = &["aarch64-apple-darwin", "x86_64-apple-darwin", "x86_64-pc-windows-gnu"];
/// What is written for these systems so far. The machine, the host daemon and the command are Linux's alone.
const PACKAGES: &[&str] = &["protocol", "berth-desktop"];

/// Debian's toolchain: whatever `$PATH` finds first.
const CARGO: &str = "/usr/bin/cargo";
const CLIPPY: &str = "/usr/bin/cargo-clippy";
const RUSTC: &str = "/usr/bin/rustc";
const LIBRARIES: &str = "std,panic_abort,panic_unwind,test,proc_macro";

/// Checks every target; fails at the first warning.
pub(crate) fn run() -> anyhow::Result<()> {
    setup::for_cross()?;
    let folder = workspace_root().join("target/cross");
    fs::create_dir_all(&folder)?;
    // Crates that compile C for the target's own libraries are only to be checked: their objects are never used.
    let compiler = folder.join("no-compiler");
    fs::write(&compiler, "#!/bin/sh\nexit 0\n")?;
    fs::set_permissions(&compiler, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    for target in TARGETS {
        let sysroot = sysroot(target, &folder)?;
        step(&format!("lint for {target}"), &mut lint(target, &sysroot, &compiler, &folder))?;
    }
    Ok(())
}

fn lint(target: &str, sysroot: &Path, compiler: &Path, folder: &Path) -> Command {
    let mut clippy = Command::new(CLIPPY);
    clippy.args(["clippy", "--quiet", "--target", target]);
    clippy.args(PACKAGES.iter().flat_map(|package| ["--package", package]));
    clippy.args(["--", "-D", "warnings"]);
    let upper = target.to_uppercase().replace('-', "_");
    clippy.env(format!("CARGO_TARGET_{upper}_RUSTFLAGS"), format!("--sysroot {}", sysroot.display()));
    for tool in ["CC", "AR"] {
        clippy.env(format!("{tool}_{}", target.replace('-', "_")), compiler);
    }
    with_debians(clippy, folder)
}

/// A command of Debian's toolchain, whatever rustup set for this process.
fn with_debians(mut command: Command, folder: &Path) -> Command {
    command.env("RUSTC", RUSTC).env("CARGO", CARGO).env("CARGO_TARGET_DIR", folder.join("target"));
    command.env_remove("RUSTUP_TOOLCHAIN").env_remove("RUSTC_WRAPPER");
    // Debian's own toolchain is as stable as ours; this lets it build a standard library.
    command.env("RUSTC_BOOTSTRAP", "1");
    command
}

/// A folder with the standard library of `target`, as far as checking needs it.
fn sysroot(target: &str, folder: &Path) -> anyhow::Result<PathBuf> {
    let version = Command::new(RUSTC).arg("-vV").output().context("run Debian's rustc")?;
    let mut inputs = digest::Inputs::default();
    inputs.add("rustc", &version.stdout);
    inputs.add("target", target.as_bytes());
    inputs.add("libraries", LIBRARIES.as_bytes());
    let archive = cache::file("std", &inputs.finish(), "std.tar", |work| build_std(target, work))?;
    let sysroot = folder.join("sysroot").join(target);
    let libraries = sysroot.join("lib/rustlib").join(target).join("lib");
    drop(fs::remove_dir_all(&libraries));
    fs::create_dir_all(&libraries)?;
    tar::Archive::new(File::open(&archive)?).unpack(&libraries).context("unpack the standard library")?;
    Ok(sysroot)
}

/// Makes the standard library's metadata as the dependencies of an empty crate; returns them in one archive.
fn build_std(target: &str, work: &Path) -> anyhow::Result<PathBuf> {
    let krate = work.join("empty");
    fs::create_dir_all(krate.join("src"))?;
    fs::write(krate.join("src/lib.rs"), "#![no_std]\n")?;
    let manifest = krate.join("Cargo.toml");
    fs::write(&manifest, "[package]\nname = \"empty\"\nedition = \"2024\"\n[workspace]\n")?;
    let mut cargo = Command::new(CARGO);
    cargo.args(["check", "--quiet", "--release", &format!("-Zbuild-std={LIBRARIES}"), "--target", target]);
    cargo.arg("--manifest-path").arg(&manifest);
    step(&format!("the standard library for {target}"), &mut with_debians(cargo, &krate))?;
    let archive = work.join("std.tar");
    let mut builder = tar::Builder::new(File::create(&archive)?);
    let mut crates = 0;
    for entry in fs::read_dir(krate.join("target").join(target).join("release/deps"))? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.ends_with(".rmeta") && !name.starts_with("libempty") {
            builder.append_path_with_name(entry.path(), name)?;
            crates += 1;
        }
    }
    if crates == 0 {
        bail!("no standard library was made for {target}");
    }
    builder.finish()?;
    Ok(archive)
}
