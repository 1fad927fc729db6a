//! A container's places in networks: how it comes and goes, which way it has out, and what is told of it.

use e2e::condition::eventually;
use e2e::engine::Engine;
use serde_json::{Value, json};

/// Starts a container that waits, with more options.
fn wait(engine: &Engine, name: &str, options: &[&str]) -> String {
    engine.ok(&[&["run", "-d", "--name", name], options, &["busybox", "sleep", "1000"]].concat())
}

fn create(engine: &Engine, options: &[&str], name: &str) {
    engine.ok(&[&["network", "create"], options, &[name]].concat());
}

/// What `docker inspect` tells of a container's place in a network.
fn place(engine: &Engine, container: &str, network: &str) -> Value {
    let field = format!("json (index .NetworkSettings.Networks {network:?})");
    serde_json::from_str(&engine.inspect(container, &field)).expect("JSON")
}

fn shell(engine: &Engine, container: &str, script: &str) -> String {
    engine.ok(&["exec", container, "sh", "-c", script])
}

#[test]
fn a_container_leaves_by_the_highest_priority_or_the_first_by_name() {
    let Some(engine) = Engine::with_busybox() else { return };
    create(&engine, &["--subnet", "10.214.1.0/24"], "a-first");
    create(&engine, &["--ipv6", "--subnet", "10.214.2.0/24", "--subnet", "fd00:214:2::/64"], "b-second");
    create(&engine, &["--ipv6", "--subnet", "10.214.3.0/24", "--subnet", "fd00:214:3::/64"], "c-third");
    create(&engine, &["--internal"], "a-closed");
    let serve = "mkdir /www; echo here > /www/index.html; exec httpd -f -p 80 -h /www";
    let run = ["run", "-d", "--name", "web", "--network", "b-second", "-p", "18140:80"];
    engine.ok(&[&run[..], &["busybox", "sh", "-c", serve]].concat());
    let leaves_by = |gateway: &str, gateway6: &str| {
        let routes = shell(&engine, "web", "ip route show default; ip -6 route show default");
        let ways: Vec<&str> =
            routes.lines().filter_map(|line| line.strip_prefix("default via ")?.split(' ').next()).collect();
        assert_eq!(ways, [gateway, gateway6], "{routes}");
        assert_eq!(eventually("the page comes", || engine.fetch("127.0.0.1:18140")), "here\n");
    };
    leaves_by("10.214.2.1", "fd00:214:2::1");
    let connect = |more: &[&str], network: &str| {
        engine.ok(&[&["network", "connect"], more, &[network, "web"]].concat());
    };
    connect(&[], "a-closed");
    connect(&[], "c-third");
    leaves_by("10.214.2.1", "fd00:214:2::1");
    connect(&[], "a-first");
    leaves_by("10.214.1.1", "fd00:214:2::1");
    engine.ok(&["network", "disconnect", "c-third", "web"]);
    connect(&["--gw-priority", "1"], "c-third");
    leaves_by("10.214.3.1", "fd00:214:3::1");
    assert_eq!(place(&engine, "web", "c-third")["GwPriority"], 1);
    engine.ok(&["restart", "-t", "0", "web"]);
    leaves_by("10.214.3.1", "fd00:214:3::1");
    engine.ok(&["network", "disconnect", "c-third", "web"]);
    leaves_by("10.214.1.1", "fd00:214:2::1");
}

