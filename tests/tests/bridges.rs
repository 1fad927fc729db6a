//! What the options of a bridge do: to its interface, its addresses, and to what its containers reach.

use e2e::condition::eventually;
use e2e::engine::{Engine, Said};

const GREET: &str =
    "mkdir -p /www; echo hello from $(hostname) > /www/index.html; exec httpd -f -p 80 -h /www";

/// Starts a web server of this name in a network.
fn serve(engine: &Engine, name: &str, network: &str) {
    let run = ["run", "-d", "--name", name, "--hostname", name, "--network", network];
    engine.ok(&[&run[..], &["busybox", "sh", "-c", GREET]].concat());
    wait_for(engine, name);
}

/// Waits until a container's web server listens.
fn wait_for(engine: &Engine, name: &str) {
    let knock = ["exec", name, "nc", "-w", "1", "127.0.0.1", "80"];
    eventually("it listens", || (engine.docker(&knock).code == 0).then_some(()));
}

fn create(engine: &Engine, options: &[&str], name: &str) {
    engine.ok(&[&["network", "create"], options, &[name]].concat());
}

/// What the web server at this address or name says to a container; nothing when it can't be reached.
fn page(engine: &Engine, container: &str, address: &str) -> String {
    let script = format!("printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc -w 2 {address} 80 | tail -n 1");
    engine.docker(&["exec", container, "sh", "-c", &script]).out
}

/// Whether the web server at this address can't be reached from a container. It is there, and would answer at once.
fn is_cut_off(engine: &Engine, container: &str, address: &str) -> bool {
    engine.docker(&["exec", container, "nc", "-w", "1", address, "80"]).code != 0
}

/// An address that a container has in a network.
fn address(engine: &Engine, container: &str, network: &str, field: &str) -> String {
    engine.inspect(container, &format!(".NetworkSettings.Networks.{network}.{field}"))
}

/// A shell with the machine's own interfaces, natively and in the VM.
fn on_the_machine(engine: &Engine, script: &str) -> String {
    let run = ["run", "--rm", "--network", "host", "--pid", "host", "--privileged"];
    engine.ok(&[&run[..], &["busybox", "sh", "-c", script]].concat())
}

/// The machine's address on the way to `FAR`, and that of a server behind a pair of cards (RFC 5737).
const NEAR: &str = "198.51.100.1";
const FAR: &str = "198.51.100.2";

/// Starts a server that stands in no network of the engine's, with a route back to all of them. It says who asks.
fn serve_far_away(engine: &Engine) {
    // httpd runs a program in cgi-bin for each request and tells it who asks.
    let script = r#"mkdir -p /www/cgi-bin; cd /www/cgi-bin; echo '#!/bin/sh' > index.cgi
        echo 'printf "\r\n$REMOTE_ADDR\n"' >> index.cgi; chmod +x index.cgi; exec httpd -f -p 0.0.0.0:80 -h /www"#;
    let run = ["run", "-d", "--name", "far", "--network", "none", "busybox", "sh", "-c", script];
    engine.ok(&run);
    let process = engine.inspect("far", ".State.Pid");
    on_the_machine(
        engine,
        &format!(
            "set -e; ip link add name near type veth; ip address add {NEAR}/24 dev near; ip link set near up
             other=$(ip -o link show near | sed 's/.*near@//; s/:.*//'); ip link set $other netns {process}"
        ),
    );
    let script = format!(
        "set -e; card=$(ls /sys/class/net | grep -v lo); ip address add {FAR}/24 dev $card
         ip link set $card up; ip route add default via {NEAR}"
    );
    engine.ok(&["exec", "--privileged", "far", "sh", "-c", &script]);
    wait_for(engine, "far");
}

