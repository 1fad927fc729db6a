//! Which crate may know which: the picture of ARCHITECTURE.md as a table.
//!
//! A new edge is a change of its own: add it here, with the argument in the commit.

use cargo_metadata::Metadata;

/// Every allowed edge between our crates. Host and guest meet in `protocol` alone.
const EDGES: &[(&str, &[&str])] = &[
    ("protocol", &[]),
    ("hv", &[]),
    ("virtio", &[]),
    ("usernet", &[]),
    ("sharefs", &[]),
    // The vmm process powers its guest off in order when the host daemon is gone: it speaks to PID 1 itself.
    ("vmm", &["hv", "virtio", "usernet", "sharefs", "protocol"]),
    ("hostd", &["vmm", "protocol"]),
    ("berth", &["hostd", "protocol", "compose"]),
    ("compose", &[]),
    ("berth-desktop", &["protocol"]),
    ("berth-runtime", &[]),
    ("berth-guard", &["berth-runtime"]),
    ("berth-images", &[]),
    ("berth-network", &[]),
    // The engine speaks the guard's message types and starts its program (docs/design/001).
    ("berth-engine", &["berth-runtime", "berth-guard", "berth-images", "berth-network"]),
    ("berth-builder", &["berth-images", "berth-runtime", "berth-network"]),
    ("berth-swarm", &["berth-engine"]),
    ("berth-api", &["berth-engine", "berth-builder", "berth-swarm"]),
    ("berth-init", &["berth-api", "berth-engine", "berth-network", "protocol"]),
    ("xtask", &[]),
    ("e2e", &["protocol"]),
    // Decoders of both sides are fuzzed by one program.
    (
        "fuzz",
        &["berth-api", "berth-builder", "berth-guard", "berth-images", "protocol", "sharefs", "usernet"],
    ),
];

/// Outside crates that only some of ours may name.
const KEEPERS: &[(&str, &[&str], &str)] = &[
    ("axum", &["berth-api", "berth-init"], "only api speaks HTTP to clients"),
    ("tokio-vsock", &["berth-init", "hostd"], "only init and hostd know vsock"),
    ("vsock", &["berth-init", "hostd"], "only init and hostd know vsock"),
    ("tauri", &["berth-desktop"], "only the desktop shell knows Tauri"),
    ("libseccomp", &["berth-runtime"], "seccomp is the runtime's business"),
];

/// Complaints about edges that aren't in the tables.
pub(super) fn check(metadata: &Metadata) -> Vec<String> {
    let ours: Vec<&str> = metadata.workspace_packages().iter().map(|package| package.name.as_str()).collect();
    let mut complaints = Vec::new();
    for package in metadata.workspace_packages() {
        let name = package.name.as_str();
        let Some((_, allowed)) = EDGES.iter().find(|(from, _)| *from == name) else {
            complaints.push(format!("crate {name} has no row in tidy/layers.rs: say there what it may know"));
            continue;
        };
        for dependency in &package.dependencies {
            let to = dependency.name.as_str();
            if ours.contains(&to) && !allowed.contains(&to) {
                complaints.push(format!("crate {name} must not know {to} (tidy/layers.rs)"));
            }
            complaints.extend(kept_for_others(name, to));
        }
    }
    complaints
}

/// The complaint when `to` is an outside crate that `name` may not use.
fn kept_for_others(name: &str, to: &str) -> Option<String> {
    let (_, keepers, reason) = KEEPERS.iter().find(|(outside, _, _)| *outside == to)?;
    (!keepers.contains(&name)).then(|| format!("crate {name} must not use {to}: {reason}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vsock_is_refused_outside_init_and_hostd() {
        assert!(kept_for_others("berth-engine", "vsock").is_some());
        assert!(kept_for_others("hostd", "vsock").is_none());
    }
}