#[test]
fn the_way_out_is_the_same_after_the_engine_was_killed() {
    let Some(mut engine) = Engine::native_with_busybox() else { return };
    for name in ["a-first", "b-second", "c-third"] {
        create(&engine, &[], name);
    }
    wait(&engine, "guest", &["--network", "b-second", "--network", "name=c-third,gw-priority=1"]);
    let way_out = |engine: &Engine| shell(engine, "guest", "ip route show default");
    let gateway = place(&engine, "guest", "c-third")["Gateway"].as_str().expect("a gateway").to_owned();
    assert!(way_out(&engine).contains(&gateway), "{}", way_out(&engine));
    engine.crash();
    assert!(way_out(&engine).contains(&gateway), "{}", way_out(&engine));
    engine.ok(&["network", "connect", "a-first", "guest"]);
    assert!(way_out(&engine).contains(&gateway), "its priority outlived the engine");
    engine.ok(&["network", "disconnect", "c-third", "guest"]);
    let first = place(&engine, "guest", "a-first")["Gateway"].as_str().expect("a gateway").to_owned();
    assert!(way_out(&engine).contains(&first), "{}", way_out(&engine));
}

#[test]
fn what_is_told_of_a_network_and_its_containers_is_what_they_have() {
    let Some(engine) = Engine::with_busybox() else { return };
    let options = ["--ipv6", "--subnet", "10.214.4.0/24", "--gateway", "10.214.4.9", "--ip-range"];
    let more = ["10.214.4.64/26", "--subnet", "fd00:214:4::/64", "--label", "colour=red", "--attachable"];
    create(&engine, &[&options[..], &more, &["-o", "com.docker.network.driver.mtu=1400"]].concat(), "told");
    let id =
        wait(&engine, "guest", &["--network", "told", "--network-alias", "also", "--hostname", "inside"]);
    let network: Value = serde_json::from_str(&engine.ok(&["network", "inspect", "told"])).expect("JSON");
    let network = &network[0];
    assert_eq!(network["Driver"], "bridge");
    assert_eq!([&network["EnableIPv4"], &network["EnableIPv6"], &network["Attachable"]], [true, true, true]);
    assert_eq!([&network["Internal"], &network["Ingress"], &network["ConfigOnly"]], [false, false, false]);
    assert_eq!(network["Options"]["com.docker.network.driver.mtu"], "1400");
    assert_eq!(network["Labels"]["colour"], "red");
    let pool = &network["IPAM"]["Config"][0];
    assert_eq!(
        [&pool["Subnet"], &pool["IPRange"], &pool["Gateway"]],
        ["10.214.4.0/24", "10.214.4.64/26", "10.214.4.9"]
    );
    let unasked = json!({ "Subnet": "fd00:214:4::/64" });
    assert_eq!(network["IPAM"]["Config"][1], unasked, "a gateway that nobody asked for in one's own subnet");
    let (member, place) = (&network["Containers"][&id], place(&engine, "guest", "told"));
    assert_eq!(member["Name"], "guest");
    for field in ["EndpointID", "MacAddress"] {
        assert_eq!(member[field], place[field]);
    }
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let with_length = |address: &str, length: &str| format!("{}/{}", text(&place[address]), place[length]);
    assert_eq!(text(&member["IPv4Address"]), with_length("IPAddress", "IPPrefixLen"));
    assert_eq!(text(&member["IPv6Address"]), with_length("GlobalIPv6Address", "GlobalIPv6PrefixLen"));
    assert!(text(&member["IPv4Address"]).starts_with("10.214.4.64/"), "the first of its range: {member}");
    assert_eq!([&place["Gateway"], &place["IPv6Gateway"]], ["10.214.4.9", "fd00:214:4::1"]);
    assert_eq!(place["NetworkID"], network["Id"]);
    assert_eq!(place["Aliases"], json!(["also"]));
    assert_eq!(place["DNSNames"], json!(["guest", "also", &id[..12], "inside"]));
    let inside = shell(&engine, "guest", "ip address show eth0");
    for shown in [&member["MacAddress"], &member["IPv4Address"], &member["IPv6Address"]] {
        assert!(inside.contains(&text(shown)), "{shown}: {inside}");
    }
    assert!(inside.contains("mtu 1400"), "{inside}");
    engine.ok(&["stop", "-t", "0", "guest"]);
    assert_eq!(engine.ok(&["network", "inspect", "told", "-f", "{{len .Containers}}"]), "0");
}

