//! Docker's buildx plugin, where it is.

use std::fs;
use std::path::{Path, PathBuf};

/// Where packages put the plugin; `BERTH_E2E_BUILDX` names it where it isn't installed for everybody.
const PLUGINS: &[&str] = &[
    "/usr/libexec/docker/cli-plugins/docker-buildx",
    "/usr/lib/docker/cli-plugins/docker-buildx",
    "/usr/local/lib/docker/cli-plugins/docker-buildx",
];

/// The plugin, if it is here.
pub(crate) fn plugin() -> Option<PathBuf> {
    let given = std::env::var_os("BERTH_E2E_BUILDX").map(PathBuf::from);
    given.or_else(|| PLUGINS.iter().map(PathBuf::from).find(|path| path.exists()))
}

/// Gives the plugin to a client whose configuration (`DOCKER_CONFIG`) is this folder.
pub(crate) fn give(plugin: &Path, config: &Path) -> anyhow::Result<()> {
    let plugins = config.join("cli-plugins");
    fs::create_dir_all(&plugins)?;
    Ok(std::os::unix::fs::symlink(plugin, plugins.join("docker-buildx"))?)
}
