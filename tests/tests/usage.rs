//! `docker top`, `stats` and `update` through the unmodified client.

use e2e::condition::eventually;
use e2e::engine::Engine;

fn run(engine: &Engine, name: &str, more: &[&str]) {
    engine.ok(&[&["run", "-d", "--name", name], more, &["busybox", "sleep", "1000"]].concat());
}

#[test]
fn top_lists_processes_as_ps_would() {
    let Some(engine) = Engine::with_busybox() else { return };
    run(&engine, "box", &["--network", "none"]);
    let out = engine.ok(&["top", "box"]);
    let lines: Vec<Vec<&str>> = out.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0], ["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"]);
    assert_eq!((lines.len(), lines[1][0], &lines[1][7..]), (2, "root", &["sleep", "1000"][..]), "{out}");
    assert_eq!(lines[1][1], engine.inspect("box", ".State.Pid"));
    let chosen = engine.ok(&["top", "box", "-o", "pid,comm"]);
    assert_eq!(chosen.split_whitespace().collect::<Vec<_>>(), ["PID", "COMMAND", lines[1][1], "sleep"]);
    assert!(engine.ok(&["top", "box", "aux"]).starts_with("USER"));
    assert!(engine.docker(&["top", "box", "-Z"]).err.contains("unsupported option"));
    engine.ok(&["kill", "box"]);
    assert!(engine.docker(&["top", "box"]).err.contains("is not running"));
}

#[test]
fn stats_show_the_network_and_end_for_a_container_at_rest() {
    let Some(engine) = Engine::with_busybox() else { return };
    run(&engine, "box", &[]);
    eventually("something came through the network", || {
        let out = engine.ok(&["stats", "--no-stream", "--format", "{{.Name}} {{.NetIO}}", "box"]);
        let (name, traffic) = out.split_once(' ')?;
        (name == "box" && !traffic.starts_with("0B")).then_some(())
    });
    engine.ok(&["kill", "box"]);
    let rest = engine.ok(&["stats", "--no-stream", "--format", "{{.MemUsage}} {{.CPUPerc}}", "box"]);
    assert_eq!(rest, "0B / 0B 0.00%");
    let missing = engine.docker(&["stats", "--no-stream", "nobody"]);
    assert!(missing.err.contains("No such container: nobody"), "{missing:?}");
}

#[test]
fn stats_measure_memory_processes_and_cpu() {
    let Some(engine) = Engine::limiting_with_busybox() else { return };
    engine.ok(&["run", "-d", "--name", "busy", "-m", "64m", "busybox", "sh", "-c", "while :; do :; done"]);
    let out =
        engine.ok(&["stats", "--no-stream", "--format", "{{.MemUsage}};{{.PIDs}};{{.CPUPerc}}", "busy"]);
    let parts: Vec<&str> = out.split(';').collect();
    assert!(parts[0].ends_with("/ 64MiB") && !parts[0].starts_with("0B"), "{out}");
    assert_eq!(parts[1], "1");
    assert_ne!(parts[2], "0.00%");
}

#[test]
fn update_changes_the_policy_and_refuses_nonsense() {
    let Some(engine) = Engine::with_busybox() else { return };
    run(&engine, "box", &["--network", "none"]);
    engine.ok(&["update", "--restart", "on-failure:3", "--cpu-shares", "512", "box"]);
    let field = |name: &str| engine.inspect("box", &format!(".HostConfig.{name}"));
    assert_eq!([field("RestartPolicy.Name"), field("CpuShares")], ["on-failure", "512"]);
    let small = engine.docker(&["update", "-m", "1m", "box"]);
    assert!(small.err.contains("Minimum memory limit allowed is 6MB"), "{small:?}");
    engine.ok(&["run", "-d", "--rm", "--name", "brief", "--network", "none", "busybox", "sleep", "1000"]);
    let brief = engine.docker(&["update", "--restart", "always", "brief"]);
    assert!(brief.err.contains("AutoRemove is enabled"), "{brief:?}");
}

#[test]
fn update_changes_limits_while_it_runs() {
    let Some(engine) = Engine::limiting_with_busybox() else { return };
    run(&engine, "box", &["-m", "64m", "--network", "none"]);
    engine.ok(&["update", "-m", "96m", "--memory-swap", "128m", "--pids-limit", "9", "--cpus", "0.5", "box"]);
    let read = |file: &str| engine.ok(&["exec", "box", "cat", &format!("/sys/fs/cgroup/{file}")]);
    assert_eq!([read("memory.max"), read("pids.max"), read("cpu.max")], ["100663296", "9", "50000 100000"]);
}
