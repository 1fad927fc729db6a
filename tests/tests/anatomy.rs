//! `GET /berth/containers/{id}/anatomy` against what the kernel shows at the same moment.

use std::os::unix::fs::MetadataExt;

use e2e::engine::{Engine, said};
use e2e::guard::program;
use serde_json::Value;

fn anatomy(engine: &Engine, name: &str) -> Value {
    engine.get(&format!("/berth/containers/{name}/anatomy"))
}

#[test]
fn every_part_is_what_the_kernel_shows() {
    let Some(engine) = Engine::native_with_busybox() else { return };
    engine.ok(&[
        "run",
        "-d",
        "--name",
        "box",
        "--cap-drop",
        "ALL",
        "--cap-add",
        "CHOWN",
        "busybox",
        "sh",
        "-c",
        "echo x > /srv/new; sleep 1000; true",
    ]);
    engine.ok(&["run", "-d", "--name", "guest", "--network", "container:box", "busybox", "sleep", "1000"]);
    engine.ok(&["exec", "box", "sh", "-c", "while [ ! -e /srv/new ]; do sleep 0.01; done"]);
    let pid = engine.inspect("box", ".State.Pid");
    let found = anatomy(&engine, "box");
    assert_eq!(found["Pid"].to_string(), pid);
    for namespace in found["Namespaces"].as_array().unwrap() {
        let kind = namespace["Kind"].as_str().unwrap();
        let inode = |pid: &str| std::fs::metadata(format!("/proc/{pid}/ns/{kind}")).unwrap().ino();
        assert_eq!(namespace["Inode"], inode(&pid), "{kind}");
        let shared = if kind == "user" || kind == "time" || kind == "net" { &["guest"][..] } else { &[] };
        assert_eq!(namespace["SharedWith"], serde_json::json!(shared), "{kind}");
        assert_eq!(namespace["SharedWithEngine"], matches!(kind, "user" | "time"), "{kind}");
    }
    let read = |file: &str| std::fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap();
    assert!(read("cgroup").contains(found["Cgroup"]["Path"].as_str().unwrap()));
    assert!(found["Cgroup"]["Usage"]["cgroup.procs"].as_str().unwrap().lines().any(|line| line == pid));
    assert_eq!(found["Mounts"].as_array().unwrap().len(), read("mountinfo").lines().count());
    assert_eq!(found["Mounts"][0]["Destination"], "/");
    assert_eq!(found["Rights"]["Effective"], serde_json::json!(["CAP_CHOWN"]));
    assert!(read("status").contains("CapEff:\t0000000000000001"));
    assert_eq!(found["Rights"]["Seccomp"], "filter");
    let processes = found["Processes"].as_array().unwrap();
    assert!(processes.iter().any(|process| process["Inside"] == 1 && process["Outside"] == found["Pid"]));
    assert!(processes.iter().any(|process| process["Name"] == "sleep"));
    assert_eq!(found["Layers"].as_array().unwrap().len(), 1);
    let changes = found["Writable"]["Changes"].to_string();
    assert_eq!(changes, r#"[["C","/srv"],["A","/srv/new"]]"#);
    let names: Vec<&str> =
        found["Start"].as_array().unwrap().iter().map(|span| span["Name"].as_str().unwrap()).collect();
    assert_eq!(names[..7], ["API", "layers", "network", "ports", "bundle", "guard", "cgroup"]);
    assert_eq!(names.last().copied(), Some("ready"));
    engine.ok(&["kill", "box"]);
    let rest = anatomy(&engine, "box");
    assert_eq!((rest["Status"].as_str(), rest["Pid"].as_i64()), (Some("exited"), Some(0)));
}

#[test]
fn the_command_tells_a_learner_what_each_part_is_for() {
    let Some(engine) = Engine::native_with_busybox() else { return };
    engine.ok(&["run", "-d", "--name", "box", "busybox", "sh", "-c", "echo x > /srv/new; sleep 1000"]);
    engine.ok(&["exec", "box", "sh", "-c", "while [ ! -e /srv/new ]; do sleep 0.01; done"]);
    let mut command = std::process::Command::new(program("berth"));
    command.args(["anatomy", "box"]).env("DOCKER_HOST", format!("unix://{}", engine.socket().display()));
    let told = said(&command.output().unwrap());
    assert_eq!((told.code, told.err.as_str()), (0, ""));
    let pid = engine.inspect("box", ".State.Pid");
    assert!(
        told.out.starts_with(&format!("box is running: for the kernel it is process {pid} ")),
        "{}",
        told.out
    );
    let inode = std::fs::metadata(format!("/proc/{pid}/ns/net")).unwrap().ino().to_string();
    let network = told.out.lines().find(|line| line.starts_with("  net ")).unwrap();
    assert!(network.contains(&inode) && network.contains("its own"), "{network}");
    for part in ["Layers: ", "    A /srv/new", "Rights: ", "  seccomp       a filter decides", "Start: "] {
        assert!(told.out.contains(part), "no {part:?} in {}", told.out);
    }
}
