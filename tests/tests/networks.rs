//! Networks and published ports: what a user's browser and other containers reach.

use std::path::PathBuf;

use e2e::belongings::open_things;
use e2e::chance::repeats;
use e2e::condition::eventually;
use e2e::engine::Engine;
use e2e::guard::{need_program, need_root};

const SERVE: &str =
    "mkdir -p /www; echo hello from $(hostname) > /www/index.html; exec httpd -f -p 80 -h /www";

/// Starts a web server of this name with more options.
fn serve(engine: &Engine, name: &str, options: &[&str]) {
    let first = ["run", "-d", "--name", name, "--hostname", name];
    engine.ok(&[&first[..], options, &["busybox", "sh", "-c", SERVE]].concat());
}

#[test]
fn a_published_port_answers_on_localhost_and_closes_with_the_container() {
    let Some(engine) = Engine::with_busybox() else { return };
    serve(&engine, "web", &["-p", "18080:80"]);
    let page = eventually("the page comes", || engine.fetch("127.0.0.1:18080"));
    assert_eq!(page, "hello from web\n");
    assert!(engine.ok(&["port", "web"]).contains("80/tcp -> 0.0.0.0:18080"));
    engine.ok(&["rm", "-f", "web"]);
    assert_eq!(engine.fetch("127.0.0.1:18080"), None);
}

#[test]
fn a_taken_port_is_refused_in_dockers_words() {
    let Some(engine) = Engine::with_busybox() else { return };
    serve(&engine, "first", &["-p", "18081:80"]);
    let said = engine.docker(&["run", "-d", "--name", "second", "-p", "18081:80", "busybox", "sleep", "9"]);
    assert_eq!(said.code, 125, "{said:?}");
    assert!(said.err.contains("Bind for 0.0.0.0:18081 failed: port is already allocated"), "{said:?}");
    assert_eq!(engine.inspect("second", ".State.Status"), "created");
}

#[test]
fn a_port_that_nobody_chose_is_chosen_and_shown() {
    let Some(engine) = Engine::with_busybox() else { return };
    serve(&engine, "any", &["-p", "127.0.0.1::80"]);
    let address = engine.ok(&["port", "any", "80/tcp"]);
    assert!(address.starts_with("127.0.0.1:"), "{address}");
    assert_eq!(eventually("the page comes", || engine.fetch(&address)), "hello from any\n");
}

#[test]
fn containers_of_a_network_reach_each_other_and_others_do_not() {
    let Some(engine) = Engine::with_busybox() else { return };
    engine.ok(&["network", "create", "inner"]);
    serve(&engine, "server", &["--network", "inner"]);
    let address = engine.inspect("server", ".NetworkSettings.Networks.inner.IPAddress");
    let script = format!("printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc -w 2 {address} 80");
    let get = |network: &str| {
        engine.docker(&["run", "--rm", "--network", network, "busybox", "sh", "-c", &script]).out
    };
    eventually("the neighbour answers", || get("inner").ends_with("hello from server").then_some(()));
    assert_eq!(get("bridge"), "");
}

#[test]
fn containers_of_a_users_network_know_each_other_by_name() {
    let Some(engine) = Engine::with_busybox() else { return };
    engine.ok(&["network", "create", "named"]);
    engine.ok(&["run", "-d", "--name", "known", "--network", "named", "busybox", "sleep", "1000"]);
    let address = engine.inspect("known", ".NetworkSettings.Networks.named.IPAddress");
    let ask = ["run", "--rm", "--network", "named", "busybox", "nslookup", "known"];
    eventually("the name resolves", || engine.docker(&ask).out.contains(&address).then_some(()));
}

