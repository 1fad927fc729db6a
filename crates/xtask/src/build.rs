//! `cargo xtask build`: the programs, laid in `target/berth/`.
//!
//! Guest programs are static (glibc with `+crt-static`) and always built for an explicit target, so that the
//! flag reaches neither build scripts nor procedural macros.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};

use crate::step::{cargo, programs_dir, step, workspace_root};
use crate::window;

/// What `cargo xtask build` takes.
#[derive(clap::Args, Default)]
pub(crate) struct Args {
    /// Only the guest programs.
    #[arg(long)]
    guest: bool,
}

/// What programs without a C library of the machine are compiled for.
pub(crate) const GUEST_TARGET: &str = "x86_64-unknown-linux-gnu";
/// Guest programs, each a binary of the package of the same name.
const GUEST_PROGRAMS: &[&str] = &["berth-guest", "berth-guard", "berth-runtime"];

/// Host programs.
const HOST_PROGRAMS: &[&str] = &["berth"];

/// How much the compiler tries.
#[derive(Clone, Copy)]
pub(crate) enum Profile {
    /// For everything but measuring.
    Dev,
    /// For measuring against programs that others released.
    Release,
}

impl Profile {
    /// Tells Cargo; returns its folder for what it builds so.
    fn told_to(self, cargo: &mut Command) -> &'static str {
        match self {
            Self::Dev => "debug",
            Self::Release => {
                cargo.arg("--release");
                "release"
            }
        }
    }
}

/// Builds and lays the programs; prints where each is.
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    guest_programs(Profile::Dev)?;
    if !args.guest {
        host_programs(Profile::Dev)?;
        window::build()?;
    }
    Ok(())
}

/// Builds the static guest programs once, for native runs, the VM image and the demo alike.
pub(crate) fn guest_programs(profile: Profile) -> anyhow::Result<()> {
    let mut build = cargo();
    build
        .args(["build", "--quiet", "--target", GUEST_TARGET])
        .env("CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUSTFLAGS", "-Ctarget-feature=+crt-static");
    for name in GUEST_PROGRAMS {
        build.args(["--bin", name, "--package", package_of(name)]);
    }
    let folder = profile.told_to(&mut build);
    step("build the guest programs", &mut build)?;
    lay(&cargo_target_dir()?.join(GUEST_TARGET).join(folder), GUEST_PROGRAMS)
}

/// The package that holds a guest program: `berth-guest` is the binary of `init`, the others of their namesakes.
fn package_of(program: &str) -> &str {
    if program == "berth-guest" { "berth-init" } else { program }
}

/// Builds the host programs.
pub(crate) fn host_programs(profile: Profile) -> anyhow::Result<()> {
    let mut build = cargo();
    build.args(["build", "--quiet", "--package", "berth"]);
    let folder = profile.told_to(&mut build);
    step("build the host programs", &mut build)?;
    lay(&cargo_target_dir()?.join(folder), HOST_PROGRAMS)
}

/// Cargo's target folder, wherever the environment puts it.
pub(crate) fn cargo_target_dir() -> anyhow::Result<PathBuf> {
    let metadata = cargo_metadata::MetadataCommand::new()
        .current_dir(workspace_root())
        .no_deps()
        .exec()
        .context("cargo metadata")?;
    Ok(metadata.target_directory.into())
}

/// Lays `programs` from Cargo's folder in `target/berth/`, stripped of debug information; a running one is replaced
/// by rename.
pub(crate) fn lay(from: &Path, programs: &[&str]) -> anyhow::Result<()> {
    let folder = programs_dir();
    fs::create_dir_all(&folder)?;
    for name in programs {
        let fresh = folder.join(format!(".{name}.new"));
        // Names of functions stay, for backtraces; line tables would be nine tenths of the VM's image.
        let strip =
            Command::new("strip").arg("--strip-debug").arg("-o").arg(&fresh).arg(from.join(name)).status();
        if !strip.with_context(|| format!("strip {name}"))?.success() {
            bail!("can't strip {name}");
        }
        fs::rename(&fresh, folder.join(name))?;
        println!("    target/berth/{name}");
    }
    Ok(())
}
