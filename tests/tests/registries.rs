//! The user's own registries: who is let in, certificates in Docker's `certs.d` layout, registries without any, the host's
//! proxies, and how much is carried at a time.

#![expect(clippy::unwrap_used, reason = "a test's panic is its report")]

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use e2e::certificates::{self, Authority};
use e2e::condition::eventually;
use e2e::context::Context;
use e2e::engine::{Engine, said};
use e2e::gate::Gate;
use e2e::guard::program;
use e2e::machine::Machine;
use e2e::registry::{Registry, free_port};
use e2e::tokens::TokenServer;

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

/// An engine with a `daemon.json` and busybox, beside which registries may have this address.
fn engine_at(address: &str) -> Option<Engine> {
    let engine = Engine::configured("{}", &[])?;
    engine.load_busybox();
    assert!(engine.beside("ip").args(["address", "add", address, "dev", "lo"]).status().unwrap().success());
    Some(engine)
}

#[test]
fn a_registrys_authority_and_our_own_certificate_lie_beside_the_configuration() {
    let Some(authority) = Authority::new() else { return };
    let Some(engine) = engine_at(ADDRESS) else { return };
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
fn a_registry_that_is_not_there_is_told_in_dockers_words() {
    let Some(engine) = Engine::native_with_busybox() else { return };
    // Nobody hears what is sent to this address.
    let silent = "10.98.0.9:1";
    for words in [
        "link add nobody0 type veth peer name nobody1",
        "address add 10.98.0.1/16 dev nobody0",
        "link set nobody0 up",
        "link set nobody1 up",
        "neighbour add 10.98.0.9 lladdr 02:00:00:00:00:09 dev nobody0",
    ] {
        assert!(engine.beside("ip").args(words.split(' ')).status().unwrap().success());
    }
    let refused = |args: &[&str], words: &str, end: &str| {
        let said = engine.docker(args);
        let last = said.err.lines().last().unwrap_or_default();
        // A push has begun by then.
        let last = last.strip_prefix("Error response from daemon: ").unwrap_or(last);
        let rest = last.strip_prefix(words).unwrap_or_else(|| panic!("{args:?}: {said:?}, not {words:?}"));
        assert!(said.code == 1 && rest.ends_with(end), "{args:?}: {said:?}, not {end:?}");
    };
    let (lookup, not_found) = ("dial tcp: lookup nosuch.invalid on ", ":53: no such host");
    let waiting = "net/http: request canceled while waiting for connection (Client.Timeout exceeded while";
    for (registry, scheme, words, end) in [
        ("127.0.0.1:1", "http", "dial tcp 127.0.0.1:1: connect: connection refused", ""),
        ("192.0.2.1:1", "https", "dial tcp 192.0.2.1:1: connect: network is unreachable", ""),
        ("nosuch.invalid", "https", lookup, not_found),
        (silent, "https", waiting, " awaiting headers)"),
    ] {
        let (name, words) =
            (format!("{registry}/box"), format!("Get \"{scheme}://{registry}/v2/\": {words}"));
        engine.ok(&["tag", "busybox", &name]);
        let (pull, push) = (["pull", &name], ["push", &name]);
        let login = ["login", "--username", "ann", "--password", "secret", registry];
        std::thread::scope(|scope| {
            for args in [pull.as_slice(), &push, &login] {
                scope.spawn(|| refused(args, &words, end));
            }
        });
    }
    let words = format!("Get \"https://{silent}/v1/_ping\": dial tcp {silent}: i/o timeout");
    refused(&["search", &format!("{silent}/box")], &words, "");
    let (status, _) = engine.send("POST /images/create?fromImage=127.0.0.1:1/box&tag=latest", &[], "");
    assert_eq!(status, 500);
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

/// The header by which a client says who it is.
fn auth(config: &str) -> String {
    let mut encode = Command::new("basenc")
        .args(["--base64url", "-w0"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    encode.stdin.take().unwrap().write_all(config.as_bytes()).unwrap();
    said(&encode.wait_with_output().unwrap()).out
}

/// What a login through the API says.
fn login_as(engine: &Engine, registry: &str, password: &str) -> (u16, String) {
    let config = format!(r#"{{"username": "ann", "password": "{password}", "serveraddress": "{registry}"}}"#);
    engine.send("POST /auth", &[], &config)
}

/// What a pull through the API says, for a client that says who it is.
fn pulled_as(engine: &Engine, name: &str, config: &str) -> (u16, String) {
    engine.send(
        &format!("POST /images/create?fromImage={name}&tag=latest"),
        &[("X-Registry-Auth", &auth(config))],
        "",
    )
}

#[test]
fn a_registry_with_a_password_is_for_those_who_know_it() {
    let Some(engine) = Engine::native_with_busybox() else { return };
    let Some(registry) = Registry::with_password(&engine, "ann", "secret") else { return };
    let name = format!("{}/team/box", registry.address);
    engine.ok(&["tag", "busybox", &name]);
    let nobody = engine.docker(&["push", &name]);
    assert!(nobody.code == 1 && nobody.err.ends_with("no basic auth credentials"), "{nobody:?}");
    let login = |password: &str| engine.docker(&["login", "-u", "ann", "-p", password, &registry.address]);
    let wrong = login("guess");
    let refusal =
        format!("login attempt to http://{}/v2/ failed with status: 401 Unauthorized", registry.address);
    assert!(wrong.code == 1 && wrong.err.contains(&refusal) && !wrong.err.contains("guess"), "{wrong:?}");
    // By dockerd's rule, this isn't the client's fault.
    let (status, said) = login_as(&engine, &registry.address, "guess");
    assert_eq!((status, said), (500, format!(r#"{{"message":"{refusal}"}}"#)));
    assert_eq!(login("secret").code, 0);
    engine.ok(&["push", &name]);
    engine.ok(&["rmi", &name]);
    engine.ok(&["pull", &name]);
    engine.ok(&["logout", &registry.address]);
    let after = engine.docker(&["pull", &name]);
    assert!(after.code == 1 && after.err.ends_with("no basic auth credentials"), "{after:?}");

    let (status, said) = pulled_as(&engine, &name, r#"{"username": "ann", "password": "secret"}"#);
    assert!(status == 200 && said.contains("Image is up to date"), "{status} {said}");
    let (status, said) = pulled_as(&engine, &name, r#"{"username": "ann", "password": "guess"}"#);
    assert_eq!((status, said.as_str()), (401, r#"{"message":"unauthorized: authentication required"}"#));
    let (status, said) = pulled_as(&engine, &name, "no JSON");
    assert!(status == 400 && said.contains("X-Registry-Auth"), "{status} {said}");
}

#[test]
fn an_identity_token_stands_for_the_password_that_it_was_given_for() {
    let Some(engine) = Engine::native_with_busybox() else { return };
    let Some(tokens) = TokenServer::start(&engine) else { return };
    let Some(registry) = Registry::with_tokens(&engine, &tokens) else { return };
    let name = format!("{}/team/box", registry.address);
    engine.ok(&["tag", "busybox", &name]);
    let login = |password: &str| engine.docker(&["login", "-u", "ann", "-p", password, &registry.address]);
    let wrong = login("guess");
    let words = format!("Get \"http://{}/v2/\": unauthorized: authentication required", registry.address);
    assert!(wrong.code == 1 && wrong.err.ends_with(&words), "{wrong:?}");
    let (status, said) = login_as(&engine, &registry.address, "guess");
    assert!(status == 401 && said.contains("unauthorized: authentication required"), "{status} {said}");
    assert_eq!(login("secret").code, 0);
    // The client keeps what the login gave, and no password.
    let config: serde_json::Value =
        serde_json::from_slice(&fs::read(engine.client_config().join("config.json")).unwrap()).unwrap();
    let kept = &config["auths"][&registry.address];
    // That is "ann:".
    assert_eq!((&kept["identitytoken"], &kept["auth"]), (&"identity".into(), &"YW5uOg==".into()));
    engine.ok(&["push", &name]);
    engine.ok(&["rmi", &name]);
    engine.ok(&["pull", &name]);

    let (status, said) = pulled_as(&engine, &name, r#"{"identitytoken": "identity"}"#);
    assert!(status == 200 && said.contains("Image is up to date"), "{status} {said}");
    let (status, said) = pulled_as(&engine, &name, r#"{"identitytoken": "another"}"#);
    assert_eq!((status, said.as_str()), (401, r#"{"message":"unauthorized: authentication required"}"#));
}

#[test]
fn a_registry_without_a_known_certificate_is_refused_until_it_is_named_insecure() {
    let Some(certificate) = certificates::self_signed(&format!("IP:{ADDRESS}")) else { return };
    let Some(engine) = engine_at(ADDRESS) else { return };
    let beside = |program: &str| engine.beside(program);
    let Some(tls) = Registry::open(beside, &format!("{ADDRESS}:5000"), certificate.path()) else { return };
    let Some(plain) = Registry::plain(beside, &format!("{ADDRESS}:5001")) else { return };
    let [of_tls, of_plain] = [&tls, &plain].map(|registry| format!("{}/team/box", registry.address));
    engine.ok(&["tag", "busybox", &of_tls]);
    engine.ok(&["tag", "busybox", &of_plain]);
    let refused = |name: &str, why: &str| {
        let said = engine.docker(&["push", name]);
        assert!(said.code == 1 && said.err.ends_with(why), "{said:?}");
    };
    let unknown = "tls: failed to verify certificate: x509: certificate signed by unknown authority";
    refused(&of_tls, unknown);
    let not_tls = "http: server gave HTTP response to HTTPS client";
    refused(&of_plain, not_tls);
    // A certificate of its own is known as any authority's, once it lies where those do.
    let own = certificate.path().join("cert.pem");
    lay(engine.config_dir(), &tls.address, &[(&own, "ca.crt")]);
    engine.ok(&["push", &of_tls]);
    fs::remove_dir_all(engine.config_dir().join("certs.d")).unwrap();
    refused(&of_tls, unknown);

    let insecure = |registries: &str| {
        let label = format!("for={registries}");
        let json = format!(r#"{{"insecure-registries": ["{registries}"], "labels": ["{label}"]}}"#);
        engine.reconfigure(&json);
        eventually("it knows", || (engine.get("/info")["Labels"][0] == *label).then_some(()));
    };
    insecure(&tls.address);
    engine.ok(&["rmi", &of_tls]);
    engine.ok(&["pull", &of_tls]);
    refused(&of_plain, not_tls);
    insecure("10.99.99.0/24");
    for name in [&of_tls, &of_plain] {
        engine.ok(&["push", name]);
        engine.ok(&["rmi", name]);
        engine.ok(&["pull", name]);
    }
}

/// The layers of the image that is carried through a gate.
const LAYERS: usize = 6;

/// An engine with such a configuration and an image of six layers, and that image's name behind a gate.
fn gated(daemon_json: &str) -> Option<(Engine, Registry, Gate, String)> {
    let engine = Engine::configured(daemon_json, &[])?;
    engine.load_busybox();
    let runs: String = (1..LAYERS).map(|number| format!("RUN echo {number} > /{number}\n")).collect();
    Context::new(&format!("FROM busybox\n{runs}")).built(&engine, &["--tag", "many"]);
    let registry = Registry::start(&engine)?;
    let gate = Gate::before(&registry, &engine, "many")?;
    let name = format!("{}/team/many", gate.address);
    engine.ok(&["tag", "many", &name]);
    Some((engine, registry, gate, name))
}

/// Removes every layer: of the image by all its names, of the one that it was made on, and of the build's cache.
fn forget(engine: &Engine, name: &str) {
    engine.ok(&["rmi", "many", name, "busybox"]);
    engine.ok(&["builder", "prune", "--all", "--force"]);
}

/// A client under way that has told so often what it tells of layers.
fn told(
    engine: &Engine,
    args: &[&str],
    what: &str,
    times: usize,
) -> (Child, impl Iterator<Item = String> + use<>) {
    let mut client = engine.client(args).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(client.stdout.take().unwrap()).lines().map(Result::unwrap);
    let heard = lines.by_ref().filter(|line| line.ends_with(what)).take(times).count();
    assert_eq!(heard, times, "{args:?}");
    (client, lines)
}

fn succeeds((mut client, lines): (Child, impl Iterator<Item = String>)) {
    lines.for_each(drop);
    assert!(client.wait().unwrap().success());
}

#[test]
fn so_many_layers_are_carried_at_a_time_as_the_configuration_says() {
    let json = r#"{"max-concurrent-uploads": 4, "max-concurrent-downloads": 2}"#;
    let Some((engine, _registry, gate, name)) = gated(json) else { return };
    let carry = |verb: &str, at_a_time: usize| {
        let client = told(&engine, &[verb, &name], ": Waiting", LAYERS - at_a_time);
        eventually("the others are counted at the gate", || (gate.most() >= at_a_time).then_some(()));
        gate.open();
        succeeds(client);
        assert_eq!(gate.most(), at_a_time, "{verb}");
    };
    carry("push", 4);
    forget(&engine, &name);
    gate.close();
    carry("pull", 2);
}

#[test]
fn of_two_pulls_at_a_time_each_blob_is_fetched_once() {
    let Some((engine, registry, gate, name)) = gated("{}") else { return };
    gate.open();
    engine.ok(&["push", &name]);
    forget(&engine, &name);
    gate.close();
    let pulls = [(); 2].map(|()| told(&engine, &["pull", &name], ": Pulling fs layer", LAYERS));
    eventually("downloads have begun", || (gate.waiting() > 0).then_some(()));
    gate.open();
    pulls.into_iter().for_each(succeeds);
    let asked = registry.asked();
    let mut fetched: Vec<&String> =
        asked.iter().filter(|line| line.starts_with("GET ") && line.contains("/blobs/")).collect();
    // The layers and the configuration.
    assert_eq!(fetched.len(), LAYERS + 1, "{fetched:?}");
    fetched.sort();
    fetched.dedup();
    assert_eq!(fetched.len(), LAYERS + 1, "{asked:?}");
    assert_eq!(engine.ok(&["run", "--rm", "--network", "none", &name, "cat", "/1", "/5"]), "1\n5");
}

#[test]
fn a_registry_that_does_not_know_ocis_manifests_gets_dockers() {
    let Some(engine) = Engine::native_with_busybox() else { return };
    let Some(registry) = Registry::start(&engine) else { return };
    let Some(gate) = Gate::refusing(&registry, &engine, "application/vnd.oci.") else { return };
    let name = format!("{}/team/box:v1", gate.address);
    engine.ok(&["tag", "busybox", &name]);
    let id = engine.inspect("busybox", ".Id");
    let pushed = engine.ok(&["push", &name]);
    let digest = pushed.split_whitespace().find(|word| word.starts_with("sha256:")).unwrap();
    let told = engine.get(&format!("/distribution/{name}/json"));
    let docker = "application/vnd.docker.distribution.manifest.v2+json";
    assert_eq!(
        (&told["Descriptor"]["mediaType"], &told["Descriptor"]["digest"]),
        (&docker.into(), &digest.into())
    );
    engine.ok(&["rmi", "--force", &id]);
    let by_digest = format!("{}/team/box@{digest}", gate.address);
    engine.ok(&["pull", &by_digest]);
    assert_eq!(engine.inspect(&by_digest, ".Id"), id);
    // What was pulled so is pushed so.
    engine.ok(&["tag", &by_digest, &name]);
    assert!(engine.ok(&["push", &name]).contains(digest));
    // A registry that takes nothing at all is told of as it speaks.
    let Some(gate) = Gate::refusing(&registry, &engine, "application/") else { return };
    let name = format!("{}/team/box:v2", gate.address);
    engine.ok(&["tag", &by_digest, &name]);
    let refused = engine.docker(&["push", &name]);
    assert!(refused.code == 1 && refused.err.ends_with("manifest invalid: manifest invalid"), "{refused:?}");
}
