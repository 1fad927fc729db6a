//! Volumes of the local driver that lie on an NFS server.

use std::fs;
use std::net::TcpListener;
use std::time::{Duration, Instant};

use e2e::condition::eventually;
use e2e::engine::Engine;
use e2e::machine::Machine;
use e2e::nfs::NfsServer;

const RUN: &[&str] = &["run", "--rm", "--network", "none"];

/// What doesn't hang has ended by then; its own timeouts are two seconds.
const SOON: Duration = Duration::from_secs(20);

/// Makes a volume of the server's folder `device`, with these words of `mount`.
fn create(engine: &Engine, name: &str, words: &str, device: &str) {
    let (words, device) = (format!("o={words}"), format!("device={device}"));
    let options = ["-o", "type=nfs", "-o", &words, "-o", &device];
    engine.ok(&[&["volume", "create", "-d", "local"], &options[..], &[name]].concat());
}

/// What is mounted where the engine runs.
fn mounts(engine: &Engine) -> String {
    let Some(process) = engine.process() else {
        let look = ["--privileged", "--pid", "host", "busybox", "cat", "/proc/1/mounts"];
        return engine.ok(&[RUN, &look].concat());
    };
    fs::read_to_string(format!("/proc/{process}/mounts")).expect("read the engine's mounts")
}

#[test]
fn a_volume_of_nfs_is_the_servers_folder_while_a_container_runs() {
    let Some(engine) = Engine::with_busybox() else { return };
    let Some(server) = NfsServer::start(&engine) else { return };
    let (name, port) = (NfsServer::name(&engine), server.port());
    create(&engine, "far", &format!("addr={name},rw,nfsvers=4,port={port}"), ":/export");
    fs::write(server.folder().join("there"), "from the server\n").unwrap();
    let run = |script: &str| engine.ok(&[RUN, &["-v", "far:/v", "busybox", "sh", "-ec", script]].concat());
    let script = "cat /v/there; echo from a container > /v/here; mkdir /v/d; mv /v/here /v/d; chown 33:44 /v/d/here; \
                  stat -c '%u %g' /v/d/here; grep -c '^:/export /v nfs4 rw,.*vers=4' /proc/mounts";
    assert_eq!(run(script), "from the server\n33 44\n1");
    assert_eq!(fs::read_to_string(server.folder().join("d/here")).unwrap(), "from a container\n");
    assert_eq!(run("cat /v/d/here"), "from a container");
    for version in ["4.1", "4.2"] {
        create(&engine, version, &format!("addr={name},nfsvers={version},port={port}"), ":/export");
        let script = format!("cat /v/d/here; grep -c ' /v nfs4 .*vers={version}' /proc/mounts");
        let bind = format!("{version}:/v");
        let said = engine.ok(&[RUN, &["-v", &bind, "busybox", "sh", "-ec", &script]].concat());
        assert_eq!(said, "from a container\n1");
    }
    let said = engine.docker(&[RUN, &["-v", "far:/v:ro", "busybox", "touch", "/v/new"]].concat());
    assert!(said.code != 0 && said.err.contains("Read-only file system"), "{said:?}");

    // Two containers share what is mounted, and the last takes it away.
    let log = "while :; do echo line >> /v/$0; sleep 0.05; done";
    for name in ["one", "two"] {
        let run = ["run", "-d", "--name", name, "--network", "none", "-v", "far:/v", "busybox"];
        engine.ok(&[&run[..], &["sh", "-c", log, name]].concat());
    }
    let grows = |name: &str| {
        let length = || fs::read(server.folder().join(name)).unwrap_or_default().len();
        let before = length();
        eventually("it writes", || (length() > before).then_some(()));
    };
    grows("one");
    engine.ok(&["rm", "--force", "one"]);
    grows("two");
    assert!(mounts(&engine).contains("volumes/far/_data nfs4"), "{}", mounts(&engine));
    assert!(engine.docker(&["volume", "rm", "far"]).err.contains("volume is in use"));
    engine.ok(&["rm", "--force", "two"]);
    assert!(!mounts(&engine).contains("volumes/far"), "{}", mounts(&engine));
    engine.ok(&["volume", "rm", "far"]);
    assert!(server.folder().join("d/here").exists());
}

