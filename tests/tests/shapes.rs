//! The shape of every answer, its keys and their JSON kinds, against dockerd's of API 1.51.
//!
//! tests/shapes has dockerd 28.5's, one file an answer. They were written by this test with `BERTH_WRITE_SHAPES=1` and
//! `BERTH_E2E_SOCKET` naming that dockerd's socket.

use std::collections::BTreeMap;
use std::path::PathBuf;

use e2e::condition::eventually;
use e2e::engine::Engine;
use serde_json::{Map, Value, json};

const WRITE: &str = "BERTH_WRITE_SHAPES";

/// Keys whose own keys are names that users choose; the values beneath share one shape.
const NAMED: &[&str] = &[
    "Labels",
    "Networks",
    "Ports",
    "PortBindings",
    "ExposedPorts",
    "Volumes",
    "Options",
    "Containers",
    "IndexConfigs",
    "Runtimes",
    "Tmpfs",
    "Sysctls",
    "DriverOpts",
    "Attributes",
    "EndpointsConfig",
    "Config.Labels",
    "networks",
    "Details",
    "Annotations",
    "LogConfig.Config",
    "Data",
    "Status",
];

/// What differs for a reason: the answer, the path of the key, and why.
const DIFFERENT: &[(&str, &str, &str)] = &[
    ("container", ".HostConfig.OomKillDisable", "null with cgroup v2, which has no such switch"),
    ("container-exited", ".HostConfig.OomKillDisable", "null with cgroup v2, which has no such switch"),
    ("info", ".Containerd", "there is none"),
    ("info", ".KernelMemoryTCP", "only cgroup v1 has it"),
    ("info", ".Runtimes.*.status", "dockerd's own annotations"),
    ("stats", ".cpu_stats.cpu_usage.percpu_usage", "only cgroup v1 has it"),
    ("stats", ".precpu_stats.cpu_usage.percpu_usage", "only cgroup v1 has it"),
    ("stats", ".memory_stats.max_usage", "only cgroup v1 has it"),
    // Without the controller, nothing counts; the VM has it.
    ("stats", ".memory_stats.limit", "natively on cgroup v1"),
    ("stats", ".memory_stats.stats", "natively on cgroup v1"),
    ("stats", ".pids_stats.limit", "told with cgroup v2, where no limit is a number too"),
    ("stats", ".memory_stats.stats.*", "the kernel's own names, which are others in cgroup v2"),
    ("stats", ".memory_stats.usage", "natively on cgroup v1"),
    ("stats", ".pids_stats.current", "natively on cgroup v1"),
];

#[test]
fn answers_have_dockers_keys_and_kinds() {
    let Some(engine) = Engine::with_busybox() else { return };
    let mut wrong = Vec::new();
    for (name, answer) in answers(&engine) {
        let ours = shape(&answer);
        let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("shapes").join(format!("{name}.json"));
        if std::env::var_os(WRITE).is_some() {
            std::fs::write(&file, serde_json::to_string_pretty(&ours).unwrap() + "\n").unwrap();
        }
        let theirs: Value = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
        compare(name, "", &theirs, &ours, &mut wrong);
    }
    let is_allowed = |path: &str, key: &str| match key.strip_suffix('*') {
        Some(above) => path.starts_with(above),
        None => path == key,
    };
    wrong.retain(|(name, path, _)| {
        !DIFFERENT.iter().any(|(answer, key, _)| answer == name && is_allowed(path, key))
    });
    let lines: Vec<_> = wrong.iter().map(|(name, path, what)| format!("{name}: {path}: {what}")).collect();
    assert!(lines.is_empty(), "{}", lines.join("\n"));
}

/// Every answer, by a name for its file.
fn answers(engine: &Engine) -> BTreeMap<&'static str, Value> {
    let container = json!({
        "Image": "busybox", "Cmd": ["sleep", "1000"], "ExposedPorts": { "80/tcp": {} }, "Labels": { "a": "b" },
        "Healthcheck": { "Test": ["CMD", "true"], "Interval": 1_000_000_000 },
        "HostConfig": {
            "PortBindings": { "80/tcp": [{ "HostIp": "127.0.0.1", "HostPort": "" }] },
            "Binds": ["shaped:/data"], "RestartPolicy": { "Name": "no" },
        },
    });
    let post = |path: &str, body: &Value| engine.call("POST", path, body).1;
    let mut answers = BTreeMap::from([
        ("volume-create", post("/volumes/create", &json!({ "Name": "shaped", "Labels": { "a": "b" } }))),
        ("network-create", post("/networks/create", &json!({ "Name": "shaped", "Labels": { "a": "b" } }))),
        ("container-create", post("/containers/create?name=shaped", &container)),
    ]);
    engine.ok(&["start", "shaped"]);
    engine.ok(&["exec", "shaped", "touch", "/made"]);
    let exec = post("/containers/shaped/exec", &json!({ "Cmd": ["true"], "AttachStdout": true }));
    let exec_id = exec["Id"].as_str().unwrap_or_default().to_owned();
    engine.call("POST", &format!("/exec/{exec_id}/start"), &json!({ "Detach": true }));
    let exec_inspect = eventually("the exec has ended", || {
        let inspect = engine.get(&format!("/exec/{exec_id}/json"));
        (inspect["Running"] == false).then_some(inspect)
    });
    answers.extend([
        ("exec-create", exec),
        ("exec-inspect", exec_inspect),
        ("version", engine.get("/version")),
        ("info", engine.get("/info")),
        ("containers", engine.get("/containers/json?all=1&size=1")),
        ("container", engine.get("/containers/shaped/json?size=1")),
        ("top", engine.get("/containers/shaped/top")),
        ("changes", engine.get("/containers/shaped/changes")),
        ("stats", engine.get("/containers/shaped/stats?stream=0")),
        ("images", engine.get("/images/json?shared-size=1")),
        ("image", engine.get("/images/busybox/json")),
        ("image-history", engine.get("/images/busybox/history")),
        ("networks", engine.get("/networks")),
        ("network", engine.get("/networks/bridge?verbose=1")),
        ("volumes", engine.get("/volumes")),
        ("volume", engine.get("/volumes/shaped")),
        ("disk-usage", engine.get("/system/df")),
        ("update", post("/containers/shaped/update", &json!({ "RestartPolicy": { "Name": "no" } }))),
        ("commit", post("/commit?container=shaped&repo=shaped", &Value::Null)),
        ("missing", engine.get("/containers/nowhere/json")),
    ]);
    engine.ok(&["kill", "shaped"]);
    answers.extend([
        ("wait", post("/containers/shaped/wait", &Value::Null)),
        ("container-exited", engine.get("/containers/shaped/json")),
        ("containers-prune", post("/containers/prune", &Value::Null)),
        ("images-prune", post("/images/prune", &Value::Null)),
        ("image-remove", engine.call("DELETE", "/images/shaped", &Value::Null).1),
        ("volumes-prune", post("/volumes/prune", &Value::Null)),
        ("networks-prune", post("/networks/prune", &Value::Null)),
    ]);
    answers
}

