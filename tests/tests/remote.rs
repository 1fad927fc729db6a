//! The API over TCP, with and without TLS: who has the right certificate is let in, and nobody else is.

#![expect(clippy::unwrap_used, reason = "a test's panic is its report")]

use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use e2e::certificates::{Authority, trust};
use e2e::condition::eventually;
use e2e::engine::{Engine, Said, said};
use e2e::guard::program;
use e2e::machine::Machine;

/// Where it listens, in the network namespace of its own.
const ADDRESS: &str = "127.0.0.1:2376";

/// A native engine that lets in clients of this authority alone.
fn verifying(authority: &Authority) -> Option<Engine> {
    let folder = authority.engine();
    let at = |name: &str| folder.join(name).to_string_lossy().into_owned();
    let json = format!(
        r#"{{"tlsverify": true, "tlscacert": "{}", "tlscert": "{}", "tlskey": "{}"}}"#,
        at("ca.pem"),
        at("cert.pem"),
        at("key.pem")
    );
    Engine::configured(&json, &["--listen", &format!("tcp://{ADDRESS}")])
}

/// A client beside the engine, with the certificates of a folder.
fn ask(engine: &Engine, client: &str, certificates: Option<&Path>) -> Said {
    let mut command = engine.beside(client);
    command.args(["ps", "--all", "--quiet"]).stdin(Stdio::null());
    clean(&mut command).env("DOCKER_HOST", format!("tcp://{ADDRESS}"));
    if let Some(folder) = certificates {
        command.env("DOCKER_TLS_VERIFY", "1").env("DOCKER_CERT_PATH", folder);
    }
    said(&command.output().unwrap())
}

/// Without what the developer's own environment says.
fn clean(command: &mut Command) -> &mut Command {
    for name in ["DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_TLS", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH"] {
        command.env_remove(name);
    }
    command.env("DOCKER_CONFIG", "/nowhere")
}

#[test]
fn a_client_with_the_right_certificate_is_let_in_and_others_are_not() {
    let Some(authority) = Authority::new() else { return };
    let Some(engine) = verifying(&authority) else { return };
    let (client, expired) = (authority.client(), authority.expired_client());
    let stranger = Authority::new().unwrap();
    let strange = stranger.client();
    trust(&strange, &authority);
    let berth = program("berth").to_string_lossy().into_owned();
    for program in ["docker", berth.as_str()] {
        let welcome = ask(&engine, program, Some(&client));
        assert_eq!((welcome.code, welcome.err.as_str()), (0, ""), "{program}");
        let other = ask(&engine, program, Some(&strange));
        assert!(other.code != 0 && !other.err.is_empty(), "another authority's: {program} {other:?}");
        let late = ask(&engine, program, Some(&expired));
        assert!(late.code != 0 && late.err.to_lowercase().contains("expired"), "expired: {program} {late:?}");
        let plain = ask(&engine, program, None);
        assert!(plain.code != 0 && plain.err.contains("TLS"), "in the clear: {program} {plain:?}");
    }
    let bare = tempfile::tempdir().unwrap();
    trust(bare.path(), &authority);
    let without = ask(&engine, "docker", Some(bare.path()));
    assert!(without.code != 0 && without.err.contains("certificate"), "none: {without:?}");
    // An engine that somebody else vouches for isn't spoken to.
    trust(&client, &stranger);
    let refused = ask(&engine, &berth, Some(&client));
    assert!(refused.code != 0 && refused.err.contains("error during connect"), "{refused:?}");
}