#[test]
fn a_server_that_is_not_there_is_told_in_dockers_words_and_holds_up_nobody() {
    let Some(engine) = Engine::with_busybox() else { return };
    let Some(server) = NfsServer::start(&engine) else { return };
    let (name, port) = (NfsServer::name(&engine), server.port());
    let soft = format!("nfsvers=4,port={port},soft,timeo=10,retrans=1");
    let refused = |volume: &str, words: &str, device: &str| {
        create(&engine, volume, words, device);
        let began = Instant::now();
        let bind = format!("{volume}:/v");
        let said = engine.docker(&[RUN, &["-v", &bind, "busybox", "true"]].concat());
        assert!(said.code >= 125 && began.elapsed() < SOON, "{:?}: {said:?}", began.elapsed());
        let begins = "error while mounting volume '";
        assert!(
            said.err.contains(begins) && said.err.contains(&format!("volumes/{volume}/_data': ")),
            "{said:?}"
        );
        said.err
    };
    // Nobody listens at the discard port, on this machine's loopback as little as anywhere.
    let said = refused("closed", &format!("addr={name},nfsvers=4,port=9"), ":/export");
    assert!(said.contains("failed to mount local volume: mount :/export:/"), "{said}");
    assert!(said.contains("nfsvers=4,port=9: connection refused"), "{said}");
    let said = refused("unknown", &format!("addr={name},nfsvers=4,port={port}"), ":/elsewhere");
    assert!(said.contains(": no such file or directory"), "{said}");
    let said = refused("nameless", "addr=server.invalid,nfsvers=4", ":/export");
    assert!(
        said.contains("error resolving passed in network volume address: lookup server.invalid: "),
        "{said}"
    );

    server.hang();
    let said = refused("silent", &format!("addr={name},{soft}"), ":/export");
    assert!(said.contains("retrans=1: "), "{said}");
    server.go_on();

    // The same volume, mounted by the server that has gone on, while that says nothing again.
    let script = "until [ -e /v/go ]; do sleep 0.1; done; echo went on > /v/end";
    let run = ["run", "-d", "--name", "waits", "--network", "none", "-v", "silent:/v", "busybox"];
    engine.ok(&[&run[..], &["sh", "-c", script]].concat());
    server.hang();
    let began = Instant::now();
    assert_eq!(engine.ok(&[RUN, &["busybox", "echo", "others run"]].concat()), "others run");
    assert!(engine.ok(&["ps"]).contains("waits"));
    // As in Docker, what options of the driver put elsewhere doesn't count.
    let listed = engine.ok(&["system", "df", "-v"]);
    assert!(!listed.contains("silent"), "{listed}");
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
    server.go_on();
    fs::write(server.folder().join("go"), "").unwrap();
    engine.ok(&["wait", "waits"]);
    assert_eq!(fs::read_to_string(server.folder().join("end")).unwrap(), "went on\n");
    engine.ok(&["rm", "waits"]);
}

#[test]
fn a_volume_of_nfs_is_back_when_the_machine_is() {
    let Some(machine) = Machine::stopped() else { return };
    let listener = TcpListener::bind("127.0.0.1:0").expect("find a free port");
    let port = listener.local_addr().expect("its address").port();
    drop(listener);
    let Some(server) = NfsServer::on_loopback(port) else { return };
    let settings = format!(r#"{{"host_ports": [{port}]}}"#);
    fs::write(machine.config_dir().join("settings.json"), settings).expect("open the port");
    machine.start_with_busybox();
    let docker = |args: &[&str]| {
        let said = machine.docker(args);
        assert_eq!(said.code, 0, "{args:?}: {said:?}");
        said.out
    };
    let words = format!("o=addr=host.docker.internal,rw,nfsvers=4,port={port}");
    docker(&["volume", "create", "-o", "type=nfs", "-o", &words, "-o", "device=:/export", "far"]);
    let script = "while :; do echo line >> /v/log; sync /v/log; sleep 0.05; done";
    let run = ["run", "-d", "--name", "writer", "--restart", "always", "--network", "none", "-v", "far:/v"];
    docker(&[&run[..], &["busybox", "sh", "-c", script]].concat());
    let length = || fs::read(server.folder().join("log")).unwrap_or_default().len();
    let grows = |when: &str| {
        let before = length();
        eventually(when, || (length() > before).then_some(()));
    };
    grows("it writes");
    machine.crash();
    grows("it writes after a power cut");
    machine.ok(&["stop"]);
    machine.ok(&["start"]);
    grows("it writes after a restart");
    // A server that says nothing keeps no machine from its end.
    server.hang();
    let began = Instant::now();
    machine.ok(&["stop"]);
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
    server.go_on();
    machine.ok(&["start"]);
    grows("it writes after a restart without its server");
    docker(&["rm", "--force", "writer"]);
    docker(&["volume", "rm", "far"]);
    assert!(length() > 0);
}
