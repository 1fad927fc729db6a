//! The resolver of networks that users make, and what a run says of resolving.

use e2e::condition::eventually;
use e2e::engine::Engine;
use e2e::perl;

/// Starts a container that waits, in the network `named`.
fn wait(engine: &Engine, name: &str, options: &[&str]) -> String {
    let run = ["run", "-d", "--name", name, "--network", "named"];
    engine.ok(&[&run[..], options, &["busybox", "sleep", "1000"]].concat())
}

/// What a container is told of a name or an address.
fn looked_up(engine: &Engine, container: &str, name: &str) -> String {
    engine.docker(&["exec", container, "nslookup", name]).out
}

#[test]
fn every_name_of_a_container_leads_to_it_and_its_address_back() {
    let Some(engine) = Engine::with_busybox() else { return };
    engine.ok(&["network", "create", "--ipv6", "named"]);
    let id = wait(&engine, "known", &["--hostname", "inside", "--network-alias", "also"]);
    wait(&engine, "asks", &[]);
    let field = |field: &str| engine.inspect("known", &format!(".NetworkSettings.Networks.named.{field}"));
    let (four, six) = (field("IPAddress"), field("GlobalIPv6Address"));
    for name in ["known", "also", "inside", &id[..12], "known.named"] {
        let told = looked_up(&engine, "asks", name);
        for address in [&four, &six] {
            assert!(
                told.contains(&format!("Address: {address}\n")) || told.ends_with(address.as_str()),
                "{told}"
            );
        }
    }
    for address in [&four, &six] {
        let told = looked_up(&engine, "asks", address);
        assert!(told.contains("name = known.named"), "{told}");
    }
    // A name that ended is nobody's at once.
    engine.ok(&["network", "disconnect", "named", "known"]);
    assert!(!looked_up(&engine, "asks", "also").contains(&four));
}

#[test]
fn search_domains_and_options_of_a_run_are_those_of_its_resolver() {
    let Some(engine) = Engine::with_busybox() else { return };
    engine.ok(&["network", "create", "named"]);
    wait(&engine, "known", &["--network-alias", "db.example.test"]);
    let wish = ["--dns-search", "example.test", "--dns-search", "other.test", "--dns-option", "ndots:3"];
    let more = ["--dns-option", "timeout:1"];
    wait(&engine, "asks", &[&wish[..], &more].concat());
    let shown = engine.ok(&["exec", "asks", "cat", "/etc/resolv.conf"]);
    let lines: Vec<&str> = shown.lines().collect();
    for line in ["nameserver 127.0.0.11", "search example.test other.test", "options ndots:3 timeout:1"] {
        assert!(lines.contains(&line), "{line}: {shown}");
    }
    engine.ok(&["exec", "asks", "ping", "-c", "1", "db"]);
    assert_ne!(engine.docker(&["exec", "known", "ping", "-c", "1", "db"]).code, 0, "it has no such domain");
    // The default network has no resolver of its own: what the run names is there as it is.
    let run = ["run", "--rm", "--dns", "192.0.2.53", "busybox", "cat", "/etc/resolv.conf"];
    let shown = engine.ok(&[&run[..2], &wish[..], &run[2..]].concat());
    let lines: Vec<&str> = shown.lines().collect();
    for line in ["nameserver 192.0.2.53", "search example.test other.test", "options ndots:3"] {
        assert!(lines.contains(&line), "{line}: {shown}");
    }
}

/// Answers any question on the port for names, at every address, with 192.0.2.7 (and no IPv6): in perl, since busybox
/// has no server of datagrams.
const ANSWER: &str = include_str!("names/answer.pl");

#[test]
fn the_port_for_names_is_a_containers_own() {
    let Some(engine) = Engine::with_busybox() else { return };
    let folder = engine.shared_folder();
    let Some(answer) = perl::script(folder.path(), "answer", ANSWER) else { return };
    let bind = format!("{}:/x", folder.path().display());
    engine.ok(&["network", "create", "named"]);
    let serve = format!("{answer} & exec nc -ll -p 53 -e echo a stream");
    let run = ["run", "-d", "--name", "server", "--network", "named", "-v", &bind];
    engine.ok(&[&run[..], &["busybox", "sh", "-c", &serve]].concat());
    wait(&engine, "asks", &[]);
    let ask = |from: &str, server: &str| engine.docker(&["exec", from, "nslookup", "own.test", server]).out;
    let address = engine.inspect("server", ".NetworkSettings.Networks.named.IPAddress");
    for (from, server) in [("asks", &*address), ("server", "127.0.0.1"), ("server", &*address)] {
        eventually("its own answer comes", || ask(from, server).contains("Address: 192.0.2.7").then_some(()));
        let stream = format!("nc -w 2 {server} 53 < /dev/null");
        assert_eq!(engine.ok(&["exec", from, "sh", "-c", &stream]), "a stream", "{from} {server}");
    }
    assert!(
        looked_up(&engine, "server", "asks").contains("Name:\tasks"),
        "the network's resolver answers still"
    );
}
