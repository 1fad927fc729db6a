//! The user's own registries: certificates in Docker's `certs.d` layout, and the host's proxies.

#![expect(clippy::unwrap_used, reason = "a test's panic is its report")]

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

use e2e::certificates::Authority;
use e2e::engine::{Engine, said};
use e2e::guard::program;
use e2e::machine::Machine;
use e2e::registry::{Registry, free_port};

/// An address that isn't the loopback's, which needs no certificate.
const ADDRESS: &str = "10.99.99.1";

/// Lays the authority's certificate, and then a client's, where they belong to a registry.
fn lay(config_dir: &Path, registry: &str, files: &[(&Path, &str)]) {
    let folder = config_dir.join("certs.d").join(registry);
    fs::create_dir_all(&folder).unwrap();
    for (from, to) in files {
        fs::copy(from, folder.join(to)).unwrap();
    }
}

#[test]
fn a_registrys_authority_and_our_own_certificate_lie_beside_the_configuration() {
    let Some(authority) = Authority::new() else { return };
    let Some(engine) = Engine::configured("{}", &[]) else { return };
    engine.load_busybox();
    assert!(engine.beside("ip").args(["address", "add", ADDRESS, "dev", "lo"]).status().unwrap().success());
    let (server, client) = (authority.server("registry", &format!("IP:{ADDRESS}")), authority.client());
    let beside = |program: &str| engine.beside(program);
    let Some(registry) = Registry::secured(beside, &format!("{ADDRESS}:5000"), &server) else { return };
    let name = format!("{}/team/box", registry.address);
    engine.ok(&["tag", "busybox", &name]);
    let unknown = engine.docker(&["push", &name]);
    assert!(unknown.code != 0 && unknown.err.contains("certificate"), "{unknown:?}");
    lay(engine.config_dir(), &registry.address, &[(&authority.certificate(), "ca.crt")]);
    let stranger = engine.docker(&["push", &name]);
    assert!(stranger.code != 0 && stranger.err.to_lowercase().contains("certificate"), "{stranger:?}");
    let own = [(client.join("cert.pem"), "client.cert"), (client.join("key.pem"), "client.key")];
    lay(engine.config_dir(), &registry.address, &own.each_ref().map(|(from, to)| (from.as_path(), *to)));
    engine.ok(&["push", &name]);
    engine.ok(&["rmi", &name]);
    engine.ok(&["pull", &name]);
}

#[test]
fn the_vm_has_its_users_certificates_and_proxies() {
    let Some(authority) = Authority::new() else { return };
    let Some(machine) = Machine::stopped() else { return };
    let (server, client) = (authority.server("registry", "DNS:gateway.docker.internal"), authority.client());
    let port = free_port();
    let Some(_registry) =
        Registry::secured(|program| Command::new(program), &format!("127.0.0.1:{port}"), &server)
    else {
        return;
    };
    // The name that isn't trusted without a certificate.
    let registry = format!("gateway.docker.internal:{port}");
    let proxy = TcpListener::bind("127.0.0.1:0").unwrap();
    let proxy_port = proxy.local_addr().unwrap().port();
    let settings = format!(r#"{{"host_ports": [{port}, {proxy_port}]}}"#);
    fs::write(machine.config_dir().join("settings.json"), settings).unwrap();
    machine.configure(r#"{"insecure-registries": ["reg.example:80"]}"#);
    let (authority, own, key) = (authority.certificate(), client.join("cert.pem"), client.join("key.pem"));
    let files = [(authority.as_path(), "ca.crt"), (&own, "client.cert"), (&key, "client.key")];
    lay(&machine.config_dir(), &registry, &files);

    let berth = program("berth").to_string_lossy().into_owned();
    let mut start = machine.client(&berth, &["start"]);
    start.env("HTTP_PROXY", format!("http://ann:secret@127.0.0.1:{proxy_port}"));
    start.env("HTTPS_PROXY", "http://127.0.0.1:9").env("NO_PROXY", "a.example");
    let started = said(&start.output().unwrap());
    assert_eq!(started.code, 0, "{}", started.err);

    let archive = e2e::image::busybox(&machine.config_dir());
    machine.ok(&["load", "--quiet", "--input", &archive.to_string_lossy()]);
    let name = format!("{registry}/team/box");
    let docker = |args: &[&str]| {
        let said = machine.docker(args);
        assert_eq!(said.code, 0, "docker {}: {}", args.join(" "), said.err);
        said.out
    };
    docker(&["tag", "busybox", &name]);
    docker(&["push", &name]);

    // The second proxy's port isn't open to the VM: it isn't used.
    let proxies = docker(&["info", "--format", "{{.HTTPProxy}} {{.HTTPSProxy}} {{.NoProxy}}"]);
    let expected =
        format!("http://xxxxx:xxxxx@host.docker.internal:{proxy_port}  host.docker.internal,a.example");
    assert_eq!(proxies, expected);
    let seen = std::thread::spawn(move || {
        let (client, _) = proxy.accept().unwrap();
        let mut first = String::new();
        BufReader::new(&client).read_line(&mut first).unwrap();
        (&client).write_all(b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n").unwrap();
        first
    });
    let pulled = machine.docker(&["pull", "reg.example:80/team/box"]);
    assert_ne!(pulled.code, 0);
    let first = seen.join().unwrap();
    assert!(
        first.starts_with("CONNECT reg.example:80 ") || first.starts_with("GET http://reg.example:80/v2/"),
        "{first}"
    );
}

#[test]
fn a_login_is_the_registrys_to_grant() {
    let Some(engine) = Engine::native_with_busybox() else { return };
    let Some(registry) = Registry::start(&engine) else { return };
    let login = |address: &str| engine.docker(&["login", "-u", "ann", "-p", "secret", address]);
    let granted = login(&registry.address);
    assert!(granted.out.contains("Login Succeeded"), "{granted:?}");
    let nobody = login("127.0.0.1:1");
    assert!(nobody.code == 1 && nobody.err.contains("connect: connection refused"), "{nobody:?}");
    assert!(!nobody.err.contains("secret"), "{nobody:?}");
}