#[test]
fn a_container_at_rest_joins_and_leaves_for_its_next_start() {
    let Some(engine) = Engine::with_busybox() else { return };
    create(&engine, &["--subnet", "10.214.5.0/24"], "later");
    create(&engine, &[], "never");
    wait(&engine, "asks", &["--network", "later"]);
    engine.ok(&["create", "--name", "rests", "busybox", "sleep", "1000"]);
    engine.ok(&["network", "connect", "--ip", "10.214.5.50", "--alias", "also", "later", "rests"]);
    engine.ok(&["network", "connect", "never", "rests"]);
    engine.ok(&["network", "disconnect", "never", "rests"]);
    let said = engine.docker(&["network", "disconnect", "never", "rests"]);
    assert!(said.err.contains("is not connected to the network never"), "{said:?}");
    let names = "{{range $name, $place := .NetworkSettings.Networks}}{{$name}} {{end}}";
    assert_eq!(engine.ok(&["inspect", "-f", names, "rests"]), "bridge later ");
    engine.ok(&["start", "rests"]);
    assert!(shell(&engine, "rests", "ip address show eth1").contains("10.214.5.50/24"));
    for name in ["also", "rests"] {
        assert!(shell(&engine, "asks", &format!("nslookup {name}")).contains("Address: 10.214.5.50"));
    }
    engine.ok(&["network", "disconnect", "--force", "bridge", "rests"]);
    assert_eq!(shell(&engine, "rests", "ls /sys/class/net"), "eth1\nlo");
    engine.ok(&["stop", "-t", "0", "rests"]);
    engine.ok(&["network", "disconnect", "later", "rests"]);
    engine.ok(&["network", "rm", "never"]);
    engine.ok(&["start", "rests"]);
    assert_eq!(shell(&engine, "rests", "ls /sys/class/net"), "lo", "it was in no network any more");
}

#[test]
fn a_link_of_a_connection_is_a_name_of_its_own() {
    let Some(engine) = Engine::with_busybox() else { return };
    create(&engine, &[], "linked");
    wait(&engine, "db", &["--network", "linked"]);
    wait(&engine, "web", &[]);
    engine.ok(&["network", "connect", "--link", "db:store", "linked", "web"]);
    let address = place(&engine, "db", "linked")["IPAddress"].as_str().expect("an address").to_owned();
    // It was in a network without names before, and asked this machine's resolvers.
    assert!(shell(&engine, "web", "nslookup store").contains(&address));
    assert!(!engine.docker(&["exec", "db", "nslookup", "store"]).out.contains(&address), "it is web's alone");
    assert_eq!(place(&engine, "web", "linked")["Links"], json!(["db:store"]));
}

#[test]
fn a_running_container_asks_the_first_network_with_names_that_it_joins() {
    let Some(engine) = Engine::with_busybox() else { return };
    create(&engine, &[], "named");
    wait(&engine, "known", &["--network", "named"]);
    wait(&engine, "joins", &["--dns-search", "named", "--dns-option", "timeout:1"]);
    wait(&engine, "changed", &[]);
    shell(&engine, "changed", "echo nameserver 192.0.2.53 > /etc/resolv.conf");
    for name in ["joins", "changed"] {
        engine.ok(&["network", "connect", "named", name]);
    }
    let resolver = |name: &str| shell(&engine, name, "cat /etc/resolv.conf");
    let lines = ["nameserver 127.0.0.11", "search named", "options timeout:1 ndots:0"];
    assert_eq!(resolver("joins").lines().filter(|line| !line.starts_with('#')).collect::<Vec<_>>(), lines);
    assert!(shell(&engine, "joins", "nslookup known").contains("Name:\tknown"));
    assert_eq!(resolver("changed"), "nameserver 192.0.2.53", "what somebody wrote there is left alone");
}

