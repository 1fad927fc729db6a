//! `daemon.json`: what it says takes effect, and what can't be honoured keeps the engine from starting, with the reason.

#![expect(clippy::unwrap_used, reason = "a test's panic is its report")]

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use e2e::condition::eventually;
use e2e::engine::{Engine, said};
use e2e::guard::{need_root, program};

#[test]
fn new_containers_get_what_it_says_unless_they_say_otherwise() {
    let json = r#"{
        "default-ulimits": { "nofile": { "Name": "nofile", "Soft": 111, "Hard": 222 } },
        "default-shm-size": "8M", "log-driver": "local", "log-opts": { "max-size": "1m" },
        "dns": ["192.0.2.1"], "dns-search": ["lab.example"], "dns-opts": ["timeout:1"],
        "no-new-privileges": true, "init": true, "default-cgroupns-mode": "host",
        "default-ipc-mode": "shareable", "host-gateway-ips": ["192.0.2.7"], "bip": "10.88.0.1/24", "mtu": 1400
    }"#;
    let Some(engine) = Engine::configured(json, &[]) else { return };
    engine.load_busybox();
    let script = "ulimit -n; ulimit -Hn; df -k /dev/shm | tail -1 | awk '{print $2}'; cat /etc/resolv.conf; \
                  grep NoNewPrivs /proc/self/status; cat /proc/1/comm; grep there /etc/hosts; cat /sys/class/net/eth0/mtu; \
                  ip -o -4 addr show eth0";
    let run = ["run", "--name", "box", "--add-host", "there:host-gateway", "busybox", "sh", "-c", script];
    let out = engine.ok(&run);
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(&lines[..3], ["111", "222", "8192"], "{out}");
    for part in
        ["nameserver 192.0.2.1", "search lab.example", "options timeout:1", "192.0.2.7\tthere", "1400"]
    {
        assert!(lines.contains(&part), "{part} in {out}");
    }
    assert!(out.contains("NoNewPrivs:\t1") && out.contains("10.88.0."), "{out}");
    assert!(lines.iter().any(|line| line.contains("init") || line.contains("berth-runtime")), "{out}");
    assert_eq!(engine.inspect("box", ".HostConfig.LogConfig"), "{local map[max-size:1m]}");
    assert_eq!(engine.inspect("box", ".HostConfig.IpcMode"), "shareable");
    assert_eq!(engine.inspect("box", ".HostConfig.CgroupnsMode"), "host");

    let own =
        ["run", "--rm", "--ulimit", "nofile=50:60", "--shm-size", "4m", "--dns", "192.0.2.2", "busybox"];
    let out = engine.ok(&[
        own.as_slice(),
        &["sh", "-c", "ulimit -n; df -k /dev/shm | tail -1; cat /etc/resolv.conf"],
    ]
    .concat());
    assert!(out.starts_with("50\n") && out.contains("4096"), "{out}");
    assert!(out.contains("nameserver 192.0.2.2") && !out.contains("192.0.2.1"), "{out}");
}

#[test]
fn info_tells_what_it_says() {
    let json = r#"{
        "debug": true, "labels": ["team=blue"], "log-driver": "none", "live-restore": true,
        "insecure-registries": ["http://reg.example:5000", "10.0.0.0/8"], "registry-mirrors": ["https://m.example"],
        "default-address-pools": [{ "base": "10.200.0.0/16", "size": 24 }],
        "proxies": { "http-proxy": "http://ann:secret@proxy.example:3128", "no-proxy": "a.example" }
    }"#;
    let Some(engine) = Engine::configured(json, &[]) else { return };
    let info = engine.get("/info");
    assert_eq!(info["Labels"], serde_json::json!(["team=blue"]));
    assert_eq!((&info["Debug"], &info["LiveRestoreEnabled"]), (&true.into(), &true.into()));
    assert_eq!(info["LoggingDriver"], "none");
    assert_eq!(info["RegistryConfig"]["IndexConfigs"]["reg.example:5000"]["Secure"], false);
    assert_eq!(info["RegistryConfig"]["InsecureRegistryCIDRs"][0], "10.0.0.0/8");
    assert_eq!(info["RegistryConfig"]["Mirrors"], serde_json::json!(["https://m.example/"]));
    assert_eq!(info["DefaultAddressPools"], serde_json::json!([{ "Base": "10.200.0.0/16", "Size": 24 }]));
    assert_eq!(info["HttpProxy"], "http://xxxxx:xxxxx@proxy.example:3128");
    assert_eq!(info["NoProxy"], "a.example");
    engine.ok(&["network", "create", "blue"]);
    let subnet = engine.ok(&["network", "inspect", "--format", "{{(index .IPAM.Config 0).Subnet}}", "blue"]);
    assert!(subnet.starts_with("10.200."), "{subnet}");
}