#[test]
fn a_container_in_anothers_network_has_its_name_and_knows_whom_it_knows() {
    let Some(engine) = Engine::with_busybox() else { return };
    engine.ok(&["network", "create", "named"]);
    let run = ["run", "-d", "--network", "named", "--add-host", "far:1.2.3.4", "--hostname", "main"];
    engine
        .ok(&[&run[..], &["--domainname", "example", "--name", "main", "busybox", "sleep", "1000"]].concat());
    engine.ok(&["run", "-d", "--network", "named", "--name", "known", "busybox", "sleep", "1000"]);
    engine.ok(&["run", "-d", "--network", "container:main", "--name", "side", "busybox", "sleep", "1000"]);
    for file in ["/etc/hosts", "/etc/hostname", "/etc/resolv.conf"] {
        let [own, shared] = ["main", "side"].map(|name| engine.ok(&["exec", name, "cat", file]));
        assert_eq!(own, shared, "{file}");
    }
    assert_eq!(engine.ok(&["exec", "side", "hostname"]), "main");
    assert_eq!(engine.inspect("side", ".Config.Domainname"), "example");
    assert_eq!(engine.inspect("side", ".HostsPath"), engine.inspect("main", ".HostsPath"));
    let inner = ["run", "--rm", "--network", "container:side", "busybox", "ping", "-c", "1", "known"];
    eventually("the name resolves, also through two", || (engine.docker(&inner).code == 0).then_some(()));
}

#[test]
fn the_container_that_was_joined_is_remembered_whatever_the_names_become() {
    let Some(engine) = Engine::with_busybox() else { return };
    let run = ["run", "-d", "--ipc", "shareable", "--name"];
    let first = engine.ok(&[&run[..], &["main", "busybox", "sleep", "1000"]].concat());
    let joins = ["--network", "container:main", "--pid", "container:main", "--ipc", "container:main"];
    let create = [&["create", "--name", "side"], &joins[..], &["busybox", "hostname"]].concat();
    engine.ok(&create);
    for mode in ["NetworkMode", "PidMode", "IpcMode"] {
        assert_eq!(engine.inspect("side", &format!(".HostConfig.{mode}")), format!("container:{first}"));
    }
    engine.ok(&["rename", "main", "old"]);
    engine.ok(&["run", "-d", "--name", "main", "busybox", "sleep", "1000"]);
    assert_eq!(engine.ok(&["start", "-a", "side"]), first[..12]);
    engine.ok(&["rm", "-f", "old"]);
    let refused = engine.docker(&["start", "side"]);
    let expected = format!("joining network namespace of container: No such container: {first}");
    assert!(refused.err.contains(&expected), "{refused:?}");
}

#[test]
fn a_container_without_a_network_gets_one_once_it_has_left_none() {
    let Some(engine) = Engine::with_busybox() else { return };
    engine.ok(&["network", "create", "later"]);
    engine.ok(&["run", "-d", "--network", "none", "--name", "alone", "busybox", "sleep", "1000"]);
    assert_eq!(engine.ok(&["exec", "alone", "ls", "/sys/class/net"]), "lo");
    let refused = engine.docker(&["network", "connect", "later", "alone"]);
    assert!(refused.err.contains("with one of the networks in private (none) mode"), "{refused:?}");
    engine.ok(&["network", "disconnect", "none", "alone"]);
    engine.ok(&["network", "connect", "later", "alone"]);
    assert_eq!(engine.ok(&["exec", "alone", "ls", "/sys/class/net"]), "eth0\nlo");
    engine.ok(&["restart", "-t", "0", "alone"]);
    assert_eq!(engine.ok(&["exec", "alone", "ls", "/sys/class/net"]), "eth0\nlo");
}

