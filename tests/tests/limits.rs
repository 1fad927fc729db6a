//! What a container may use at most. Needs cgroup v2 controllers, which the VM has.

use e2e::engine::Engine;

#[test]
fn a_memory_limit_ends_the_container_and_says_so() {
    let Some(engine) = Engine::limiting_with_busybox() else { return };
    let hungry = "dd if=/dev/zero of=/dev/shm/x bs=1M count=40";
    let args = ["run", "--name", "hungry", "--network", "none", "-m", "16m", "busybox", "sh", "-c", hungry];
    assert_eq!(engine.docker(&args).code, 137);
    assert_eq!(engine.inspect("hungry", ".State.OOMKilled"), "true");
}

#[test]
fn a_cpu_quota_holds_within_a_tenth() {
    let Some(engine) = Engine::limiting_with_busybox() else { return };
    // CPU time used against time passed, both in microseconds, after a second to settle.
    let script = "(while :; do :; done) & sleep 1; used() { sed -n 's/usage_usec //p' /sys/fs/cgroup/cpu.stat; }; \
        now() { awk '{print int($1 * 1000000)}' /proc/uptime; }; \
        u=$(used); n=$(now); sleep 4; echo $(( ($(used) - u) * 100 / ($(now) - n) ))";
    let out =
        engine.ok(&["run", "--rm", "--network", "none", "--cpus", "0.3", "busybox", "sh", "-c", script]);
    let percent: u32 = out.parse().expect("a number");
    assert!((27..=33).contains(&percent), "it used {percent} % of a CPU instead of 30");
}

#[test]
fn a_disk_is_written_no_faster_than_allowed() {
    let Some(engine) = Engine::limiting_with_busybox() else { return };
    let sh = |more: &[&str], script: &str| {
        let run = [&["run", "--rm", "--network", "none"], more, &["busybox", "sh", "-c", script]];
        engine.ok(&run.concat())
    };
    // The names that the engine gives every container lie on the disk that its writable layer is on.
    let disk = sh(&[], "df /etc/hosts | tail -n 1 | cut -d ' ' -f 1");
    let script = "now() { cut -d . -f 1 /proc/uptime; }; began=$(now); \
        dd if=/dev/zero of=/file bs=256k count=16 oflag=direct && echo $(($(now) - began))";
    let seconds: u32 = sh(&["--device-write-bps", &format!("{disk}:1mb")], script).parse().expect("seconds");
    assert!(seconds >= 3, "4 MiB at 1 MiB/s took {seconds} s");
}

#[test]
fn a_pids_limit_stops_a_fork_bomb() {
    let Some(engine) = Engine::limiting_with_busybox() else { return };
    let bomb = "for i in 1 2 3 4 5 6 7 8 9 10 11 12; do sleep 5 & done; wait";
    let said = engine.docker(&[
        "run",
        "--rm",
        "--network",
        "none",
        "--pids-limit",
        "10",
        "busybox",
        "sh",
        "-c",
        bomb,
    ]);
    assert!(said.err.contains("can't fork"), "{said:?}");
}

#[test]
fn a_container_with_three_files_starts_and_takes_execs() {
    let Some(engine) = Engine::with_busybox() else { return };
    let files = ["--ulimit", "nofile=3:3", "--ulimit", "fsize=0:0"];
    engine.ok(&[&["run", "-d", "--name", "few"], &files[..], &["busybox", "sleep", "1000"]].concat());
    let told = engine.ok(&["exec", "few", "sh", "-c", "ulimit -n; ulimit -Hn; ulimit -f"]);
    assert_eq!(told, "3\n3\n0");
    let run = ["run", "--rm", "-t", "busybox", "sh", "-c", "ulimit -n"];
    assert_eq!(engine.ok(&[&run[..2], &files[..], &run[2..]].concat()).trim_end(), "3");
}
