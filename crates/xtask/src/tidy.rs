//! `cargo xtask tidy`: the house rules that no compiler checks (ARCHITECTURE.md, "Invariants").
//!
//! Every rule is a function from what it reads to a list of complaints; a complaint names the file or crate and
//! says what to do. All complaints are printed, not only the first.

mod layers;
mod names;
mod sources;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use crate::step::workspace_root;

/// Checks all rules; fails with every complaint printed.
pub(crate) fn run() -> anyhow::Result<()> {
    let root = workspace_root();
    let metadata =
        cargo_metadata::MetadataCommand::new().current_dir(&root).exec().context("cargo metadata")?;
    let mut complaints = layers::check(&metadata);
    for package in metadata.workspace_packages() {
        let folder = package.manifest_path.parent().context("a manifest has a folder")?;
        let files = rust_files(folder.as_std_path())?;
        complaints.extend(names::check_crate(package.name.as_str()));
        complaints.extend(sources::check_crate(package, &files));
        for (path, text) in &files {
            let shown = path.strip_prefix(&root).unwrap_or(path);
            complaints.extend(names::check_file(shown, text));
            complaints.extend(sources::check_file(shown, text));
        }
    }
    for complaint in &complaints {
        println!("tidy: {complaint}");
    }
    if complaints.is_empty() { Ok(()) } else { bail!("tidy: {} complaints", complaints.len()) }
}

/// Every Rust file of a crate with its text, nested crates and build output left out.
fn rust_files(folder: &Path) -> anyhow::Result<Vec<(PathBuf, String)>> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(current) = folders.pop() {
        for entry in fs::read_dir(&current).with_context(|| format!("read {}", current.display()))? {
            let path = entry?.path();
            if path.is_dir() {
                let skipped =
                    path.ends_with("target") || path.ends_with("fuzz") || path.join("Cargo.toml").exists();
                if !skipped {
                    folders.push(path);
                }
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
                files.push((path, text));
            }
        }
    }
    files.sort();
    Ok(files)
}
