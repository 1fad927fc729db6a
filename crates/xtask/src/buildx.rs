//! Docker's buildx plugin, where it is, and where it comes from.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::Context;

use crate::cache;
use crate::step::{find_program, step};

/// Names the plugin where it isn't installed for everybody.
const NAMED: &str = "BERTH_E2E_BUILDX";
/// Where packages put it.
const PLUGINS: &[&str] = &[
    "/usr/libexec/docker/cli-plugins/docker-buildx",
    "/usr/lib/docker/cli-plugins/docker-buildx",
    "/usr/local/lib/docker/cli-plugins/docker-buildx",
];
/// The first Debian that has it, and its package. Its programs run on Debian 12, too.
const DEBIAN: &str = "trixie";
const PACKAGE: &str = "docker-buildx";
const KEYS: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// Names the plugin to tests, which skip themselves without it.
pub(crate) fn tell(tests: &mut Command) -> &mut Command {
    match for_tests() {
        Ok(plugin) => tests.env(NAMED, plugin),
        Err(_) => tests,
    }
}

/// The plugin, if it is here.
pub(crate) fn plugin() -> Option<PathBuf> {
    let given = std::env::var_os(NAMED).map(PathBuf::from);
    given.or_else(|| PLUGINS.iter().map(PathBuf::from).find(|path| path.exists()))
}

/// The plugin for the tests: the one that is here, or Debian's, of which a copy is kept. Nothing is installed: Debian 12
/// has no such package.
pub(crate) fn for_tests() -> anyhow::Result<PathBuf> {
    plugin().map_or_else(|| cache::file("buildx", DEBIAN, PACKAGE, fetch), Ok)
}

/// Gives the plugin to a client whose configuration (`DOCKER_CONFIG`) is this folder.
pub(crate) fn give(plugin: &Path, config: &Path) -> anyhow::Result<()> {
    let plugins = config.join("cli-plugins");
    fs::create_dir_all(&plugins)?;
    Ok(std::os::unix::fs::symlink(plugin, plugins.join("docker-buildx"))?)
}

/// Takes the plugin out of Debian's package, which apt fetches with lists of its own in `folder`.
fn fetch(folder: &Path) -> anyhow::Result<PathBuf> {
    find_program("apt-get").context("there is no apt-get to fetch buildx with: install it")?;
    let sources = folder.join("sources.list");
    fs::write(&sources, format!("deb [signed-by={KEYS}] {} {DEBIAN} main\n", mirror()?))?;
    for place in ["lists/partial", "cache/archives/partial", "unpacked"] {
        fs::create_dir_all(folder.join(place))?;
    }
    let apt = || {
        // It downloads into the folder where it runs.
        let mut apt = Command::new("env");
        apt.arg("--chdir").arg(folder).args(["apt-get", "-q"]).stdout(Stdio::null()).args([
            "-oDir::Etc::sourceparts=/dev/null",
            // Unprivileged, apt couldn't read these folders.
            "-oAPT::Sandbox::User=root",
            &format!("-oDir::Etc::sourcelist={}", sources.display()),
            &format!("-oDir::State::lists={}", folder.join("lists").display()),
            &format!("-oDir::Cache={}", folder.join("cache").display()),
        ]);
        apt
    };
    step("update the lists of Debian's packages for buildx", apt().arg("update"))?;
    step("fetch buildx", apt().args(["download", PACKAGE]))?;
    let mut packages = fs::read_dir(folder)?.flatten().map(|entry| entry.path());
    let package = packages.find(|path| path.extension().is_some_and(|ending| ending == "deb"));
    let package = package.context("apt fetched no package of buildx")?;
    let unpacked = folder.join("unpacked");
    step("unpack buildx", Command::new("dpkg").arg("-x").arg(&package).arg(&unpacked))?;
    Ok(unpacked.join(PLUGINS[0].trim_start_matches('/')))
}

/// Where this machine has Debian's own packages from.
fn mirror() -> anyhow::Result<String> {
    let mut list = Command::new("apt-get");
    list.args(["indextargets", "--format", "$(ORIGIN)|$(LABEL)|$(REPO_URI)"]);
    let output = list.output().context("ask apt for this machine's mirror")?;
    let lines = String::from_utf8_lossy(&output.stdout).into_owned();
    let mirror = lines.lines().find_map(|line| line.strip_prefix("Debian|Debian|"));
    Ok(mirror.context("apt names no mirror of Debian")?.to_owned())
}