#[test]
fn what_leaves_a_bridge_is_as_its_options_say() {
    let Some(engine) = Engine::with_busybox() else { return };
    serve_far_away(&engine);
    create(&engine, &[], "plain");
    create(&engine, &["-o", "com.docker.network.bridge.enable_ip_masquerade=false"], "own");
    create(&engine, &["-o", "com.docker.network.bridge.enable_icc=false"], "apart");
    create(&engine, &["--internal"], "inner");
    for network in ["plain", "own", "apart", "inner"] {
        serve(&engine, &format!("{network}-1"), network);
    }
    for network in ["apart", "inner"] {
        serve(&engine, &format!("{network}-2"), network);
    }
    assert_eq!(page(&engine, "plain-1", FAR), NEAR, "packets leave with the machine's address");
    assert_eq!(page(&engine, "own-1", FAR), address(&engine, "own-1", "own", "IPAddress"));
    let neighbour = |network: &str| address(&engine, &format!("{network}-2"), network, "IPAddress");
    assert_eq!(page(&engine, "apart-1", FAR), NEAR);
    assert!(is_cut_off(&engine, "apart-1", &neighbour("apart")), "icc is off");
    assert_eq!(page(&engine, "inner-1", &neighbour("inner")), "hello from inner-2");
    assert!(is_cut_off(&engine, "inner-1", FAR), "an internal network has no way out");
}

#[test]
fn a_bridge_has_the_name_it_was_given_among_the_machines_interfaces() {
    let Some(engine) = Engine::with_busybox() else { return };
    create(&engine, &["-o", "com.docker.network.bridge.name=own-name0", "--attachable"], "named");
    let options = "{{.Attachable}} {{index .Options \"com.docker.network.bridge.name\"}}";
    assert_eq!(engine.ok(&["network", "inspect", "named", "-f", options]), "true own-name0");
    let has_bridge = || {
        let script = "ls -d /sys/class/net/own-name0/bridge || true";
        !engine.ok(&["run", "--rm", "--network", "host", "busybox", "sh", "-c", script]).is_empty()
    };
    assert!(has_bridge());
    let inside = "ip -o -4 address show own-name0";
    let shown = engine.ok(&["run", "--rm", "--network", "host", "busybox", "sh", "-c", inside]);
    let gateway = engine.ok(&["network", "inspect", "named", "-f", "{{(index .IPAM.Config 0).Gateway}}"]);
    assert!(shown.contains(&format!(" {gateway}/")), "{shown}");
    if !engine.is_machine() {
        let own = engine.beside("ip").args(["link", "show", "own-name0"]).output().expect("run ip");
        assert!(own.status.success(), "the machine has it too");
    }
    engine.ok(&["network", "rm", "named"]);
    assert!(!has_bridge());
}

