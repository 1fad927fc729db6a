//! `cargo xtask image`: the VM's kernel and root image, in `target/berth/vm/` (vm-image/README.md).
//!
//! Equal inputs give equal bytes. Each file is cached by a hash of everything that goes into it, and what the
//! cache holds is checked against its recorded hash before it is used.

mod kernel;
mod root;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use crate::step::programs_dir;
use crate::{build, digest};

/// What `cargo xtask image` takes.
#[derive(clap::Args, Default)]
pub(crate) struct Args {
    /// Builds the kernel once more in another folder and compares the bytes.
    #[arg(long)]
    verify_kernel: bool,
}

/// Builds what isn't cached and lays `vmlinux`, `root.erofs` and `image.json`.
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let recipe = kernel::Recipe::read()?;
    let kernel = recipe.cached()?;
    if args.verify_kernel {
        verify(&recipe, &kernel)?;
    }
    build::guest_programs(build::Profile::Dev)?;
    let tree = root::Tree::collect(&programs_dir(), &kernel.manifest)?;
    let root = tree.cached()?;
    let folder = vm_dir();
    fs::create_dir_all(&folder)?;
    lay(&kernel.file, &folder.join("vmlinux"))?;
    lay(&root, &folder.join("root.erofs"))?;
    let manifest = tree.manifest_with_root(&digest::of_file(&root)?);
    fs::write(folder.join("image.json"), manifest).context("write image.json")?;
    println!("    target/berth/vm/{{vmlinux,root.erofs,image.json}}");
    Ok(())
}

/// Where the image lies when it is finished.
pub(crate) fn vm_dir() -> PathBuf {
    programs_dir().join("vm")
}

/// Builds the kernel again, from the same inputs in another folder, and fails when a byte differs.
fn verify(recipe: &kernel::Recipe, first: &kernel::Built) -> anyhow::Result<()> {
    let elsewhere = tempfile::tempdir().context("make a folder for the second build")?;
    let second = recipe.build(elsewhere.path())?;
    let (one, other) = (digest::of_file(&first.file)?, digest::of_file(&second)?);
    if one != other {
        bail!("the kernel isn't reproducible: {one} and then {other}");
    }
    println!("    the kernel was built twice: both are {one}");
    Ok(())
}

/// Copies a finished file, replacing the old one by rename: a running machine keeps its own.
fn lay(from: &Path, to: &Path) -> anyhow::Result<()> {
    let fresh = to.with_extension("new");
    fs::copy(from, &fresh).with_context(|| format!("copy {}", from.display()))?;
    fs::rename(&fresh, to).with_context(|| format!("replace {}", to.display()))
}