#[test]
fn a_network_can_be_joined_and_left_while_running() {
    let Some(engine) = Engine::with_busybox() else { return };
    engine.ok(&["network", "create", "later"]);
    engine.ok(&["run", "-d", "--name", "guest", "busybox", "sleep", "1000"]);
    engine.ok(&["network", "connect", "later", "guest"]);
    assert_eq!(engine.ok(&["exec", "guest", "ls", "/sys/class/net"]).matches("eth").count(), 2);
    let line = format!("{}\t", engine.inspect("guest", ".NetworkSettings.Networks.later.IPAddress"));
    let hosts = || engine.ok(&["exec", "guest", "cat", "/etc/hosts"]);
    assert!(hosts().contains(&line), "{}", hosts());
    let refused = engine.docker(&["network", "rm", "later"]);
    assert!(refused.err.contains("has active endpoints"), "{refused:?}");
    engine.ok(&["network", "disconnect", "later", "guest"]);
    assert_eq!(engine.ok(&["exec", "guest", "ls", "/sys/class/net"]).matches("eth").count(), 1);
    assert!(!hosts().contains(&line), "{}", hosts());
    engine.ok(&["network", "rm", "later"]);
}

#[test]
fn a_connection_that_cant_be_noted_is_none() {
    let Some(engine) = Engine::native_with_busybox() else { return };
    engine.ok(&["network", "create", "later"]);
    engine.ok(&["run", "-d", "--name", "guest", "busybox", "sleep", "1000"]);
    let hosts = PathBuf::from(engine.inspect("guest", ".HostsPath"));
    let aside = hosts.with_extension("aside");
    std::fs::rename(&hosts, &aside).expect("take the file away");
    std::fs::create_dir(&hosts).expect("put a folder in its place");
    let refused = engine.docker(&["network", "connect", "later", "guest"]);
    assert!(refused.err.contains("hosts"), "{refused:?}");
    assert_eq!(engine.inspect("guest", "len .NetworkSettings.Networks"), "1");
    assert_eq!(engine.ok(&["exec", "guest", "ls", "/sys/class/net"]), "eth0\nlo");
    std::fs::remove_dir(&hosts).expect("remove the folder");
    std::fs::rename(&aside, &hosts).expect("put the file back");
    engine.ok(&["network", "connect", "later", "guest"]);
    assert_eq!(engine.ok(&["exec", "guest", "ls", "/sys/class/net"]), "eth0\neth1\nlo");
}

#[test]
fn containers_reach_published_ports_each_others_and_their_own() {
    let Some(engine) = Engine::with_busybox() else { return };
    engine.ok(&["network", "create", "apart"]);
    serve(&engine, "open", &["-p", "18090:80"]);
    serve(&engine, "inner", &["-p", "127.0.0.1:18091:80"]);
    for place in ["127.0.0.1:18090", "127.0.0.1:18091"] {
        eventually("the page comes", || engine.fetch(place));
    }
    let gateway = "{{(index .IPAM.Config 0).Gateway}}";
    let [bridge, apart] =
        ["bridge", "apart"].map(|name| engine.ok(&["network", "inspect", "--format", gateway, name]));
    let ask = |network: &str, place: &str| {
        let run = ["run", "--rm", "--network", network, "--add-host", "host:host-gateway", "busybox"];
        engine.docker(&[&run[..], &["wget", "-q", "-O", "-", &format!("http://{place}")]].concat())
    };
    for (network, gateway) in [("bridge", &bridge), ("apart", &apart)] {
        assert_eq!(ask(network, &format!("{gateway}:18090")).out, "hello from open");
        assert_ne!(ask(network, &format!("{gateway}:18091")).code, 0, "that is for the host alone");
        if engine.is_machine() {
            assert_eq!(ask(network, "host:18090").out, "hello from open");
            assert_eq!(ask(network, "host:18091").out, "hello from inner");
        }
    }
    let itself = ["exec", "open", "wget", "-q", "-O", "-", &format!("http://{bridge}:18090")];
    assert_eq!(engine.ok(&itself), "hello from open");
    engine.ok(&["rm", "-f", "open"]);
    assert_ne!(ask("apart", &format!("{apart}:18090")).code, 0, "it is gone with its container");
}

#[test]
fn published_ports_outlive_the_engine() {
    let Some(mut engine) = Engine::native_with_busybox() else { return };
    serve(&engine, "lasting", &["-p", "18082:80"]);
    eventually("the page comes", || engine.fetch("127.0.0.1:18082"));
    engine.crash();
    assert_eq!(
        eventually("the page comes again", || engine.fetch("127.0.0.1:18082")),
        "hello from lasting\n"
    );
    engine.ok(&["rm", "-f", "lasting"]);
    assert_eq!(engine.fetch("127.0.0.1:18082"), None);
}

