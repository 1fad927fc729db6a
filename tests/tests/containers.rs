//! Containers through the unmodified `docker` client: what a user types and sees.

use std::io::Write;
use std::process::Stdio;

use e2e::condition::eventually;
use e2e::engine::{Engine, said};

const RUN: &[&str] = &["run", "--rm", "--network", "none"];

/// `docker run --rm --network none` with more arguments.
fn run(more: &[&'static str]) -> Vec<&'static str> {
    [RUN, more].concat()
}

#[test]
fn run_prints_what_the_program_prints_and_ends_as_it_ends() {
    let Some(engine) = Engine::with_busybox() else { return };
    let said = engine.docker(&run(&["busybox", "sh", "-c", "echo out; echo err >&2; exit 3"]));
    assert_eq!((said.out.as_str(), said.err.as_str(), said.code), ("out", "err", 3));
}

#[test]
fn run_with_rm_leaves_nothing() {
    let Some(engine) = Engine::native_with_busybox() else { return };
    engine.ok(&run(&["busybox", "true"]));
    eventually("no container is left", || engine.ok(&["ps", "-aq"]).is_empty().then_some(()));
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap();
    let ours = engine.exec_root().join("containers");
    assert!(!mounts.contains(&*ours.to_string_lossy()), "{mounts}");
    assert_eq!(std::fs::read_dir(ours).unwrap().count(), 0);
}

#[test]
fn a_container_is_alone_in_its_namespaces() {
    let Some(engine) = Engine::with_busybox() else { return };
    let script = "echo $$ $(hostname) $(ls /proc | grep -c '^[0-9]') $(ls /sys/class/net)";
    let out = engine.ok(&run(&["--hostname", "box", "busybox", "sh", "-c", script]));
    let words: Vec<&str> = out.split_whitespace().collect();
    assert_eq!(words[..2], ["1", "box"], "{out}");
    assert!(words[2].parse::<u32>().unwrap() < 10, "it sees other processes: {out}");
    assert!(!words[3..].contains(&"eth0"), "{out}");
}

#[test]
fn stdin_reaches_the_program_and_ends() {
    let Some(engine) = Engine::with_busybox() else { return };
    let mut client = engine.client(&run(&["-i", "busybox", "cat"]));
    let mut child = client.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"over there\n").unwrap();
    assert_eq!(said(&child.wait_with_output().unwrap()).out, "over there");
}

#[test]
fn a_program_that_cannot_start_has_dockers_exit_code_and_leaves_nothing() {
    let Some(engine) = Engine::with_busybox() else { return };
    let missing = engine.docker(&run(&["busybox", "nope"]));
    assert_eq!(missing.code, 127, "{missing:?}");
    assert!(missing.err.contains(r#"exec: "nope": executable file not found in $PATH"#), "{missing:?}");
    assert_eq!(engine.docker(&run(&["busybox", "/etc"])).code, 126);
    assert_eq!(engine.docker(&["run", "--rm", "--cap-add", "FLY", "busybox"]).code, 125);
    assert_eq!(engine.ok(&["ps", "-aq"]), "");
}

#[test]
fn logs_keep_what_was_printed_and_follow_what_is_printed() {
    let Some(engine) = Engine::with_busybox() else { return };
    let script = "for i in 1 2 3; do echo line $i; done; while [ ! -e /go ]; do sleep 0.05; done; echo last";
    engine.ok(&["run", "-d", "--name", "talker", "--network", "none", "busybox", "sh", "-c", script]);
    eventually("three lines", || (engine.ok(&["logs", "talker"]) == "line 1\nline 2\nline 3").then_some(()));
    assert_eq!(engine.ok(&["logs", "--tail", "1", "talker"]), "line 3");
    let following = engine.client(&["logs", "-f", "talker"]).stdout(Stdio::piped()).spawn().unwrap();
    // The container may end, and this exec with it, before the client hears that the file is there.
    let told = engine.docker(&["exec", "talker", "touch", "/go"]);
    assert!(matches!(told.code, 0 | 137), "{told:?}");
    assert_eq!(said(&following.wait_with_output().unwrap()).out, "line 1\nline 2\nline 3\nlast");
}

#[test]
fn exec_runs_beside_the_program_and_returns_its_code() {
    let Some(engine) = Engine::with_busybox() else { return };
    engine.ok(&[
        "run",
        "-d",
        "--name",
        "host",
        "--network",
        "none",
        "--oom-score-adj",
        "100",
        "busybox",
        "sleep",
        "1000",
    ]);
    let said =
        engine.docker(&["exec", "-e", "A=b", "-w", "/tmp", "host", "sh", "-c", "echo $A $PWD; exit 5"]);
    assert_eq!((said.out.as_str(), said.code), ("b /tmp", 5));
    assert_eq!(engine.docker(&["exec", "host", "nope"]).code, 127);
    // What the kernel may end first, and where one is: the same as the first process sees.
    assert_eq!(engine.ok(&["exec", "host", "cat", "/proc/self/oom_score_adj"]), "100");
    assert_eq!(engine.ok(&["exec", "host", "stat", "-c", "%s", "/.dockerenv"]), "0");
    assert_eq!(engine.ok(&["diff", "host"]), "");
    assert_eq!(
        engine.ok(&["exec", "host", "ping", "-c", "1", "-q", "127.0.0.1"]).matches(" 0% packet loss").count(),
        1
    );
    assert_eq!(engine.ok(&["exec", "-u", "web", "host", "id", "-un"]), "web");
    engine.ok(&["kill", "host"]);
    assert_eq!(engine.inspect("host", ".State.ExitCode"), "137");
}

#[test]
fn each_of_many_execs_has_its_own_stdin() {
    let Some(engine) = Engine::with_busybox() else { return };
    engine.ok(&["run", "-d", "--name", "many", "--network", "none", "busybox", "sleep", "1000"]);
    for word in ["first", "second", "third"] {
        let mut client = engine.client(&["exec", "-i", "many", "cat"]);
        let mut child = client.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(word.as_bytes()).unwrap();
        assert_eq!(said(&child.wait_with_output().unwrap()).out, word);
    }
}

#[test]
fn stop_asks_first_and_kills_after_its_time() {
    let Some(engine) = Engine::with_busybox() else { return };
    let polite = "trap 'exit 7' TERM; echo ready; while :; do sleep 0.05; done";
    engine.ok(&["run", "-d", "--name", "polite", "--network", "none", "busybox", "sh", "-c", polite]);
    eventually("it is ready", || engine.ok(&["logs", "polite"]).contains("ready").then_some(()));
    engine.ok(&["stop", "polite"]);
    assert_eq!(engine.inspect("polite", ".State.ExitCode"), "7");
    engine.ok(&["run", "-d", "--name", "deaf", "--network", "none", "busybox", "sleep", "1000"]);
    engine.ok(&["stop", "-t", "0", "deaf"]);
    assert_eq!(engine.inspect("deaf", ".State.ExitCode"), "137");
}

#[test]
fn a_taken_name_is_refused_in_dockers_words() {
    let Some(engine) = Engine::with_busybox() else { return };
    let id = engine.ok(&["create", "--name", "one", "busybox"]);
    let said = engine.docker(&["create", "--name", "one", "busybox"]);
    let words = format!(r#"Conflict. The container name "/one" is already in use by container "{id}"."#);
    assert!(said.err.contains(&words), "{said:?}");
    engine.ok(&["rename", "one", "two"]);
    engine.ok(&["create", "--name", "one", "busybox"]);
    assert_eq!(engine.ok(&["ps", "-a", "--format", "{{.Names}}", "--filter", "name=two"]), "two");
}

#[test]
fn a_failing_container_is_started_again_as_often_as_allowed() {
    let Some(engine) = Engine::with_busybox() else { return };
    engine.ok(&[
        "run",
        "-d",
        "--name",
        "failing",
        "--restart",
        "on-failure:2",
        "--network",
        "none",
        "busybox",
        "false",
    ]);
    eventually("it gave up", || (engine.inspect("failing", ".State.Status") == "exited").then_some(()));
    assert_eq!(engine.inspect("failing", ".RestartCount"), "2");
}

#[test]
fn a_volume_outlives_the_container_and_can_be_read_only() {
    let Some(engine) = Engine::with_busybox() else { return };
    engine.ok(&run(&["-v", "data:/data", "busybox", "sh", "-c", "echo kept > /data/file"]));
    let read = "cat /data/file; touch /data/x 2>/dev/null || echo refused";
    assert_eq!(engine.ok(&run(&["-v", "data:/data:ro", "busybox", "sh", "-c", read])), "kept\nrefused");
    assert_eq!(engine.ok(&["volume", "ls", "-q"]), "data");
}

#[test]
fn a_bind_is_the_users_own_folder() {
    let Some(engine) = Engine::native_with_busybox() else { return };
    let folder = tempfile::tempdir().unwrap();
    let bind = format!("{}:/host", folder.path().display());
    let write = ["-v", &bind, "busybox", "sh", "-c", "echo seen > /host/file"];
    engine.ok(&[RUN, &write].concat());
    assert_eq!(std::fs::read_to_string(folder.path().join("file")).unwrap(), "seen\n");
}

#[test]
fn pause_freezes_and_unpause_thaws() {
    let Some(engine) = Engine::with_busybox() else { return };
    engine.ok(&["run", "-d", "--name", "frozen", "--network", "none", "busybox", "sleep", "1000"]);
    engine.ok(&["pause", "frozen"]);
    assert_eq!(engine.inspect("frozen", ".State.Status"), "paused");
    assert!(engine.docker(&["exec", "frozen", "true"]).err.contains("paused"));
    engine.ok(&["unpause", "frozen"]);
    engine.ok(&["exec", "frozen", "true"]);
}

#[test]
fn containers_their_output_and_exit_codes_outlive_the_engine() {
    let Some(mut engine) = Engine::native_with_busybox() else { return };
    let script = "i=0; while [ ! -e /go ]; do i=$((i+1)); echo $i; sleep 0.01; done; exit 9";
    engine.ok(&["run", "-d", "--name", "counter", "--network", "none", "busybox", "sh", "-c", script]);
    engine.ok(&[
        "run",
        "-d",
        "--name",
        "short",
        "--network",
        "none",
        "busybox",
        "sh",
        "-c",
        "sleep 0.3; exit 4",
    ]);
    engine.crash();
    assert_eq!(engine.inspect("counter", ".State.Status"), "running");
    // The container's end may come before that of its `touch`, which it then ends too.
    engine.docker(&["exec", "counter", "touch", "/go"]);
    assert_eq!(engine.ok(&["wait", "counter"]), "9");
    let log = engine.ok(&["logs", "counter"]);
    let lines: Vec<usize> = log.lines().map(|line| line.parse().unwrap()).collect();
    assert_eq!(lines, (1..=lines.len()).collect::<Vec<_>>(), "a line is lost or told twice");
    assert_eq!(engine.ok(&["wait", "short"]), "4");
}

#[test]
fn a_container_dies_with_its_guard_and_says_why() {
    let Some(engine) = Engine::native_with_busybox() else { return };
    let id = engine.ok(&["run", "-d", "--name", "held", "--network", "none", "busybox", "sleep", "1000"]);
    let pid = engine.inspect("held", ".State.Pid");
    let guard = parent_of(&pid);
    let command = std::fs::read_to_string(format!("/proc/{guard}/cmdline")).unwrap();
    assert!(command.contains("berth-guard") && command.contains(&id), "{command}");
    let killed = std::process::Command::new("kill").args(["-KILL", &guard]).status().unwrap();
    assert!(killed.success());
    eventually("its end is noticed", || (engine.inspect("held", ".State.Status") == "exited").then_some(()));
    assert_eq!(engine.inspect("held", ".State.ExitCode"), "137");
    assert!(engine.inspect("held", ".State.Error").contains("guard"));
    eventually("its process is gone", || {
        (!std::path::Path::new(&format!("/proc/{pid}")).exists()).then_some(())
    });
    engine.ok(&["start", "held"]);
}

/// The process whose child `pid` is.
fn parent_of(pid: &str) -> String {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("the process lives");
    let parent = status.lines().find_map(|line| line.strip_prefix("PPid:")).expect("it has a parent");
    parent.trim().to_owned()
}

#[test]
fn an_engine_that_ends_without_containers_leaves_no_cgroup_and_no_mount() {
    let Some(mut engine) = Engine::native_with_busybox() else { return };
    engine.ok(&["run", "--detach", "--name", "last", "busybox", "sleep", "1000"]);
    assert!(!engine.belongings()["cgroups"].is_empty());
    engine.ok(&["rm", "--force", "last"]);
    engine.end();
    let left = engine.belongings();
    assert!(left["cgroups"].is_empty() && left["mounts"].is_empty(), "{left:?}");
}

#[test]
fn a_profile_of_system_calls_has_rules_for_some_capabilities_alone() {
    let Some(engine) = Engine::with_busybox() else { return };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("profile.json");
    let profile = serde_json::json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "archMap": [
            { "architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86", "SCMP_ARCH_X32"] },
            { "architecture": "SCMP_ARCH_AARCH64", "subArchitectures": ["SCMP_ARCH_ARM"] },
        ],
        "syscalls": [{
            "names": ["mkdir", "mkdirat"],
            "action": "SCMP_ACT_ERRNO",
            "errnoRet": 122,
            "includes": {},
            "excludes": { "caps": ["CAP_SYS_ADMIN"] },
        }],
    });
    std::fs::write(&file, profile.to_string()).unwrap();
    let option = format!("seccomp={}", file.display());
    let run = |more: &[&str]| {
        let run = ["run", "--rm", "--security-opt", &option];
        engine.docker(&[&run, more, &["busybox", "mkdir", "/made"]].concat())
    };
    let refused = run(&[]);
    assert!(refused.err.contains("Disk quota exceeded"), "{refused:?}");
    let allowed = run(&["--cap-add", "SYS_ADMIN"]);
    assert_eq!(allowed.code, 0, "{allowed:?}");
    std::fs::write(
        &file,
        r#"{"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86"], "archMap": [{}]}"#,
    )
    .unwrap();
    let wrong = run(&[]);
    assert!(wrong.err.contains("use either 'architectures' or 'archMap'"), "{wrong:?}");
}

#[test]
fn a_small_init_hands_on_how_its_child_ended() {
    let Some(engine) = Engine::with_busybox() else { return };
    let run = ["run", "--rm", "--network", "none", "--init", "busybox", "sh", "-c"];
    assert_eq!(engine.docker(&[&run[..], &["kill -TERM $$; sleep 60"]].concat()).code, 143);
}

#[test]
fn a_privileged_container_has_the_machines_devices() {
    let Some(engine) = Engine::with_busybox() else { return };
    let count = |options: &[&str]| -> usize {
        let run = ["run", "--rm", "--network", "none"];
        let listed = ["busybox", "find", "/dev", "-xdev", "-type", "c"];
        engine.ok(&[&run[..], options, &listed].concat()).lines().count()
    };
    assert!(count(&["--privileged"]) > count(&[]));
    let console =
        ["run", "--rm", "--network", "none", "--privileged", "busybox", "sh", "-c", "echo > /dev/kmsg"];
    assert_eq!(engine.docker(&console).code, 0);
}

#[test]
fn a_life_is_told_with_its_networks_volumes_and_signals() {
    let Some(engine) = Engine::with_busybox() else { return };
    engine.ok(&["network", "create", "place"]);
    engine.ok(&[
        "run",
        "-d",
        "--name",
        "alive",
        "--network",
        "place",
        "-v",
        "held:/v",
        "busybox",
        "sleep",
        "1000",
    ]);
    engine.ok(&["stop", "-t", "0", "alive"]);
    let until = engine.get("/info")["SystemTime"].as_str().unwrap().to_owned();
    let told = engine.ok(&["events", "--since", "1", "--until", &until, "--format", "{{.Type}} {{.Action}}"]);
    let expected = [
        "network create",
        "volume create",
        "container create",
        "network connect",
        "volume mount",
        "container start",
        "container kill",
        "container kill",
        "network disconnect",
        "volume unmount",
        "container die",
        "container stop",
    ];
    let mut lines = told.lines();
    assert!(expected.iter().all(|wanted| lines.any(|line| line == *wanted)), "{told}");
}

#[test]
fn every_event_of_an_image_is_told_by_its_id_with_its_labels() {
    let Some(engine) = Engine::with_busybox() else { return };
    engine.ok(&["run", "-d", "--name", "maker", "--label", "made=here", "busybox", "sleep", "1000"]);
    engine.ok(&["commit", "maker", "made:1"]);
    engine.ok(&["tag", "made:1", "made:2"]);
    let folder = tempfile::tempdir().unwrap();
    let archive = folder.path().join("made.tar").to_string_lossy().into_owned();
    engine.ok(&["save", "made:1", "made:2", "-o", &archive]);
    let id = engine.ok(&["image", "inspect", "-f", "{{.Id}}", "made:1"]);
    engine.ok(&["rmi", "made:1", "made:2"]);
    engine.ok(&["load", "-i", &archive]);
    let until = engine.get("/info")["SystemTime"].as_str().unwrap().to_owned();
    let format = "{{.Action}} {{.Actor.ID}} {{.Actor.Attributes.name}} {{.Actor.Attributes.made}}";
    let filter = format!("image={id}");
    let told =
        engine.ok(&["events", "--since", "1", "--until", &until, "--filter", &filter, "--format", format]);
    let expected = [
        format!("create {id} {id} here"),
        format!("tag {id} made:1 here"),
        format!("tag {id} made:2 here"),
        format!("save {id} {id} here"),
        format!("untag {id} {id} here"),
        format!("untag {id} {id} here"),
        format!("delete {id} {id} <no value>"),
        format!("load {id} {id} here"),
    ];
    assert_eq!(told.lines().collect::<Vec<_>>(), expected);
}