#[test]
fn a_hang_up_reloads_what_dockerd_reloads_and_tells_everybody() {
    let Some(engine) = Engine::configured(r#"{"labels": ["a=1"]}"#, &[]) else { return };
    let mut listening = engine
        .client(&[
            "events",
            "--filter",
            "type=daemon",
            "--format",
            "{{.Action}} {{.Actor.Attributes.labels}}",
        ])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    eventually("the client listens", || (engine.get("/info")["NEventsListener"] == 1).then_some(()));
    engine.reconfigure(r#"{"labels": ["b=2"], "insecure-registries": ["reg.example"], "debug": true}"#);
    let mut told = String::new();
    BufReader::new(listening.stdout.as_mut().unwrap()).read_line(&mut told).unwrap();
    listening.kill().unwrap();
    listening.wait().unwrap();
    assert_eq!(told.trim(), r#"reload ["b=2"]"#);
    let info = engine.get("/info");
    assert_eq!((&info["Labels"][0], &info["Debug"]), (&"b=2".into(), &true.into()));
    assert_eq!(info["RegistryConfig"]["IndexConfigs"]["reg.example"]["Secure"], false);
    // Nonsense changes nothing, and the engine goes on.
    engine.reconfigure("{");
    engine.reconfigure(r#"{"labels": ["c=3"]}"#);
    eventually("the labels change", || (engine.get("/info")["Labels"][0] == "c=3").then_some(()));
}

#[test]
fn without_live_restore_containers_end_with_the_engine() {
    let Some(mut engine) = Engine::configured(r#"{"live-restore": false, "shutdown-timeout": 1}"#, &[])
    else {
        return;
    };
    engine.load_busybox();
    engine.ok(&["run", "--detach", "--name", "box", "--stop-signal", "KILL", "busybox", "sleep", "1000"]);
    let pid = engine.inspect("box", ".State.Pid");
    engine.end();
    assert!(!std::path::Path::new("/proc").join(&pid).exists());
    engine.answer_again();
    assert_eq!(engine.inspect("box", ".State.Status"), "exited");
}

/// What `berth-guest serve` says when it refuses to start.
fn refusal(daemon_json: &str, more: &[&str]) -> Option<String> {
    if !need_root() {
        return None;
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("daemon.json");
    std::fs::write(&file, daemon_json).unwrap();
    let output = Command::new(program("berth-guest"))
        .args(["serve", "--exec-root", "/nowhere/exec", "--config-file"])
        .arg(&file)
        .args(more)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = said(&output);
    assert_ne!(said.code, 0, "{said:?}");
    Some(said.err)
}

#[test]
fn what_can_not_be_honoured_is_said_by_name_and_nothing_starts() {
    let Some(unknown) = refusal(r#"{"colour": "red"}"#, &[]) else { return };
    assert!(
        unknown.contains("the following directives don't match any configuration option: colour"),
        "{unknown}"
    );
    let driver = refusal(r#"{"storage-driver": "zfs"}"#, &[]).unwrap();
    assert!(driver.contains("storage-driver: zfs can't be honoured"), "{driver}");
    let twice = refusal(r#"{"data-root": "/a"}"#, &["--data-root", "/b"]).unwrap();
    assert!(
        twice.contains(
            "the following directives are specified both as a flag and in the configuration file: \
             data-root: (from flag: /b, from file: /a)"
        ),
        "{twice}"
    );
    let broken = refusal("{", &[]).unwrap();
    assert!(broken.contains("unable to configure the engine with file"), "{broken}");
}