/// Runs a container that answers at the first and the last of a thousand published ports.
fn publish_a_thousand(engine: &Engine) {
    let script =
        "mkdir /www; echo hello > /www/index.html; httpd -p 9000 -h /www; exec httpd -f -p 9999 -h /www";
    engine.ok(&["run", "-d", "--name", "many", "-p", "19000-19999:9000-9999", "busybox", "sh", "-c", script]);
    let shown = engine.ok(&["port", "many"]);
    assert_eq!(shown.lines().filter(|line| line.contains("0.0.0.0:")).count(), 1000);
    first_and_last_answer(engine);
}

fn first_and_last_answer(engine: &Engine) {
    for address in ["127.0.0.1:19000", "127.0.0.1:19999"] {
        assert_eq!(eventually("the page comes", || engine.fetch(address)), "hello\n");
    }
}

#[test]
fn a_thousand_ports_open_at_once_outlive_the_engine_and_close_with_their_container() {
    let Some(mut engine) = Engine::native_with_busybox() else { return };
    publish_a_thousand(&engine);
    engine.crash();
    first_and_last_answer(&engine);
    engine.ok(&["rm", "-f", "many"]);
    assert_eq!(engine.fetch("127.0.0.1:19999"), None);
    publish_a_thousand(&engine);
}

#[test]
fn a_thousand_ports_of_the_machine_open_at_once_and_close_with_their_container() {
    let Some(engine) = Engine::machine_with_busybox() else { return };
    publish_a_thousand(&engine);
    engine.ok(&["rm", "-f", "many"]);
    assert_eq!(engine.fetch("127.0.0.1:19999"), None);
}

/// Two addresses of the host's own on a bridge (RFC 5737); when dropped, the bridge is gone. This machine's connections
/// to the first come from the second.
struct Bridge<'a> {
    engine: &'a Engine,
    name: String,
}

const FIRST: &str = "192.0.2.1";
const SECOND: &str = "192.0.2.2";

impl<'a> Bridge<'a> {
    /// One where the engine's user is; none, with the reason printed, where it can't be made.
    fn beside(engine: &'a Engine) -> Option<Self> {
        if !need_root() || !need_program("ip") {
            return None;
        }
        let name = format!("two{}", std::process::id());
        let bridge = Self { engine, name: name.clone() };
        bridge.ip(&["link", "add", &name, "type", "bridge"]);
        bridge.ip(&["link", "set", &name, "up"]);
        for address in [FIRST, SECOND] {
            bridge.ip(&["address", "add", &format!("{address}/24"), "dev", &name]);
        }
        let from_second = ["proto", "kernel", "scope", "host", "src", SECOND];
        bridge.ip(&[&["route", "replace", "local", FIRST, "dev", &name, "table", "local"], &from_second[..]]
            .concat());
        Some(bridge)
    }

