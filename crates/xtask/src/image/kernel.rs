//! The guest kernel: Debian's Linux source with our one patch, vm-image/kernel.config over `tinyconfig`.

mod steps;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};
use serde_json::json;

use crate::step::workspace_root;
use crate::{cache, digest};

const PACKAGE: &str = "linux-source-6.12";
const TARBALL: &str = "/usr/src/linux-source-6.12.tar.xz";
/// Programs whose version changes the bytes.
const TOOLS: &[(&str, &str)] =
    &[("gcc", "--version"), ("ld", "--version"), ("flex", "--version"), ("bison", "--version")];

/// Everything that goes into the kernel.
pub(super) struct Recipe {
    config: String,
    patch: String,
    version: String,
    tarball_sha256: String,
    tools: Vec<(String, String)>,
}

/// A finished kernel.
pub(super) struct Built {
    /// The uncompressed `vmlinux`, which starts through its PVH entry.
    pub(super) file: PathBuf,
    /// What image.json says of it.
    pub(super) manifest: serde_json::Value,
}

impl Recipe {
    /// Reads the inputs of this machine.
    pub(super) fn read() -> anyhow::Result<Self> {
        let tarball = Path::new(TARBALL);
        if !tarball.exists() {
            bail!("{TARBALL} isn't there: run `cargo xtask setup`");
        }
        let read = |name: &str| {
            let path = workspace_root().join("vm-image").join(name);
            fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))
        };
        let version = output("dpkg-query", &["--show", "--showformat=${Version}", PACKAGE])?;
        let tools = TOOLS.iter().map(|(tool, flag)| Ok(((*tool).to_owned(), first_line(tool, flag)?)));
        Ok(Self {
            config: read("kernel.config")?,
            patch: read("fuse.patch")?,
            version,
            tarball_sha256: digest::of_file(tarball)?,
            tools: tools.collect::<anyhow::Result<_>>()?,
        })
    }

    /// The kernel from the cache, built first when it isn't there.
    pub(super) fn cached(&self) -> anyhow::Result<Built> {
        let hash = self.hash();
        let file = cache::file("kernel", &hash, "vmlinux", |folder| self.build(folder))?;
        let manifest = json!({
            "package": PACKAGE,
            "version": self.version,
            "source_sha256": self.tarball_sha256,
            "tools": self.tools.iter().cloned().collect::<std::collections::BTreeMap<_, _>>(),
            "inputs_sha256": hash,
            "vmlinux_sha256": digest::of_file(&file)?,
        });
        Ok(Built { file, manifest })
    }

    /// Builds in `folder`, which must be empty; returns the path of `vmlinux` beneath it.
    pub(super) fn build(&self, folder: &Path) -> anyhow::Result<PathBuf> {
        steps::build(TARBALL, &self.patch, &self.config, folder)
    }

    fn hash(&self) -> String {
        let mut inputs = digest::Inputs::default();
        inputs.add("config", self.config.as_bytes());
        inputs.add("patch", self.patch.as_bytes());
        inputs.add("source", self.tarball_sha256.as_bytes());
        inputs.add("recipe", include_bytes!("kernel/steps.rs"));
        for (tool, version) in &self.tools {
            inputs.add(tool, version.as_bytes());
        }
        inputs.finish()
    }
}

fn first_line(program: &str, flag: &str) -> anyhow::Result<String> {
    Ok(output(program, &[flag])?.lines().next().unwrap_or_default().to_owned())
}

/// What a program prints.
pub(super) fn output(program: &str, args: &[&str]) -> anyhow::Result<String> {
    let output = Command::new(program)
        .args(args)
        .env("LC_ALL", "C")
        .output()
        .with_context(|| format!("run {program}: is it installed? `cargo xtask setup`"))?;
    if !output.status.success() {
        bail!("{program} {}: {}", args.join(" "), String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