/// Kinds in place of values. An array has the shape that all its items have together.
fn shape(value: &Value) -> Value {
    match value {
        Value::Null => json!("null"),
        Value::Bool(_) => json!("bool"),
        Value::Number(_) => json!("number"),
        Value::String(_) => json!("string"),
        Value::Array(items) => Value::Array(items.iter().map(shape).reduce(together).into_iter().collect()),
        Value::Object(fields) => {
            let of = |(key, value): (&String, &Value)| {
                let inner = match value {
                    Value::Object(named) if NAMED.contains(&key.as_str()) => {
                        let values = named.values().map(shape).reduce(together);
                        Value::Object(values.map(|value| ("*".to_owned(), value)).into_iter().collect())
                    }
                    value => shape(value),
                };
                (key.clone(), inner)
            };
            Value::Object(fields.iter().map(of).collect())
        }
    }
}

/// The shape that covers both.
fn together(one: Value, other: Value) -> Value {
    match (one, other) {
        (Value::Object(mut one), Value::Object(other)) => {
            for (key, value) in other {
                let value = match one.remove(&key) {
                    Some(known) => together(known, value),
                    None => value,
                };
                one.insert(key, value);
            }
            Value::Object(one)
        }
        (Value::Array(one), Value::Array(other)) => {
            Value::Array(one.into_iter().chain(other).reduce(together).into_iter().collect())
        }
        (one, other) if one == json!("null") => other,
        (one, _) => one,
    }
}

type Wrong = Vec<(&'static str, String, String)>;

/// Notes each key that only one of them has and each that isn't of the same kind.
fn compare(name: &'static str, path: &str, theirs: &Value, ours: &Value, wrong: &mut Wrong) {
    let mut note = |what: String| wrong.push((name, path.to_owned(), what));
    match (theirs, ours) {
        (Value::Object(theirs), Value::Object(ours)) => {
            for key in keys(theirs, ours) {
                let path = format!("{path}.{key}");
                match (theirs.get(key), ours.get(key)) {
                    // Nothing of the kind was there to be seen.
                    _ if key == "*" && (theirs.is_empty() || ours.is_empty()) => {}
                    (Some(theirs), Some(ours)) => compare(name, &path, theirs, ours, wrong),
                    (Some(_), None) => wrong.push((name, path, "is missing".to_owned())),
                    (None, _) => wrong.push((name, path, "dockerd has no such key".to_owned())),
                }
            }
        }
        (Value::Array(theirs), Value::Array(ours)) => {
            if let (Some(theirs), Some(ours)) = (theirs.first(), ours.first()) {
                compare(name, &format!("{path}[]"), theirs, ours, wrong);
            }
        }
        (theirs, ours) if is_null(theirs) || is_null(ours) => {
            // Go's nil slices, maps and pointers are null; a number, a text or a truth value never is.
            let other = if is_null(theirs) { ours } else { theirs };
            if other.is_string() && !is_null(other) {
                note(format!("{} instead of {}", kind(ours), kind(theirs)));
            }
        }
        (theirs, ours) if theirs == ours => {}
        (theirs, ours) => note(format!("{} instead of {}", kind(ours), kind(theirs))),
    }
}

fn keys<'a>(one: &'a Map<String, Value>, other: &'a Map<String, Value>) -> Vec<&'a String> {
    let more = other.keys().filter(|key| !one.contains_key(*key));
    one.keys().chain(more).collect()
}

fn is_null(shape: &Value) -> bool {
    *shape == json!("null")
}

fn kind(shape: &Value) -> &str {
    match shape {
        Value::Object(_) => "an object",
        Value::Array(_) => "an array",
        shape => shape.as_str().unwrap_or_default(),
    }
}
