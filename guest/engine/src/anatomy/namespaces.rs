//! A process's namespaces, and who has the same ones (namespaces(7)).

use std::io;
use std::os::unix::fs::MetadataExt;

use serde::Serialize;

/// The files of /proc/<pid>/ns that name a process's own namespaces.
const KINDS: &[&str] = &["mnt", "pid", "net", "ipc", "uts", "cgroup", "user", "time"];

/// One namespace.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Namespace {
    /// `mnt`, `pid`, `net`, …
    pub kind: &'static str,
    /// Its number: two processes are in the same one when these are equal.
    pub inode: u64,
    /// Whether it is the engine's too.
    pub shared_with_engine: bool,
    /// Names of other containers that are in it.
    pub shared_with: Vec<String>,
}

/// The namespaces of a process; `others` are containers and their processes.
pub(super) fn of(pid: i32, others: &[(String, i32)]) -> io::Result<Vec<Namespace>> {
    KINDS
        .iter()
        .map(|&kind| {
            let inode = inode(&pid.to_string(), kind)?;
            // A container that ends meanwhile shares nothing.
            let same = |pid: &str| self::inode(pid, kind).is_ok_and(|other| other == inode);
            let sharers = others.iter().filter(|(_, pid)| same(&pid.to_string()));
            Ok(Namespace {
                kind,
                inode,
                shared_with_engine: same("self"),
                shared_with: sharers.map(|(name, _)| name.clone()).collect(),
            })
        })
        .collect()
}

fn inode(pid: &str, kind: &str) -> io::Result<u64> {
    Ok(std::fs::metadata(format!("/proc/{pid}/ns/{kind}"))?.ino())
}