    fn ip(&self, words: &[&str]) {
        let output = self.engine.beside("ip").args(words).output().expect("run ip");
        assert!(output.status.success(), "ip {words:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

impl Drop for Bridge<'_> {
    fn drop(&mut self) {
        drop(self.engine.beside("ip").args(["link", "delete", &self.name]).status());
    }
}

#[test]
fn networks_keep_away_from_what_the_host_routes_to_by_now() {
    let Some(engine) = Engine::with_busybox() else { return };
    let Some(bridge) = Bridge::beside(&engine) else { return };
    let subnet = || {
        engine.ok(&["network", "create", "chosen"]);
        let subnet = "{{(index .IPAM.Config 0).Subnet}}";
        let subnet = engine.ok(&["network", "inspect", "--format", subnet, "chosen"]);
        engine.ok(&["network", "rm", "chosen"]);
        subnet
    };
    let before = subnet();
    let taken = before.replace(".0.0/16", ".3.1/24");
    bridge.ip(&["address", "add", &taken, "dev", &bridge.name]);
    eventually("another one is chosen", || (subnet() != before).then_some(()));
}

#[test]
fn a_container_sees_who_connected_to_its_port() {
    let Some(engine) = Engine::with_busybox() else { return };
    let Some(_bridge) = Bridge::beside(&engine) else { return };
    // httpd runs a program in cgi-bin for each request and tells it who asks.
    let script = r#"mkdir -p /www/cgi-bin; cd /www/cgi-bin; echo '#!/bin/sh' > index.cgi
        echo 'printf "\r\n$REMOTE_ADDR\n"' >> index.cgi; chmod +x index.cgi; exec httpd -f -p 0.0.0.0:80 -h /www"#;
    engine.ok(&["run", "-d", "--name", "who", "-p", "18085:80", "busybox", "sh", "-c", script]);
    let gateway = engine.inspect("who", ".NetworkSettings.Networks.bridge.Gateway");
    let seen = |address: &str| {
        eventually("the container answers", || engine.fetch(&format!("{address}:18085"))).trim().to_owned()
    };
    assert_eq!(seen(FIRST), SECOND, "another address of the host is the peer's own");
    assert_eq!(seen("127.0.0.1"), gateway, "loopback appears as the gateway, as in Docker");
}

/// Makes a network with these options; false, with the reason printed, where the engine's kernel has no such interfaces.
fn has_network(engine: &Engine, name: &str, options: &[&str]) -> bool {
    let said = engine.docker(&[&["network", "create"][..], options, &[name]].concat());
    if said.err.contains("kernel has no") {
        eprintln!("skipped: {}", said.err);
        return false;
    }
    assert_eq!(said.code, 0, "{said:?}");
    true
}

/// Waits until `server` answers by its name in the network.
fn answers_by_name(engine: &Engine, network: &str, server: &str) {
    let url = format!("http://{server}/");
    let ask = ["run", "--rm", "--network", network, "busybox", "wget", "-q", "-O", "-", &url];
    let hello = format!("hello from {server}");
    eventually("the name answers", || (engine.docker(&ask).out == hello).then_some(()));
}

#[test]
fn containers_on_a_macvlan_outlive_the_engine_and_come_and_go() {
    let Some(mut engine) = Engine::native_with_busybox() else { return };
    let veth = ["link", "add", "card", "type", "veth", "peer", "name", "other"];
    assert!(engine.beside("ip").args(veth).status().expect("run ip").success());
    for name in ["card", "other"] {
        assert!(engine.beside("ip").args(["link", "set", name, "up"]).status().expect("run ip").success());
    }
    if !has_network(&engine, "lan", &["-d", "macvlan", "-o", "parent=card"]) {
        return;
    }
    let known = engine.ok(&["info", "--format", "{{.Plugins.Network}}"]);
    assert_eq!(known, "[bridge host ipvlan macvlan null]");
    serve(&engine, "server", &["--network", "lan", "-p", "18086:80"]);
    answers_by_name(&engine, "lan", "server");
    assert_eq!(engine.ok(&["port", "server"]), "", "nothing is published: its address is there for all");
    engine.crash();
    answers_by_name(&engine, "lan", "server");
    engine.ok(&["network", "disconnect", "lan", "server"]);
    assert!(!engine.ok(&["exec", "server", "ls", "/sys/class/net"]).contains("eth"));
    engine.ok(&["network", "connect", "lan", "server"]);
    answers_by_name(&engine, "lan", "server");
    engine.ok(&["rm", "-f", "server"]);
    assert!(engine.ok(&["network", "prune", "--force"]).contains("lan"));
    assert!(engine.beside("ip").args(["link", "show", "card"]).status().expect("run ip").success());
}

#[test]
fn the_vm_has_macvlans_and_ipvlans_of_every_kind() {
    let Some(engine) = Engine::machine_with_busybox() else { return };
    let card = ["-d", "macvlan", "-o", "parent=eth0", "--subnet", "10.0.2.0/24", "--gateway", "10.0.2.2"];
    let kinds: [&[&str]; 7] = [
        &[&card[..], &["--ip-range", "10.0.2.128/26"]].concat(),
        &["-d", "macvlan"],
        &["-d", "macvlan", "-o", "parent=eth0.50"],
        &["-d", "ipvlan"],
        &["-d", "ipvlan", "-o", "ipvlan_mode=l3"],
        &["-d", "ipvlan", "-o", "ipvlan_mode=l3s"],
        &["-d", "ipvlan", "-o", "parent=eth0.51", "--ipv6"],
    ];
    for options in kinds {
        assert!(has_network(&engine, "kind", options), "the VM's kernel has them all: {options:?}");
        serve(&engine, "one", &["--network", "kind"]);
        answers_by_name(&engine, "kind", "one");
        engine.ok(&["rm", "-f", "one"]);
        engine.ok(&["network", "rm", "kind"]);
    }
}

#[test]
fn a_network_of_ipv6_alone_is_reached_and_named_by_it() {
    let Some(engine) = Engine::with_busybox() else { return };
    engine.ok(&["network", "create", "--ipv4=false", "--ipv6", "six"]);
    assert_eq!(
        engine.ok(&["network", "inspect", "six", "-f", "{{.EnableIPv4}} {{.EnableIPv6}}"]),
        "false true"
    );
    serve(&engine, "web", &["--network", "six", "-p", "18090:80"]);
    assert_eq!(engine.ok(&["port", "web"]), "80/tcp -> [::]:18090");
    assert_eq!(engine.inspect("web", ".NetworkSettings.Networks.six.IPAddress"), "");
    let address = engine.inspect("web", ".NetworkSettings.Networks.six.GlobalIPv6Address");
    assert!(engine.ok(&["exec", "web", "cat", "/etc/hosts"]).contains(&format!("{address}\tweb")));
    let page = ["run", "--rm", "--network", "six", "busybox", "wget", "-qO-", "http://web"];
    eventually("the name leads there", || (engine.docker(&page).out == "hello from web").then_some(()));
    assert_eq!(eventually("the page comes", || engine.fetch("::1:18090")), "hello from web\n");
    assert_eq!(engine.fetch("127.0.0.1:18090"), None);
    let older = serde_json::json!({ "Name": "older", "EnableIPv4": false });
    let (status, _) = engine.call("POST", "/v1.47/networks/create", &older);
    assert_eq!(status, 201, "an older client means nothing by it");
    assert_eq!(engine.ok(&["network", "inspect", "older", "-f", "{{.EnableIPv4}}"]), "true");
}

#[test]
fn a_network_is_made_by_a_configuration_network() {
    let Some(engine) = Engine::with_busybox() else { return };
    let subnet = ["--subnet", "10.213.4.0/24", "--label", "a=b"];
    engine.ok(&[&["network", "create", "--config-only"], &subnet[..], &["pattern"]].concat());
    engine.ok(&["network", "create", "--config-from", "pattern", "made"]);
    let told = "{{.ConfigFrom.Network}} {{.ConfigOnly}} {{.Labels.a}} {{(index .IPAM.Config 0).Subnet}}";
    assert_eq!(engine.ok(&["network", "inspect", "made", "-f", told]), "pattern false b 10.213.4.0/24");
    let said = engine.docker(&["run", "--rm", "--network", "pattern", "busybox", "true"]);
    assert!(said.err.contains("cannot create endpoint on configuration-only network"), "{said:?}");
    let said = engine.docker(&["network", "rm", "pattern"]);
    assert!(said.err.contains("configuration network \"pattern\" is in use"), "{said:?}");
    engine.ok(&["network", "prune", "-f"]);
    assert_eq!(engine.ok(&["network", "ls", "-qf", "name=made"]), "");
    engine.ok(&["network", "rm", "pattern"]);
}

#[test]
fn what_makes_no_sense_of_a_network_is_refused_in_dockers_words() {
    let Some(engine) = Engine::with_busybox() else { return };
    for (asked, expected) in [
        (&["default"][..], "operation is not permitted on predefined default network"),
        (&[" "], "invalid name: name is empty"),
        (&["--subnet", "10.78.0.1/16", "n"], "invalid subnet 10.78.0.1/16: it should be 10.78.0.0/16"),
        (
            &["-o", "com.docker.network.bridge.enable_icc=x", "n"],
            "(strconv.ParseBool: parsing \"x\": invalid syntax)",
        ),
        (
            &["-o", "com.docker.network.bridge.gateway_mode_ipv4=routed", "n"],
            "gateway mode routed is not supported",
        ),
        (&["--ipam-driver", "nosuch", "n"], "plugin \"nosuch\" not found"),
        (&["--scope", "swarm", "n"], "cannot create a swarm scoped network when swarm is not active"),
        (&["-d", "overlay", "n"], "This node is not a swarm manager."),
    ] {
        let said = engine.docker(&[&["network", "create"], asked].concat());
        assert!(said.code == 1 && said.err.contains(expected), "{asked:?}: {said:?}");
    }
    let said = engine.docker(&["network", "ls", "-f", "type=x"]);
    assert!(said.err.contains("invalid filter: 'type'='x'"), "{said:?}");
    let gone = serde_json::json!({ "Container": "nobody", "Force": true });
    let (status, answer) = engine.call("POST", "/networks/bridge/disconnect", &gone);
    assert_eq!((status, answer["message"].as_str()), (404, Some("endpoint nobody not found")));
}

#[test]
fn networks_that_came_and_went_leave_nothing() {
    let Some(engine) = Engine::native_with_busybox() else { return };
    let mut cycle = 0;
    let mut pass = || {
        engine.ok(&["network", "create", "--ipv6", "passing"]);
        let published = ["--network", "passing", "-p", "18084:80", "-p", "18084:53/udp"];
        serve(&engine, "guest", &published);
        // Names are asked and pages fetched, so that the resolver and the ports have had something to do.
        let ask = engine.ok(&["exec", "guest", "nslookup", "guest"]);
        assert!(ask.contains("Name:\tguest"), "{ask}");
        eventually("the page comes", || engine.fetch("127.0.0.1:18084"));
        if cycle % 2 == 0 {
            engine.ok(&["network", "disconnect", "passing", "guest"]);
        }
        engine.ok(&["rm", "--force", "guest"]);
        engine.ok(&["network", "rm", "passing"]);
        cycle += 1;
    };
    // The first run of anything may make what stays: chains, the forwarding switch.
    pass();
    pass();
    let has = || (engine.belongings(), open_things(&engine));
    let before = eventually("all is still", || {
        let seen = has();
        (seen == has()).then_some(seen)
    });
    for _ in 0..repeats("BERTH_E2E_CYCLES", 10) {
        pass();
    }
    let mut after = has();
    let gone = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while after != before && std::time::Instant::now() < gone {
        after = has();
    }
    assert_eq!(before, after, "something is left");
}

#[test]
fn a_container_in_the_vm_reaches_no_unnamed_port_of_the_hosts_loopback() {
    let Some(engine) = Engine::machine_with_busybox() else { return };
    let secret = std::net::TcpListener::bind("127.0.0.1:0").expect("a port of the host's loopback");
    let port = secret.local_addr().expect("its address").port();
    // The gateway, and the name for the host, where only named ports lead anywhere.
    for address in ["10.0.2.2", "10.0.2.100"] {
        let script = format!("nc -w 2 {address} {port} < /dev/null && echo reached");
        let said = engine.docker(&["run", "--rm", "busybox", "sh", "-c", &script]);
        assert!(!said.out.contains("reached"), "{address}: {said:?}");
    }
    secret.set_nonblocking(true).expect("look without waiting");
    assert!(secret.accept().is_err(), "somebody connected");
}