#[test]
fn addresses_that_are_in_use_elsewhere_are_given_to_nobody() {
    let Some(engine) = Engine::with_busybox() else { return };
    // Six hosts: the gateway, two that are taken, three to give.
    let reserved =
        ["--subnet", "10.213.1.0/29", "--aux-address", "a=10.213.1.2", "--aux-address", "b=10.213.1.4"];
    create(&engine, &reserved, "small");
    let shown = engine.ok(&[
        "network",
        "inspect",
        "small",
        "-f",
        "{{json (index .IPAM.Config 0).AuxiliaryAddresses}}",
    ]);
    assert_eq!(shown, r#"{"a":"10.213.1.2","b":"10.213.1.4"}"#);
    let mut given = Vec::new();
    for name in ["one", "two", "three"] {
        engine.ok(&["run", "-d", "--name", name, "--network", "small", "busybox", "sleep", "1000"]);
        given.push(address(&engine, name, "small", "IPAddress"));
    }
    assert_eq!(given, ["10.213.1.3", "10.213.1.5", "10.213.1.6"]);
    let said = engine.docker(&["run", "--network", "small", "busybox", "true"]);
    assert!(
        said.err.contains("no available IPv4 addresses on this network's address pools: small"),
        "{said:?}"
    );
}

#[test]
fn a_network_of_both_families_is_reached_and_named_by_both() {
    let Some(engine) = Engine::with_busybox() else { return };
    create(&engine, &["--ipv6", "--subnet", "10.213.2.0/24", "--subnet", "fd00:213:2::/64"], "dual");
    serve(&engine, "web", "dual");
    engine.ok(&["run", "-d", "--name", "asks", "--network", "dual", "busybox", "sleep", "1000"]);
    let four = address(&engine, "web", "dual", "IPAddress");
    let six = address(&engine, "web", "dual", "GlobalIPv6Address");
    assert!(four.starts_with("10.213.2.") && six.starts_with("fd00:213:2::"), "{four} {six}");
    for way in [&four, &six, "web"] {
        assert_eq!(page(&engine, "asks", way), "hello from web", "{way}");
    }
    let names = engine.ok(&["exec", "asks", "nslookup", "web"]);
    assert!(
        names.contains(&format!("Address: {four}")) && names.contains(&format!("Address: {six}")),
        "{names}"
    );
}

#[test]
fn a_running_container_joins_with_a_name_an_address_and_a_card_of_its_own_and_leaves() {
    let Some(engine) = Engine::with_busybox() else { return };
    create(&engine, &["--subnet", "10.213.3.0/24"], "live");
    serve(&engine, "guest", "bridge");
    engine.ok(&["run", "-d", "--name", "asks", "--network", "live", "busybox", "sleep", "1000"]);
    let join = ["network", "connect", "--alias", "also", "--ip", "10.213.3.77", "live", "guest"];
    engine.ok(&join);
    let is_there = |address: &str| {
        for way in ["also", "guest", address] {
            assert_eq!(page(&engine, "asks", way), "hello from guest", "{way}");
        }
    };
    is_there("10.213.3.77");
    engine.ok(&["network", "disconnect", "live", "guest"]);
    assert!(is_cut_off(&engine, "asks", "10.213.3.77"));
    // The client has no flag for the card's address here.
    let endpoint = serde_json::json!({
        "MacAddress": "02:42:ac:11:00:78", "IPAMConfig": { "IPv4Address": "10.213.3.78" }, "Aliases": ["also"],
    });
    let body = serde_json::json!({ "Container": "guest", "EndpointConfig": endpoint });
    let (status, answer) = engine.call("POST", "/networks/live/connect", &body);
    assert_eq!(status, 200, "{answer}");
    is_there("10.213.3.78");
    assert!(engine.ok(&["exec", "guest", "ip", "link", "show", "eth1"]).contains("02:42:ac:11:00:78"));
    assert_eq!(address(&engine, "guest", "live", "MacAddress"), "02:42:ac:11:00:78");
    // What a joined network was asked for is asked for again when the container starts again.
    engine.ok(&["restart", "-t", "0", "guest"]);
    let shown = engine.ok(&["exec", "guest", "sh", "-c", "ip link; ip address"]);
    assert!(shown.contains("02:42:ac:11:00:78") && shown.contains("10.213.3.78/24"), "{shown}");
}

#[test]
fn a_network_of_a_run_may_fix_its_card_address_and_name_in_one_word() {
    let Some(engine) = Engine::with_busybox() else { return };
    create(&engine, &["--subnet", "10.213.4.0/24"], "fixed");
    let network = "name=fixed,ip=10.213.4.44,mac-address=02:42:ac:11:00:44,alias=far,alias=away";
    engine.ok(&["run", "-d", "--name", "guest", "--network", network, "busybox", "sleep", "1000"]);
    for restarted in [false, true] {
        if restarted {
            engine.ok(&["restart", "-t", "0", "guest"]);
        }
        let shown = engine.ok(&["exec", "guest", "sh", "-c", "ip link; ip address"]);
        assert!(shown.contains("02:42:ac:11:00:44") && shown.contains("10.213.4.44/24"), "{shown}");
    }
    for name in ["far", "away", "guest"] {
        let named = engine.ok(&["run", "--rm", "--network", "fixed", "busybox", "nslookup", name]);
        assert!(named.contains("Address: 10.213.4.44"), "{named}");
    }
}

#[test]
fn who_gets_anothers_address_is_reached_at_it_at_once() {
    let Some(engine) = Engine::with_busybox() else { return };
    create(&engine, &["--ipv6", "--subnet", "10.213.5.0/24", "--subnet", "fd00:213:5::/64"], "reused");
    engine.ok(&["run", "-d", "--name", "asks", "--network", "reused", "busybox", "sleep", "1000"]);
    // Who asks remembers the first one's card for half a minute, unless it is told.
    for mac in ["02:42:ac:11:00:55", "02:42:ac:11:00:56"] {
        let place = format!("name=reused,ip=10.213.5.55,ip6=fd00:213:5::55,mac-address={mac}");
        serve(&engine, "server", &place);
        for way in ["10.213.5.55", "fd00:213:5::55"] {
            assert_eq!(page(&engine, "asks", way), "hello from server", "{way} {mac}");
        }
        engine.ok(&["rm", "--force", "server"]);
    }
}

#[test]
fn the_machines_own_network_is_a_containers_when_asked() {
    let Some(engine) = Engine::with_busybox() else { return };
    create(&engine, &["-o", "com.docker.network.bridge.name=own-name1"], "named");
    let in_container = |script: &str| {
        engine.docker(&["run", "--rm", "--network", "host", "busybox", "sh", "-c", script]).out
    };
    let interfaces = |shown: &str| -> Vec<String> {
        shown.lines().filter_map(|line| Some(line.split_once(':')?.0.trim().to_owned())).collect()
    };
    let own = interfaces(&in_container("cat /proc/net/dev"));
    assert!(own.contains(&"own-name1".to_owned()), "{own:?}");
    assert_eq!(in_container("hostname"), engine.ok(&["info", "--format", "{{.Name}}"]));
    if !engine.is_machine() {
        let beside = engine.beside("cat").arg("/proc/net/dev").output().expect("run cat").stdout;
        assert_eq!(own, interfaces(&String::from_utf8_lossy(&beside)));
    }
    // What one of them listens at, all of them reach on the loopback.
    let serve = "mkdir /www; echo the machine > /www/index.html; exec httpd -f -p 18095 -h /www";
    engine.ok(&["run", "-d", "--name", "machine", "--network", "host", "busybox", "sh", "-c", serve]);
    let get = "printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc -w 2 127.0.0.1 18095 | tail -n 1";
    eventually("it answers", || (in_container(get) == "the machine").then_some(()));
    let said = engine.docker(&["network", "connect", "named", "machine"]);
    assert!(said.err.contains("or host cannot be connected to any other network"), "{said:?}");
}

/// The networks that a filter leaves, by name.
fn listed(engine: &Engine, filters: &[&str]) -> String {
    let filters: Vec<&str> = filters.iter().flat_map(|&filter| ["--filter", filter]).collect();
    let said = engine.ok(&[&["network", "ls", "--format", "{{.Name}}"], &filters[..]].concat());
    said.lines().collect::<Vec<_>>().join(" ")
}

#[test]
fn networks_are_listed_as_dockers_filters_say() {
    let Some(engine) = Engine::with_busybox() else { return };
    create(&engine, &["--label", "colour=red", "--label", "kept"], "fa-red");
    create(&engine, &["--label", "colour=blue"], "fa-blue");
    engine.ok(&["run", "-d", "--network", "fa-red", "busybox", "sleep", "1000"]);
    let red = engine.ok(&["network", "inspect", "fa-red", "-f", "{{.Id}}"]);
    for (filters, expected) in [
        (&["name=fa-"][..], "fa-blue fa-red"),
        (&["name=fa-r", "name=fa-b"], "fa-blue fa-red"),
        (&["name=^fa-red$"], "fa-red"),
        (&[&format!("id={}", &red[..12])], "fa-red"),
        (&["label=kept"], "fa-red"),
        (&["label=colour"], "fa-blue fa-red"),
        (&["label=colour=blue"], "fa-blue"),
        (&["label=colour", "label=kept"], "fa-red"),
        (&["type=custom"], "fa-blue fa-red"),
        (&["type=builtin"], "bridge host none"),
        (&["driver=bridge"], "bridge fa-blue fa-red"),
        (&["driver=host"], "host"),
        (&["driver=null"], "none"),
        (&["scope=local"], "bridge fa-blue fa-red host none"),
        (&["scope=swarm"], ""),
        (&["dangling=true"], "fa-blue"),
        (&["dangling=false"], "bridge fa-red host none"),
        (&["driver=bridge", "type=custom", "label=kept"], "fa-red"),
    ] {
        assert_eq!(listed(&engine, filters), expected, "{filters:?}");
    }
    for (filter, expected) in [
        ("colour=red", "invalid filter 'colour'"),
        ("type=mine", "invalid filter: 'type'='mine'"),
        (
            "dangling=perhaps",
            "invalid value for filter 'dangling', must be \"true\" (or \"1\"), or \"false\"",
        ),
    ] {
        let said: Said = engine.docker(&["network", "ls", "--filter", filter]);
        assert!(said.code == 1 && said.err.contains(expected), "{filter}: {said:?}");
    }
}

#[test]
fn network_prune_takes_what_its_filters_leave_and_nobody_uses() {
    let Some(engine) = Engine::with_busybox() else { return };
    create(&engine, &["--label", "keep"], "kept");
    create(&engine, &["--label", "colour=red"], "red");
    create(&engine, &[], "plain");
    create(&engine, &[], "used");
    engine.ok(&["create", "--network", "used", "busybox"]);
    engine.ok(&["run", "-d", "--network", "used", "busybox", "sleep", "1000"]);
    let prune = |filters: &[&str]| {
        let said = engine.ok(&[&["network", "prune", "--force"], filters].concat());
        let mut names: Vec<&str> =
            said.lines().filter(|line| !line.contains(' ') && !line.is_empty()).collect();
        names.sort_unstable();
        names.join(" ")
    };
    assert_eq!(prune(&["--filter", "until=1h"]), "", "none is that old");
    assert_eq!(prune(&["--filter", "label=colour=blue"]), "");
    assert_eq!(prune(&["--filter", "label=colour=red"]), "red");
    assert_eq!(prune(&["--filter", "label!=keep", "--filter", "until=0s"]), "plain");
    assert_eq!(listed(&engine, &["type=custom"]), "kept used");
    assert_eq!(prune(&[]), "kept");
    assert_eq!(listed(&engine, &["type=custom"]), "used");
    let said = engine.docker(&["network", "prune", "--force", "--filter", "driver=bridge"]);
    assert!(said.code == 1 && said.err.contains("invalid filter 'driver'"), "{said:?}");
}

#[test]
fn whether_a_network_is_attachable_is_told_and_kept_and_keeps_no_container_out() {
    let Some(mut engine) = Engine::with_busybox() else { return };
    create(&engine, &["--attachable"], "open");
    create(&engine, &[], "usual");
    let told = |engine: &Engine| {
        let networks = engine.get("/networks");
        let of = |name: &str| {
            networks.as_array()?.iter().find(|network| network["Name"] == name)?.get("Attachable")?.as_bool()
        };
        ["open", "usual"].map(of)
    };
    assert_eq!(told(&engine), [Some(true), Some(false)]);
    // It is for swarm's networks that a container may be kept out: this engine has none.
    for (first, second) in [("open", "usual"), ("usual", "open")] {
        engine.ok(&["run", "-d", "--name", first, "--network", first, "busybox", "sleep", "1000"]);
        engine.ok(&["network", "connect", second, first]);
    }
    assert!(engine.ok(&["exec", "open", "ping", "-c", "1", "usual"]).contains("1 packets received"));
    let said = engine.docker(&["network", "create", "--attachable", "--config-only", "settings"]);
    assert!(
        said.err.contains("Network operator fields like [ ingress | internal | attachable | scope ]"),
        "{said:?}"
    );
    if !engine.is_machine() {
        engine.crash();
        assert_eq!(told(&engine), [Some(true), Some(false)]);
    }
}
