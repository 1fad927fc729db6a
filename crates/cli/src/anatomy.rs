//! `anatomy`: what a container is made of, with what each part is for.

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::ExitCode;

use http_body_util::BodyExt;
use hyper::Method;
use serde::Deserialize;

use crate::failure::{Failure, Outcome};
use crate::global::Global;
use crate::{engine, quantity, raw};

/// Take a container apart: its namespaces, cgroup, layers, rights and processes, as the kernel shows them
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Print everything, mounts and pressure included, as JSON
    #[arg(long)]
    json: bool,
    /// The container.
    container: String,
}

/// What the engine answers; only what is printed.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Anatomy {
    name: String,
    status: String,
    pid: i32,
    namespaces: Vec<Namespace>,
    cgroup: Option<Cgroup>,
    rights: Option<Rights>,
    processes: Vec<Process>,
    layers: Vec<Layer>,
    writable: Writable,
    start: Vec<Span>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Namespace {
    kind: String,
    inode: u64,
    shared_with_engine: bool,
    shared_with: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Cgroup {
    path: String,
    limits: std::collections::BTreeMap<String, String>,
    usage: std::collections::BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Rights {
    effective: Vec<String>,
    no_new_privileges: bool,
    seccomp: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Process {
    outside: i32,
    inside: i32,
    name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Layer {
    diff_id: String,
    size: i64,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Writable {
    size: i64,
    changes: Vec<(char, String)>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Span {
    name: String,
    micros: u64,
}

/// How many changed paths are listed.
const MOST_CHANGES: usize = 20;
/// How much of a layer's digest is shown.
const DIGEST: usize = 19;

/// Prints it.
pub(crate) async fn run(args: Args, global: &Global) -> Outcome {
    let engine = engine::connect(global).await?;
    let path = format!("/berth/containers/{}/anatomy", raw::escaped(&args.container));
    let answer = raw::send(&engine, Method::GET, &path, raw::whole(""), &[]).await?;
    let body = answer.into_body().collect().await.map_err(Failure::from_error)?.to_bytes();
    let mut out = std::io::stdout().lock();
    if args.json {
        out.write_all(&body)?;
        out.write_all(b"\n")?;
        return Ok(ExitCode::SUCCESS);
    }
    let anatomy: Anatomy = serde_json::from_slice(&body).map_err(Failure::from_error)?;
    out.write_all(describe(&anatomy).as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

fn describe(anatomy: &Anatomy) -> String {
    let mut text = format!("{} is {}", anatomy.name, anatomy.status);
    if anatomy.pid > 0 {
        let _ = write!(text, ": for the kernel it is process {} and what that started", anatomy.pid);
    }
    text.push('\n');
    namespaces(&mut text, anatomy);
    if let Some(cgroup) = &anatomy.cgroup {
        limits(&mut text, cgroup);
    }
    layers(&mut text, anatomy);
    if let Some(rights) = &anatomy.rights {
        heading(&mut text, "Rights", "what root may do in it, and nothing else");
        let names: Vec<_> = rights.effective.iter().map(|name| name.trim_start_matches("CAP_")).collect();
        let _ = writeln!(
            text,
            "  capabilities  {}",
            if names.is_empty() { "none".to_owned() } else { names.join(" ") }
        );
        let _ = writeln!(text, "  seccomp       {}", seccomp(&rights.seccomp));
        if rights.no_new_privileges {
            text.push_str("  set-user-id   programs give it nothing (no_new_privs)\n");
        }
    }
    if !anatomy.processes.is_empty() {
        heading(&mut text, "Processes", "each has a number inside and another outside");
        for process in &anatomy.processes {
            let _ = writeln!(
                text,
                "  {:>6} inside, {:>7} outside  {}",
                process.inside, process.outside, process.name
            );
        }
    }
    if !anatomy.start.is_empty() {
        let total: u64 = anatomy.start.iter().map(|span| span.micros).sum();
        heading(&mut text, "Start", &format!("the parts of the last one, {} together", duration(total)));
        for span in &anatomy.start {
            let _ = writeln!(text, "  {:<14}{:>10}", span.name, duration(span.micros));
        }
    }
    text
}

fn namespaces(text: &mut String, anatomy: &Anatomy) {
    if anatomy.namespaces.is_empty() {
        return;
    }
    heading(text, "Namespaces", "what it sees; processes with the same number see the same");
    for namespace in &anatomy.namespaces {
        let whose = if namespace.shared_with_engine { "the machine's" } else { "its own" };
        let _ = write!(
            text,
            "  {:<7}{:>11}  {whose:<13}  {}",
            namespace.kind,
            namespace.inode,
            purpose(&namespace.kind)
        );
        if !namespace.shared_with.is_empty() && !namespace.shared_with_engine {
            let _ = write!(text, "; shared with {}", namespace.shared_with.join(", "));
        }
        text.push('\n');
    }
}

/// What a namespace is for.
fn purpose(kind: &str) -> &'static str {
    match kind {
        "mnt" => "which files there are: the image's, not the machine's",
        "pid" => "which processes there are: its first one is number 1",
        "net" => "interfaces, addresses, routes and ports",
        "ipc" => "shared memory and message queues",
        "uts" => "the host name",
        "user" => "whether root inside is somebody else outside",
        "cgroup" => "where the tree of limits seems to begin",
        "time" => "what the clocks since boot say",
        _ => "",
    }
}

fn limits(text: &mut String, cgroup: &Cgroup) {
    heading(text, "Cgroup", &format!("what it may use and uses, as the files in {} say", cgroup.path));
    for (file, value) in cgroup.limits.iter().chain(&cgroup.usage) {
        // Long files are for --json.
        if value.lines().count() == 1 {
            let _ = writeln!(text, "  {file:<26}{}", value.trim());
        }
    }
}

fn layers(text: &mut String, anatomy: &Anatomy) {
    heading(
        text,
        "Layers",
        "its file system, the lowest first; all but the last are shared and never written",
    );
    for layer in &anatomy.layers {
        let digest: String = layer.diff_id.chars().take(DIGEST).collect();
        let _ = writeln!(text, "  {digest}  {:>8}", quantity::shown(layer.size, 3));
    }
    let changes = &anatomy.writable.changes;
    let _ = writeln!(
        text,
        "  its own              {:>8}  {} changed, added or deleted",
        quantity::shown(anatomy.writable.size, 3),
        changes.len()
    );
    for (kind, path) in changes.iter().take(MOST_CHANGES) {
        let _ = writeln!(text, "    {kind} {path}");
    }
    if changes.len() > MOST_CHANGES {
        let _ = writeln!(text, "    … and {} more (--json)", changes.len() - MOST_CHANGES);
    }
}

fn seccomp(mode: &str) -> &str {
    match mode {
        "filter" => "a filter decides which system calls it may make",
        "strict" => "it may read, write and end",
        _ => "off: it may make every system call",
    }
}

fn heading(text: &mut String, name: &str, purpose: &str) {
    let _ = writeln!(text, "\n{name}: {purpose}");
}

fn duration(micros: u64) -> String {
    format!("{}.{:03} ms", micros / 1000, micros % 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_at_rest_has_layers_and_no_namespaces() {
        let anatomy: Anatomy = serde_json::from_value(serde_json::json!({
            "Name": "box", "Status": "exited", "Pid": 0, "Namespaces": [], "Cgroup": null, "Rights": null,
            "Processes": [], "Layers": [{ "DiffId": "sha256:0123456789abcdef0123", "Size": 2_100_000 }],
            "Writable": { "Size": 5, "Changes": [["A", "/srv/new"]] },
            "Start": [{ "Name": "layers", "Micros": 1234 }],
        }))
        .unwrap();
        let text = describe(&anatomy);
        assert!(text.starts_with("box is exited\n\nLayers: "), "{text}");
        assert!(text.contains("  sha256:0123456789ab     2.1MB\n"), "{text}");
        assert!(text.contains("    A /srv/new\n") && text.contains("  layers          1.234 ms\n"), "{text}");
    }

    #[test]
    fn a_shared_namespace_names_who_is_in_it() {
        let mut text = String::new();
        let anatomy: Anatomy = serde_json::from_value(serde_json::json!({
            "Name": "box", "Status": "running", "Pid": 7, "Cgroup": null, "Rights": null, "Processes": [],
            "Layers": [], "Writable": { "Size": 0, "Changes": [] }, "Start": [],
            "Namespaces": [{ "Kind": "net", "Inode": 42, "SharedWithEngine": false, "SharedWith": ["web"] }],
        }))
        .unwrap();
        namespaces(&mut text, &anatomy);
        assert!(text.contains("its own") && text.ends_with("; shared with web\n"), "{text}");
    }
}