#[test]
fn containers_that_share_an_alias_take_turns_and_names_have_no_case() {
    let Some(engine) = Engine::with_busybox() else { return };
    create(&engine, &[], "turns");
    let mut addresses = ["one", "two", "three"].map(|name| {
        wait(&engine, name, &["--network", "turns", "--network-alias", "service"]);
        place(&engine, name, "turns")["IPAddress"].as_str().expect("an address").to_owned()
    });
    addresses.sort_unstable();
    wait(&engine, "asks", &["--network", "turns"]);
    let told = || -> Vec<String> {
        let told = shell(&engine, "asks", "nslookup -type=a SERVICE.");
        let lines = told.lines().filter_map(|line| line.strip_prefix("Address: "));
        lines.map(str::to_owned).collect()
    };
    let mut firsts = std::collections::BTreeSet::new();
    for _ in 0..30 {
        let mut all = told();
        firsts.insert(all[0].clone());
        all.sort_unstable();
        assert_eq!(all, addresses);
    }
    assert_eq!(firsts.len(), 3, "each is the first now and then: {firsts:?}");
    engine.ok(&["rm", "-f", "two"]);
    assert_eq!(told().len(), 2, "who ended isn't named any more");
}

#[test]
fn a_place_that_makes_no_sense_is_refused_in_dockers_words() {
    let Some(engine) = Engine::with_busybox() else { return };
    create(&engine, &["--subnet", "10.214.6.0/24"], "own");
    create(&engine, &[], "chosen");
    create(&engine, &["--internal", "--ipv4=false", "--ipv6"], "six");
    wait(&engine, "web", &["--network", "own", "--ip", "10.214.6.7"]);
    wait(&engine, "other", &[]);
    wait(&engine, "alone", &["--network", "none"]);
    for (words, expected) in [
        ("create own", "network with name own already exists"),
        (
            "create --subnet 10.214.6.128/25 n",
            "invalid pool request: Pool overlaps with other one on this address",
        ),
        ("create --internal=false --ipv4=false n", "IPv4 or IPv6 must be enabled"),
        ("rm bridge", "bridge is a pre-defined network and cannot be removed"),
        ("rm nosuch", "network nosuch not found"),
        ("connect nosuch web", "network nosuch not found"),
        ("connect own nosuch", "No such container: nosuch"),
        ("connect own web", "endpoint with name web already exists in network own"),
        ("connect own alone", "with one of the networks in private (none) mode"),
        ("connect --ip 10.214.6.7 own other", "Address already in use"),
        ("connect --ip 10.214.6.1 own other", "Address already in use"),
        (
            "connect --ip 10.215.6.7 own other",
            "no configured subnet or ip-range contain the IP address 10.215.6.7",
        ),
        (
            "connect --ip 10.9.9.9 chosen other",
            "only when connecting to networks with user configured subnets",
        ),
        ("connect --ip 10.9.9.9 six other", "only when connecting to networks with user configured subnets"),
        ("connect --ip6 fd00::7 own other", "only when connecting to networks with user configured subnets"),
        (
            "connect --ip 172.17.0.9 bridge web",
            "user specified IP address is supported on user defined networks only",
        ),
        ("disconnect own other", "is not connected to network own"),
        ("disconnect own nosuch", "No such container: nosuch"),
        ("inspect nosuch", "network nosuch not found"),
    ] {
        let args: Vec<&str> = ["network"].into_iter().chain(words.split(' ')).collect();
        let said = engine.docker(&args);
        assert!(said.code == 1 && said.err.contains(expected), "{words}: {said:?}, not {expected:?}");
    }
    assert_eq!(shell(&engine, "other", "ls /sys/class/net"), "eth0\nlo", "nothing of it was done");
    let run = ["run", "--rm", "--network", "own", "--ip", "10.214.6.7", "busybox", "true"];
    let said = engine.docker(&run);
    let expected = "failed to set up container networking: Address already in use";
    assert!(said.code == 125 && said.err.contains(expected), "{said:?}");
}