#[test]
fn a_client_that_says_nothing_keeps_nobody_waiting() {
    let Some(authority) = Authority::new() else { return };
    let Some(engine) = verifying(&authority) else { return };
    let client = authority.client();
    // Each holds its connection until its input ends.
    let script = format!("exec 3<>/dev/tcp/{} && echo there && read", ADDRESS.replace(':', "/"));
    let mut silent: Vec<_> = (0..20)
        .map(|_| {
            let mut command = engine.beside("bash");
            command.args(["-c", &script]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap()
        })
        .collect();
    for one in &mut silent {
        let mut there = [0; 5];
        one.stdout.as_mut().unwrap().read_exact(&mut there).unwrap();
    }
    assert_eq!(ask(&engine, "docker", Some(&client)).code, 0);
    for mut one in silent {
        drop(one.stdin.take());
        one.wait().unwrap();
    }
}

#[test]
fn streams_and_terminals_work_over_tls() {
    let Some(authority) = Authority::new() else { return };
    let Some(engine) = verifying(&authority) else { return };
    engine.load_busybox();
    let client = authority.client();
    for program in ["docker".to_owned(), program("berth").to_string_lossy().into_owned()] {
        let mut command = engine.beside(&program);
        let at = |name: &str| client.join(name).to_string_lossy().into_owned();
        let options = ["--host", &format!("tcp://{ADDRESS}"), "--tlsverify", "--tlscacert", &at("ca.pem")];
        let own = ["--tlscert", &at("cert.pem"), "--tlskey", &at("key.pem")];
        clean(&mut command).args(options).args(own).args(["run", "--rm", "-i", "busybox", "cat"]);
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(b"carried").unwrap();
        let said = said(&child.wait_with_output().unwrap());
        assert_eq!((said.code, said.out.as_str()), (0, "carried"), "{program}: {}", said.err);
    }
}

#[test]
fn plain_tcp_is_there_when_it_is_asked_for_and_info_warns_of_it() {
    let Some(engine) = Engine::configured("{}", &["--listen", "tcp://127.0.0.1:2375"]) else { return };
    for program in ["docker".to_owned(), program("berth").to_string_lossy().into_owned()] {
        let mut command = engine.beside(&program);
        let said =
            said(&clean(&mut command).args(["-H", "tcp://127.0.0.1:2375", "ps", "-q"]).output().unwrap());
        assert_eq!(said.code, 0, "{program}: {}", said.err);
    }
    let warnings = engine.get("/info")["Warnings"].to_string();
    assert!(warnings.contains("API is accessible on http://127.0.0.1:2375 without encryption"), "{warnings}");
}

#[test]
fn a_context_says_where_the_engine_is_and_how_to_speak() {
    let Some(authority) = Authority::new() else { return };
    let Some(engine) = verifying(&authority) else { return };
    let (client, config) = (authority.client(), tempfile::tempdir().unwrap());
    let at = |name: &str| client.join(name).to_string_lossy().into_owned();
    let endpoint =
        format!("host=tcp://{ADDRESS},ca={},cert={},key={}", at("ca.pem"), at("cert.pem"), at("key.pem"));
    let created = Command::new("docker")
        .args(["context", "create", "far", "--docker", &endpoint])
        .env("DOCKER_CONFIG", config.path())
        .env_remove("DOCKER_HOST")
        .output()
        .unwrap();
    assert!(created.status.success(), "{created:?}");
    let ask = |name: &str| {
        let mut command = engine.beside(&program("berth").to_string_lossy());
        clean(&mut command).args(["--context", name, "ps", "--quiet"]).env("DOCKER_CONFIG", config.path());
        said(&command.output().unwrap())
    };
    let far = ask("far");
    assert_eq!((far.code, far.err.as_str()), (0, ""));
    assert!(ask("near").err.contains("context \"near\": context not found"));
}

#[test]
fn a_vms_engine_is_reached_at_the_hosts_address_by_tls_alone() {
    let Some(authority) = Authority::new() else { return };
    let Some(machine) = Machine::stopped() else { return };
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let folder = authority.engine();
    let at = |name: &str| folder.join(name).to_string_lossy().into_owned();
    machine.configure(&format!(
        r#"{{"hosts": ["tcp://127.0.0.1:{port}"], "tlsverify": true, "tlscacert": "{}", "tlscert": "{}",
            "tlskey": "{}", "labels": ["from=the-host"]}}"#,
        at("ca.pem"),
        at("cert.pem"),
        at("key.pem")
    ));
    machine.ok(&["start"]);
    let client = authority.client();
    let ask = |certificates: Option<&Path>| {
        let mut command = Command::new("docker");
        clean(&mut command).args(["info", "--format", "{{.Labels}}"]);
        command.env("DOCKER_HOST", format!("tcp://127.0.0.1:{port}"));
        if let Some(folder) = certificates {
            command.env("DOCKER_TLS_VERIFY", "1").env("DOCKER_CERT_PATH", folder);
        }
        said(&command.output().unwrap())
    };
    let welcome = eventually("the engine answers", || Some(ask(Some(&client))).filter(|said| said.code == 0));
    assert_eq!(welcome.out, "[from=the-host]");
    assert_ne!(ask(Some(&authority.expired_client())).code, 0);
    assert_ne!(ask(None).code, 0);
}

#[test]
fn a_vms_engine_says_what_of_its_configuration_can_not_be_honoured() {
    let Some(machine) = Machine::stopped() else { return };
    machine.configure(r#"{"storage-driver": "zfs"}"#);
    let refused = machine.berth(&["start"]);
    assert!(
        refused.code != 0 && refused.err.contains("storage-driver: zfs can't be honoured"),
        "{refused:?}"
    );
}
