//! Clients, containers and files that mean harm: what they try, and that the machine doesn't notice.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};

use e2e::condition::eventually;
use e2e::engine::Engine;
use e2e::guard::program;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// Clients that hold on to one container at once.
const CLIENTS: usize = 10_000;

/// What the engine answers to `request` as it stands: the status line, or nothing when it hangs up.
fn raw(engine: &Engine, request: &[u8]) -> String {
    let mut stream = UnixStream::connect(engine.socket()).expect("connect to the engine");
    // An engine that has heard enough hangs up before all is said.
    drop(stream.write_all(request));
    let mut answer = String::new();
    drop(stream.read_to_string(&mut answer));
    answer.lines().next().unwrap_or_default().to_owned()
}

fn is_well(engine: &Engine) {
    assert_eq!(engine.ok(&["run", "--rm", "--network", "none", "busybox", "echo", "well"]), "well");
}

#[test]
fn bodies_that_are_no_bodies_are_refused() {
    let Some(engine) = Engine::with_busybox() else { return };
    let create = |body: &str| {
        let head = "POST /containers/create HTTP/1.0\r\nContent-Type: application/json";
        raw(&engine, format!("{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len()).as_bytes())
    };
    for body in
        ["", "{", "[]", "7", "\"x\"", "{\"Image\": 7}", "{\"Image\": \"busybox\", \"HostConfig\": []}"]
    {
        let status = create(body);
        assert!(status.contains(" 400 "), "{body}: {status}");
    }
    let deep = "[".repeat(100_000);
    assert!(create(&deep).contains(" 400 "));
    assert!(create(&format!("{{\"Image\": \"busybox\", \"Cmd\": {deep}")).contains(" 400 "));
    assert!(!raw(&engine, b"\x16\x03\x01\x02\x00").contains("200"));
    is_well(&engine);
}

#[test]
fn names_of_a_megabyte_are_refused() {
    let Some(engine) = Engine::with_busybox() else { return };
    let long = "a".repeat(1 << 20);
    let status = raw(&engine, format!("GET /containers/{long}/json HTTP/1.0\r\n\r\n").as_bytes());
    assert!(!status.contains(" 200 "), "{status}");
    for (path, body) in [
        ("/containers/create", json!({ "Image": long })),
        ("/containers/create", json!({ "Image": "busybox", "Hostname": long })),
        ("/networks/create", json!({ "Name": long })),
        ("/volumes/create", json!({ "Name": long })),
    ] {
        let (status, answer) = engine.call("POST", path, &body);
        assert!((400..500).contains(&status), "{path}: {status}");
        assert!(answer["message"].as_str().is_some_and(|text| !text.is_empty()), "{path}: {answer}");
    }
    is_well(&engine);
}

#[test]
fn negative_sizes_are_refused() {
    let Some(engine) = Engine::with_busybox() else { return };
    for host in [
        json!({ "Memory": -5 }),
        json!({ "MemoryReservation": -5 }),
        json!({ "MemorySwap": -5 }),
        json!({ "ShmSize": -1 }),
        json!({ "NanoCpus": -1 }),
        json!({ "CpuShares": -1 }),
        json!({ "CpuPeriod": -1 }),
        json!({ "ConsoleSize": [-1, 5] }),
        json!({ "OomScoreAdj": 5000 }),
        json!({ "RestartPolicy": { "Name": "on-failure", "MaximumRetryCount": -1 } }),
        json!({ "Mounts": [{ "Type": "tmpfs", "Target": "/t", "TmpfsOptions": { "SizeBytes": -1 } }] }),
    ] {
        let body = json!({ "Image": "busybox", "HostConfig": host });
        let (status, answer) = engine.call("POST", "/containers/create", &body);
        assert_eq!(status, 400, "{body}: {answer}");
    }
    engine.ok(&["run", "--detach", "--name", "live", "--network", "none", "busybox", "sleep", "1000"]);
    for path in ["/containers/live/resize?h=-1&w=5", "/containers/live/stop?t=x"] {
        let (status, answer) = engine.call("POST", path, &Value::Null);
        assert_eq!(status, 400, "{path}: {answer}");
    }
}

#[test]
fn dots_in_an_archives_path_stay_inside() {
    let Some(engine) = Engine::with_busybox() else { return };
    engine.ok(&["run", "--detach", "--name", "live", "--network", "none", "busybox", "sleep", "1000"]);
    engine.ok(&[
        "exec",
        "live",
        "sh",
        "-c",
        "echo inside > /etc/hostname-of-mine; ln -s ../../../../etc /up",
    ]);
    let here = tempfile::tempdir().unwrap();
    let taken = here.path().join("taken");
    for path in
        ["/../../../../etc/hostname-of-mine", "/up/hostname-of-mine", "/srv/../../etc/hostname-of-mine"]
    {
        engine.ok(&["cp", &format!("live:{path}"), &taken.to_string_lossy()]);
        assert_eq!(std::fs::read_to_string(&taken).unwrap(), "inside\n", "{path}");
    }
}

#[test]
fn a_link_that_changes_while_files_are_copied_leads_nowhere_else() {
    let Some(engine) = Engine::native_with_busybox() else { return };
    let outside = tempfile::tempdir().unwrap();
    let target = outside.path().to_string_lossy().into_owned();
    let flip =
        format!("while :; do mkdir /there; rmdir /there; ln -s {target} /there; rm /there; done 2>/dev/null");
    engine.ok(&["run", "--detach", "--name", "racer", "--network", "none", "busybox", "sh", "-c", &flip]);
    let here = tempfile::tempdir().unwrap();
    let file = here.path().join("file");
    std::fs::write(&file, "x").unwrap();
    for _ in 0..100 {
        // Whether it succeeds is the race's; where it goes isn't.
        engine.docker(&["cp", &file.to_string_lossy(), "racer:/there/"]);
    }
    assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 0, "a file got out");
}

#[test]
fn no_descriptor_of_ours_leads_out_of_a_container() {
    let Some(engine) = Engine::with_busybox() else { return };
    engine.ok(&["run", "--detach", "--name", "live", "--network", "none", "busybox", "sleep", "1000"]);
    for number in 3..20 {
        let folder = format!("/proc/self/fd/{number}");
        let run = engine.docker(&["run", "--rm", "--network", "none", "-w", &folder, "busybox", "pwd"]);
        assert_ne!(run.code, 0, "{folder}: {run:?}");
        let exec = engine.docker(&["exec", "-w", &folder, "live", "pwd"]);
        assert_ne!(exec.code, 0, "{folder}: {exec:?}");
    }
    let open = "ls /proc/self/fd | wc -l";
    // Three streams, and the folder that ls reads.
    assert_eq!(engine.ok(&["run", "--rm", "--network", "none", "busybox", "sh", "-c", open]), "4");
    assert_eq!(engine.ok(&["exec", "live", "sh", "-c", open]), "4");
}

#[test]
fn links_in_an_images_devices_lead_no_mask_and_no_writer_elsewhere() {
    let Some(engine) = Engine::with_busybox() else { return };
    let pattern = "cat /proc/sys/kernel/core_pattern";
    let before = engine.ok(&["run", "--rm", "--network", "none", "busybox", "sh", "-c", pattern]);
    let script = "echo evil > /dev/null; echo evil > /dev/console; echo evil > /dev/pts/0; \
        (echo evil > /proc/sys/kernel/core_pattern) 2>/dev/null || echo refused";
    engine.ok(&["create", "--name", "linked", "--network", "none", "--tty", "busybox", "sh", "-c", script]);
    let here = tempfile::tempdir().unwrap();
    for name in ["null", "console", "pts"] {
        std::os::unix::fs::symlink("/proc/sys/kernel/core_pattern", here.path().join(name)).unwrap();
    }
    engine.ok(&["cp", &format!("{}/.", here.path().display()), "linked:/dev"]);
    let said = engine.docker(&["start", "--attach", "linked"]);
    let lines: Vec<&str> = said.out.lines().map(str::trim_end).collect();
    assert_eq!(lines.last(), Some(&"refused"), "{said:?}");
    let after = engine.ok(&["run", "--rm", "--network", "none", "busybox", "sh", "-c", pattern]);
    assert_eq!(before, after);
}

#[test]
fn our_programs_stay_as_they_are() {
    let Some(engine) = Engine::native_with_busybox() else { return };
    let programs = ["berth-guest", "berth-guard", "berth-runtime"].map(program);
    let hash = |path: &Path| Sha256::digest(std::fs::read(path).unwrap()).to_vec();
    let before = programs.each_ref().map(|path| hash(path));
    let write = "ln -s /proc/self/exe /bin/evil; while :; do for exe in /proc/[0-9]*/exe; do \
        (echo evil > $exe) 2>/dev/null && echo written; done; done";
    let run =
        ["run", "--detach", "--name", "evil", "--network", "none", "--init", "busybox", "sh", "-c", write];
    engine.ok(&run);
    for _ in 0..20 {
        engine.docker(&["exec", "evil", "/bin/evil"]);
    }
    assert_eq!(engine.ok(&["logs", "evil"]), "", "it could write a program's file");
    assert_eq!(before, programs.each_ref().map(|path| hash(path)));
}

#[test]
fn a_flood_of_output_fills_no_disk() {
    let Some(engine) = Engine::with_busybox() else { return };
    let flood = ["busybox", "sh", "-c", "yes 0123456789abcdef | head -c 8000000"];
    let run = ["run", "--detach", "--name", "flood", "--network", "none", "--log-opt", "max-size=1m"];
    engine.ok(&[&run[..], &["--log-opt", "max-file=2"], &flood[..]].concat());
    assert_eq!(engine.ok(&["wait", "flood"]), "0");
    let kept = engine.ok(&["logs", "flood"]).len();
    // Two files of a megabyte, in which each line of 17 bytes has about 70 around it.
    assert!((100_000..2_100_000).contains(&kept), "{kept} bytes are kept");
    is_well(&engine);
}

#[test]
fn ten_thousand_clients_attach_to_one_container() {
    let Some(engine) = Engine::native_with_busybox() else { return };
    let own = std::process::id().to_string();
    let limit = format!("--nofile={0}:{0}", CLIENTS + 1000);
    let raised = Command::new("prlimit").args(["--pid", &own, &limit]).stderr(Stdio::null()).status();
    if !raised.is_ok_and(|status| status.success()) {
        eprintln!("skipped: this process may not open {CLIENTS} files");
        return;
    }
    let script = "while [ ! -e /go ]; do sleep 0.05; done; echo hello";
    engine.ok(&["run", "--detach", "--name", "stage", "--network", "none", "busybox", "sh", "-c", script]);
    let attach = "POST /containers/stage/attach?stream=1&stdout=1 HTTP/1.1\r\nHost: x\r\n\
        Connection: Upgrade\r\nUpgrade: tcp\r\n\r\n";
    let mut clients: Vec<UnixStream> = (0..CLIENTS)
        .map(|number| {
            let mut client = eventually("the engine accepts", || UnixStream::connect(engine.socket()).ok());
            client.write_all(attach.as_bytes()).unwrap();
            let mut answer = [0; 12];
            client.read_exact(&mut answer).unwrap_or_else(|error| panic!("client {number}: {error}"));
            assert_eq!(&answer, b"HTTP/1.1 101", "client {number}");
            client
        })
        .collect();
    engine.ok(&["exec", "stage", "touch", "/go"]);
    for (number, client) in clients.iter_mut().enumerate() {
        let mut heard = Vec::new();
        client.read_to_end(&mut heard).unwrap();
        assert!(heard.ends_with(b"hello\n"), "client {number} heard {}", String::from_utf8_lossy(&heard));
    }
    is_well(&engine);
}
