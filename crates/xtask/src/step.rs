//! Running one external command as a visible step, and finding the workspace.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, bail};

use crate::interrupt;

/// The folder that holds the workspace's Cargo.toml.
///
/// `cargo run` names this crate's folder to the running program. What the compiler was told may be another clone's, when
/// both share a target folder.
pub(crate) fn workspace_root() -> PathBuf {
    let ours = Path::new("crates/xtask");
    let running =
        std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from).filter(|path| path.ends_with(ours));
    let here = running.unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    here.ancestors().nth(2).unwrap_or(&here).to_path_buf()
}

/// Where `build` lays the finished programs: `target/berth` of the workspace, wherever Cargo's own target is.
pub(crate) fn programs_dir() -> PathBuf {
    workspace_root().join("target/berth")
}

/// Runs `command` from the workspace root, prints it and its duration, and fails when it fails or a signal ends it.
pub(crate) fn step(title: &str, command: &mut Command) -> anyhow::Result<()> {
    println!("==> {title}");
    timed(title, command)
}

/// The same for a step beside others: what it prints goes to the end of `log`.
pub(crate) fn step_into(log: &File, title: &str, command: &mut Command) -> anyhow::Result<()> {
    println!("==> {title}");
    timed(title, command.stdout(log.try_clone()?).stderr(log.try_clone()?))
}

fn timed(title: &str, command: &mut Command) -> anyhow::Result<()> {
    let started = Instant::now();
    let status =
        interrupt::status(command.current_dir(workspace_root())).with_context(|| title.to_owned())?;
    if !status.success() {
        bail!("{title}: failed ({status}): {}", shown(command));
    }
    println!("    {title}: {:.1} s", started.elapsed().as_secs_f64());
    Ok(())
}

/// The command line as one would type it, for messages.
fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
}

/// `cargo` of the toolchain that runs this tool.
///
/// Without what `cargo run` tells this tool of its own package: ring's build script names these variables as what it
/// depends on, so that ring and all that is built on it would be compiled again for each place of the workspace.
pub(crate) fn cargo() -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
            cargo.env_remove(name);
        }
    }
    cargo
}

/// The program's full path, when `$PATH` has it.
pub(crate) fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file())
}

/// The `berth` command of `target/berth` for a user whose every folder lies beneath `home`.
pub(crate) fn berth_at(home: &Path) -> Command {
    let mut berth = Command::new(programs_dir().join("berth"));
    for (name, folder) in [
        ("HOME", "."),
        ("XDG_RUNTIME_DIR", "run"),
        ("XDG_DATA_HOME", "data"),
        ("XDG_CONFIG_HOME", "config"),
        ("DOCKER_CONFIG", "docker"),
    ] {
        let folder = home.join(folder);
        // The command makes what it needs; the runtime folder is the system's to make.
        drop(std::fs::create_dir_all(&folder));
        berth.env(name, folder);
    }
    berth
}
