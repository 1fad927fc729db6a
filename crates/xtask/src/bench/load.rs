//! What the benches of networks send and receive with (`src/bin/load.rs`), made once: the program, and an image of it.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;
use serde_json::json;

use crate::build::GUEST_TARGET;
use crate::container_image::ContainerImage;
use crate::step::{step, workspace_root};

/// The image's name.
pub(super) const IMAGE: &str = "load:latest";
/// Where the program lies in it.
pub(super) const PROGRAM: &str = "/load";
/// Where it serves in its container.
pub(super) const PORT: &str = "80";

/// The program and its image, as files.
pub(super) struct Load {
    /// Runs anywhere.
    pub(super) program: PathBuf,
    /// For `docker load`; its containers serve.
    pub(super) archive: PathBuf,
}

impl Load {
    /// Makes both in `folder`.
    pub(super) fn make(folder: &Path) -> anyhow::Result<Self> {
        let (program, archive) = (folder.join("load"), folder.join("image.tar"));
        let mut rustc = Command::new("rustc");
        rustc
            .args(["--edition", "2024", "-O", "--target", GUEST_TARGET, "-Ctarget-feature=+crt-static", "-o"])
            .arg(&program)
            .arg(workspace_root().join("crates/xtask/src/bin/load.rs"));
        step("compile the load", &mut rustc)?;
        let bytes = std::fs::read(&program).context("read the load")?;
        let config = json!({ "Cmd": [PROGRAM, "serve", PORT], "Env": ["PATH=/bin"] });
        let place = PROGRAM.trim_start_matches('/');
        ContainerImage::new(&config, &[(place, &bytes, 0o755)])?.save(IMAGE, &archive)?;
        Ok(Self { program, archive })
    }
}
