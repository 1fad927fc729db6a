//! From create to delete.

use crate::bundle::{await_that, bundle};

#[test]
fn a_life_goes_from_created_to_running_to_stopped_to_nothing() {
    let Some(bundle) = bundle("echo up; exec sleep 100") else { return };
    bundle.create();
    assert_eq!(bundle.state()["status"], "created");
    assert!(bundle.refused(&["create", "ID"]).contains("already exists"));
    bundle.ok(&["start", "ID"]);
    assert_eq!(bundle.state()["status"], "running");
    assert!(bundle.refused(&["start", "ID"]).contains("cannot start an already running container"));
    assert!(bundle.refused(&["delete", "ID"]).contains("that is not stopped: running"));
    bundle.ok(&["kill", "ID", "SIGKILL"]);
    bundle.await_status("stopped");
    assert!(bundle.refused(&["kill", "ID"]).contains("container not running"));
    bundle.ok(&["delete", "ID"]);
    bundle.assert_gone();
    assert!(bundle.refused(&["state", "ID"]).contains("does not exist"));
}

#[test]
fn run_ends_as_the_program_did_and_leaves_nothing() {
    let Some(bundle) = bundle("echo out; exit 7") else { return };
    assert_eq!(bundle.run_through(), (Some(7), "out\n".into()));
    bundle.assert_gone();
}

#[test]
fn a_missing_program_is_told_by_create_and_leaves_nothing() {
    let Some(mut bundle) = bundle("") else { return };
    bundle.spec["process"]["args"] = serde_json::json!(["no-such-program"]);
    bundle.write();
    let told = bundle.refused(&["create", "ID"]);
    assert!(told.contains("executable file not found in $PATH"), "{told}");
    bundle.assert_gone();
}

#[test]
fn the_log_has_the_error_as_json() {
    let Some(bundle) = bundle("") else { return };
    bundle.refused(&["--log", "log.json", "--log-format", "json", "state", "ID"]);
    let line = std::fs::read_to_string(bundle.path().join("log.json")).unwrap();
    let line: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(line["level"], "error");
    assert!(line["msg"].as_str().unwrap().contains("does not exist"));
}

#[test]
fn exec_runs_beside_the_first_process() {
    let Some(bundle) = bundle("exec sleep 100") else { return };
    bundle.create();
    bundle.ok(&["start", "ID"]);
    let told = bundle.ok(&[
        "exec",
        "--user",
        "5:6",
        "-e",
        "A=b",
        "--cwd",
        "/bin",
        "ID",
        "sh",
        "-c",
        "id -u; id -g; echo $A; pwd",
    ]);
    assert_eq!(told, "5\n6\nb\n/bin\n");
    assert_eq!(bundle.run(&["exec", "ID", "sh", "-c", "exit 3"]).status.code(), Some(3));
    assert_eq!(bundle.run(&["exec", "ID", "no-such-program"]).status.code(), Some(255));
    bundle.ok(&["exec", "--detach", "--pid-file", "exec.pid", "ID", "sleep", "100"]);
    let pid = std::fs::read_to_string(bundle.path().join("exec.pid")).unwrap();
    let pids: Vec<i32> = serde_json::from_str(&bundle.ok(&["ps", "--format", "json", "ID"])).unwrap();
    assert_eq!(pids.len(), 2);
    assert!(pids.contains(&pid.parse().unwrap()));
    assert!(bundle.ok(&["ps", "ID"]).contains("sleep 100"));
}

#[test]
fn a_paused_container_stands_still_until_it_is_resumed() {
    let Some(bundle) = bundle("exec sleep 100") else { return };
    bundle.create();
    bundle.ok(&["start", "ID"]);
    bundle.ok(&["pause", "ID"]);
    assert_eq!(bundle.state()["status"], "paused");
    assert!(bundle.refused(&["exec", "ID", "true"]).contains("paused"));
    bundle.ok(&["resume", "ID"]);
    assert_eq!(bundle.state()["status"], "running");
    assert!(bundle.refused(&["resume", "ID"]).contains("container not paused"));
}

#[test]
fn signals_reach_the_program_by_name_and_number() {
    let Some(bundle) = bundle("trap 'exit 0' USR1; echo up > /up; while :; do sleep 0.05; done") else {
        return;
    };
    bundle.create();
    bundle.ok(&["start", "ID"]);
    await_that(|| bundle.path().join("rootfs/up").exists(), "the program's trap");
    assert!(bundle.refused(&["kill", "ID", "NONSENSE"]).contains("unknown signal"));
    bundle.ok(&["kill", "ID", "usr1"]);
    bundle.await_status("stopped");
}

#[test]
fn list_has_every_container() {
    let Some(bundle) = bundle("exec sleep 100") else { return };
    bundle.create();
    assert_eq!(bundle.ok(&["list", "--quiet"]), format!("{}\n", bundle.id));
    let listed: serde_json::Value = serde_json::from_str(&bundle.ok(&["list", "--format", "json"])).unwrap();
    assert_eq!(listed[0]["status"], "created");
    assert!(bundle.ok(&["list"]).starts_with("ID"));
}

#[test]
fn delete_force_removes_whatever_a_creation_cut_off_leaves() {
    let Some(mut bundle) = bundle("exec sleep 100") else { return };
    // The hook holds the creation where its killing leaves most behind.
    bundle.spec["hooks"] = serde_json::json!({
        "createRuntime": [{ "path": "/bin/sh", "args": ["sh", "-c", "echo > at; exec sleep 30"], "env": ["PATH=/bin:/usr/bin"] }],
    });
    bundle.write();
    let mut creating = bundle.command(&["create", "ID"]).spawn().unwrap();
    await_that(|| bundle.path().join("at").exists(), "the hook");
    creating.kill().unwrap();
    creating.wait().unwrap();
    assert_eq!(bundle.state()["status"], "creating");
    bundle.ok(&["delete", "--force", "ID"]);
    bundle.assert_gone();
    bundle.ok(&["delete", "--force", "ID"]);
}
