//! What a native engine has of its machine: records, mounts, interfaces, rules, processes, cgroups.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::engine::Engine;

/// Names by kind. Two that are equal show that nothing was left in between, and nothing lost.
pub type Belongings = BTreeMap<&'static str, BTreeSet<String>>;

impl Engine {
    /// What this native engine has now.
    ///
    /// # Panics
    /// When a tool that looks can't be started.
    pub fn belongings(&self) -> Belongings {
        let (data, exec) = (self.data_root(), self.exec_root());
        BTreeMap::from([
            ("containers", names(&data.join("containers"))),
            ("writable layers", names(&data.join("images/snapshots"))),
            ("volumes", names(&data.join("volumes"))),
            ("networks", names(&data.join("networks"))),
            ("folders of what runs", names(&exec.join("containers"))),
            ("namespaces", names(&exec.join("netns"))),
            ("mounts", mounts(&exec)),
            ("guards", guards(&exec)),
            ("cgroups", cgroups(&exec)),
            ("interfaces", lines(self.beside("ip").args(["-brief", "link"]), first_word)),
            ("rules", lines(self.beside("nft").args(["list", "ruleset"]), |line| line)),
        ])
    }
}

/// The sockets of each kind in a native engine's network, whoever has them, and what the engine holds open: its
/// descriptors of each kind, sockets in the networks of containers among them.
///
/// # Panics
/// When the engine doesn't run.
pub fn open_things(engine: &Engine) -> BTreeMap<String, usize> {
    let process = PathBuf::from(format!("/proc/{}", engine.process().expect("a native engine")));
    let mut counts = BTreeMap::new();
    for kind in ["tcp", "tcp6", "udp", "udp6", "raw", "raw6", "unix", "netlink", "packet"] {
        let table = std::fs::read_to_string(process.join("net").join(kind)).expect("read the sockets");
        // Streams that nobody has any more linger a minute, without an inode.
        let inode = |line: &str| line.split_whitespace().nth(9).map(str::to_owned);
        let lingers = |line: &&str| kind.starts_with("tcp") && inode(line).as_deref() == Some("0");
        counts.insert(format!("{kind} sockets"), table.lines().skip(1).filter(|line| !lingers(line)).count());
    }
    for descriptor in std::fs::read_dir(process.join("fd")).expect("list what is open").flatten() {
        let Ok(target) = std::fs::read_link(descriptor.path()) else { continue };
        // `socket:[17]`, `anon_inode:[pidfd]`, a path.
        let target = target.to_string_lossy();
        let kind = target.split_once(":[").filter(|(kind, _)| *kind != "anon_inode").map(|(kind, _)| kind);
        *counts.entry(format!("open {}", kind.unwrap_or(&target))).or_default() += 1;
    }
    counts
}

/// The files of `folder` that name or contain `id`.
///
/// # Panics
/// When the folder can't be read.
pub fn files_about(folder: &Path, id: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("read the folder").flatten().map(|entry| entry.path());
    let is_about = |path: &PathBuf| {
        path.to_string_lossy().contains(id)
            || std::fs::read_to_string(path).is_ok_and(|text| text.contains(id))
    };
    entries.filter(is_about).collect()
}

fn names(folder: &Path) -> BTreeSet<String> {
    let Ok(entries) = std::fs::read_dir(folder) else { return BTreeSet::new() };
    entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

fn mounts(exec: &Path) -> BTreeSet<String> {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").expect("read the mounts");
    let places = mounts.lines().filter_map(|line| line.split(' ').nth(4));
    places.filter(|place| Path::new(place).starts_with(exec)).map(str::to_owned).collect()
}

/// The folders whose containers a guard holds.
fn guards(exec: &Path) -> BTreeSet<String> {
    let exec = exec.to_string_lossy().into_owned();
    let lines = names(Path::new("/proc")).into_iter().filter_map(|process| {
        let line = std::fs::read(Path::new("/proc").join(process).join("cmdline")).ok()?;
        Some(String::from_utf8_lossy(&line).replace('\0', " "))
    });
    lines.filter(|line| line.contains("berth-guard") && line.contains(&exec)).collect()
}

/// The engine's own cgroups and what lies below, seen through a mount of our own: the engine's goes when it ends.
fn cgroups(exec: &Path) -> BTreeSet<String> {
    let mount = tempfile::tempdir().expect("make a folder to look through");
    let at = mount.path().to_string_lossy().into_owned();
    lines(Command::new("mount").args(["-t", "cgroup2", "none", &at]), |line| line);
    let name = exec.parent().and_then(Path::file_name).unwrap_or_default().to_string_lossy().into_owned();
    let ours = format!("*/berth-test-{}*", name.trim_start_matches(".tmp").to_ascii_lowercase());
    let found =
        lines(Command::new("find").args(["-type", "d", "-path", &ours]).current_dir(&at), |line| line);
    lines(Command::new("umount").arg(&at), |line| line);
    found
}

fn lines(command: &mut Command, of: fn(&str) -> &str) -> BTreeSet<String> {
    let output = command.output().expect("run a tool that looks");
    String::from_utf8_lossy(&output.stdout).lines().map(|line| of(line).to_owned()).collect()
}

fn first_word(line: &str) -> &str {
    line.split_whitespace().next().unwrap_or_default()
}
