//! Docker's buildx plugin for the client.

use std::fs;
use std::path::PathBuf;

/// Where packages put the plugin; `BERTH_E2E_BUILDX` names it where it isn't installed for everybody.
const USUAL: [&str; 3] = [
    "/usr/libexec/docker/cli-plugins/docker-buildx",
    "/usr/lib/docker/cli-plugins/docker-buildx",
    "/usr/local/lib/docker/cli-plugins/docker-buildx",
];

/// A client's configuration (`DOCKER_CONFIG`) with the plugin; none, with the reason printed, without the plugin.
///
/// # Panics
/// When the folder can't be made.
pub fn config() -> Option<tempfile::TempDir> {
    let given = std::env::var_os("BERTH_E2E_BUILDX").map(PathBuf::from);
    let Some(plugin) = given.or_else(|| USUAL.map(PathBuf::from).into_iter().find(|path| path.exists()))
    else {
        eprintln!("skipped: the buildx plugin isn't installed, and BERTH_E2E_BUILDX doesn't name it");
        return None;
    };
    let config = tempfile::tempdir().expect("make a client's configuration");
    let plugins = config.path().join("cli-plugins");
    fs::create_dir(&plugins).expect("make the plugins' folder");
    std::os::unix::fs::symlink(plugin, plugins.join("docker-buildx")).expect("give the plugin");
    Some(config)
}
