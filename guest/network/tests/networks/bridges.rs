//! What bridges carry and what they don't.

use std::path::Path;

use berth_network::{EndpointWish, IpamWish, NetworkWish, PortWish};

use crate::world::{MACHINE, NEIGHBOUR, World, ask, ask_udp, run, serve, wish as wish_port, within};

#[test]
fn containers_of_one_bridge_talk() {
    let Some(world) = World::new() else { return };
    let (server, at) = world.container("server", "bridge");
    let (client, from) = world.container("client", "bridge");
    serve(&server, 80);
    assert_eq!(at.ipv4.unwrap(), ("172.17.0.2".parse().unwrap(), 16));
    assert_eq!(at.mac.unwrap().to_string(), "02:42:ac:11:00:02");
    assert_eq!(at.interface, "eth0");
    assert_eq!(at.gateway, Some("172.17.0.1".parse().unwrap()));
    let seen = Some(from.ipv4.unwrap().0.to_string());
    assert_eq!(ask(&client, "172.17.0.2", 80), seen);
    assert_eq!(ask_udp(&client, "172.17.0.2", 80), seen);
    assert_eq!(ask(&server, "127.0.0.1", 80).as_deref(), Some("127.0.0.1"), "loopback is up");
}

#[test]
fn the_way_out_has_the_machines_address() {
    let Some((world, neighbour)) = World::with_neighbour() else { return };
    let (client, _) = world.container("client", "bridge");
    serve(&neighbour, 80);
    assert_eq!(ask(&client, NEIGHBOUR, 80).as_deref(), Some(MACHINE));
    assert_eq!(ask_udp(&client, NEIGHBOUR, 80).as_deref(), Some(MACHINE));
}

#[test]
fn nobody_outside_reaches_an_unpublished_port() {
    let Some((world, neighbour)) = World::with_neighbour() else { return };
    let (server, _) = world.container("server", "bridge");
    serve(&server, 80);
    let net = format!("--net={}", neighbour.display());
    run("nsenter", &[&net, "ip", "route", "add", "172.17.0.0/16", "via", MACHINE]);
    assert_eq!(ask(&neighbour, "172.17.0.2", 80), None);
}

#[test]
fn bridges_are_isolated_from_each_other() {
    let Some(world) = World::new() else { return };
    world.network("other");
    let (server, at) = world.container("server", "other");
    let (client, _) = world.container("client", "bridge");
    serve(&server, 80);
    assert_eq!(at.ipv4.unwrap().0.to_string(), "172.18.0.2");
    assert_eq!(ask(&client, "172.18.0.2", 80), None);
    assert_eq!(ask_udp(&client, "172.18.0.2", 80), None);
    world.networks.join("client", "other", &EndpointWish::default()).unwrap();
    assert_eq!(ask(&client, "172.18.0.2", 80).as_deref(), Some("172.18.0.3"), "joined live");
}

#[test]
fn an_internal_network_has_no_way_out() {
    let Some((world, neighbour)) = World::with_neighbour() else { return };
    let wish = NetworkWish { name: "inner".to_owned(), internal: true, ..NetworkWish::default() };
    world.networks.create(wish).unwrap();
    let (client, at) = world.container("client", "inner");
    let (server, _) = world.container("server", "inner");
    serve(&neighbour, 80);
    serve(&server, 80);
    assert_eq!(at.gateway, None);
    assert_eq!(ask(&client, NEIGHBOUR, 80), None);
    assert_eq!(ask(&client, "172.18.0.3", 80).as_deref(), Some("172.18.0.2"));
    let net = format!("--net={}", client.display());
    run("nsenter", &[&net, "ip", "route", "add", "default", "via", "172.18.0.1"]);
    assert_eq!(ask(&client, NEIGHBOUR, 80), None, "not even with a route of its own");
}

#[test]
fn without_icc_containers_reach_outside_but_not_each_other() {
    let Some((world, neighbour)) = World::with_neighbour() else { return };
    let options = [("com.docker.network.bridge.enable_icc".to_owned(), "false".to_owned())].into();
    world
        .networks
        .create(NetworkWish { name: "apart".to_owned(), options, ..NetworkWish::default() })
        .unwrap();
    let (server, _) = world.container("server", "apart");
    let (client, _) = world.container("client", "apart");
    serve(&server, 80);
    serve(&neighbour, 80);
    assert_eq!(ask(&client, "172.18.0.2", 80), None);
    assert_eq!(ask(&client, NEIGHBOUR, 80).as_deref(), Some(MACHINE));
}

#[test]
fn addresses_and_mtu_are_as_asked() {
    let Some(world) = World::new() else { return };
    let ipam = vec![IpamWish {
        subnet: Some("10.9.0.0/16".to_owned()),
        range: Some("10.9.5.0/24".to_owned()),
        gateway: Some("10.9.0.254".to_owned()),
        aux: [("router".to_owned(), "10.9.5.0".to_owned())].into(),
    }];
    let options = [("com.docker.network.driver.mtu".to_owned(), "1400".to_owned())].into();
    let wish = NetworkWish { name: "mine".to_owned(), ipam, options, ..NetworkWish::default() };
    world.networks.create(wish).unwrap();
    let (one, at) = world.container("one", "mine");
    assert_eq!(at.ipv4.unwrap().0.to_string(), "10.9.5.1");
    let fixed = EndpointWish {
        ipv4: Some("10.9.7.7".parse().unwrap()),
        mac: Some("02:00:00:00:00:07".parse().unwrap()),
        ..EndpointWish::default()
    };
    let two = world.networks.open_sandbox("two").unwrap();
    let at = world.networks.join("two", "mine", &fixed).unwrap();
    assert_eq!(at.ipv4.unwrap(), ("10.9.7.7".parse().unwrap(), 16));
    let shown = run("nsenter", &[&format!("--net={}", two.display()), "ip", "address", "show", "eth0"]);
    assert!(shown.contains("mtu 1400") && shown.contains("02:00:00:00:00:07"), "{shown}");
    assert!(shown.contains("inet 10.9.7.7/16 brd 10.9.255.255"), "{shown}");
    serve(&two, 80);
    assert_eq!(ask(&one, "10.9.7.7", 80).as_deref(), Some("10.9.5.1"));
    world.networks.open_sandbox("three").unwrap();
    let again = world.networks.join("three", "mine", &fixed).unwrap_err();
    assert_eq!(again.to_string(), "Address already in use");
    let default = world.networks.join("three", "bridge", &fixed).unwrap_err();
    assert_eq!(default.to_string(), "user specified IP address is supported on user defined networks only");
}

#[test]
fn two_families_when_asked() {
    let Some(world) = World::new() else { return };
    let wish = NetworkWish { name: "six".to_owned(), ipv6: Some(true), ..NetworkWish::default() };
    let network = world.networks.create(wish).unwrap();
    let (server, at) = world.container("server", "six");
    let (client, from) = world.container("client", "six");
    serve(&server, 80);
    let (address, length) = at.ipv6.unwrap();
    assert_eq!(length, 64);
    assert!(network.ipam.iter().any(|ipam| ipam.subnet.contains(address.into())));
    assert_eq!(ask(&client, &address.to_string(), 80), Some(from.ipv6.unwrap().0.to_string()));
    let (plain, _) = world.container("plain", "bridge");
    let shown = within(&plain, || std::fs::read_to_string("/proc/thread-self/net/if_inet6")).unwrap();
    assert!(!shown.contains("eth0"), "{shown}");
}

#[test]
fn a_network_of_ipv6_alone_publishes_at_ipv6_alone() {
    let Some(world) = World::new() else { return };
    let wish =
        NetworkWish { name: "six".to_owned(), ipv4: Some(false), ipv6: Some(true), ..NetworkWish::default() };
    let network = world.networks.create(wish).unwrap();
    assert!(network.ipam.iter().all(|ipam| ipam.subnet.network().is_ipv6()), "{network:?}");
    let (server, at) = world.container("server", "six");
    assert_eq!((at.ipv4, at.gateway), (None, None));
    let (client, from) = world.container("client", "six");
    serve(&server, 80);
    let address = at.ipv6.unwrap().0.to_string();
    assert_eq!(ask(&client, &address, 80), Some(from.ipv6.unwrap().0.to_string()));
    let any = PortWish { host_ip: None, ..wish_port(8080, 80) };
    let ports = world.networks.publish("server", &[any, wish_port(8081, 80)]).unwrap();
    let shown: Vec<String> =
        ports.iter().map(|port| format!("{} {}", port.host_ip, port.host_port)).collect();
    assert_eq!(shown, [":: 8080"], "an address of IPv4 leads nowhere");
    let here = Path::new("/proc/thread-self/ns/net");
    assert!(ask(here, "::1", 8080).is_some());
    assert_eq!(ask(here, "127.0.0.1", 8080), None);
}

#[test]
fn who_gets_anothers_address_is_reached_at_it_at_once() {
    let Some(world) = World::new() else { return };
    let wish =
        NetworkWish { name: "six".to_owned(), ipv4: Some(false), ipv6: Some(true), ..NetworkWish::default() };
    world.networks.create(wish).unwrap();
    let (client, _) = world.container("client", "six");
    let reach = |name: &str| {
        let (server, at) = world.container(name, "six");
        serve(&server, 80);
        let address = at.ipv6.unwrap().0.to_string();
        let answer = ask(&client, &address, 80);
        assert!(answer.is_some(), "{name} at {address}");
        (address, at.mac)
    };
    let (first, card) = reach("first");
    world.networks.leave("first", "six").unwrap();
    let (second, other_card) = reach("second");
    assert_eq!(first, second);
    assert_ne!(card, other_card);
}

#[test]
fn nobody_gets_a_network_without_addresses() {
    let Some(world) = World::new() else { return };
    let refused = |wish: NetworkWish| {
        world.networks.create(NetworkWish { name: "odd".to_owned(), ..wish }).unwrap_err().to_string()
    };
    let none = NetworkWish { ipv4: Some(false), ..NetworkWish::default() };
    assert_eq!(refused(none), "IPv4 or IPv6 must be enabled");
    let nobody = NetworkWish { ipam_driver: "null".to_owned(), ..NetworkWish::default() };
    assert_eq!(refused(nobody), "ipv4 pool is empty");
    let two = ["10.79.0.0/16", "10.82.0.0/16"]
        .map(|subnet| IpamWish { subnet: Some(subnet.to_owned()), ..IpamWish::default() });
    let several = NetworkWish { ipam: two.into(), ..NetworkWish::default() };
    assert_eq!(refused(several), "bridge driver doesn't support multiple subnets");
    let local = IpamWish { subnet: Some("fe80::/80".to_owned()), ..IpamWish::default() };
    let local = NetworkWish { ipv6: Some(true), ipam: vec![local], ..NetworkWish::default() };
    assert_eq!(refused(local), "'fe80::/80' clashes with the Link-Local prefix 'fe80::/64'");
    assert_eq!(world.networks.list().len(), 3, "nothing is left of any");
}

#[test]
fn an_unprotected_network_is_open_to_the_outside_but_not_to_other_bridges() {
    let Some((world, neighbour)) = World::with_neighbour() else { return };
    world.networks.create(with_option("open", "bridge.gateway_mode_ipv4", "nat-unprotected")).unwrap();
    let (server, _) = world.container("server", "open");
    let (client, _) = world.container("client", "bridge");
    serve(&server, 80);
    let net = format!("--net={}", neighbour.display());
    run("nsenter", &[&net, "ip", "route", "add", "172.18.0.0/16", "via", MACHINE]);
    assert_eq!(ask(&neighbour, "172.18.0.2", 80).as_deref(), Some(NEIGHBOUR));
    assert_eq!(ask(&client, "172.18.0.2", 80), None);
}

#[test]
fn an_isolated_network_has_no_address_of_the_machines() {
    let Some(world) = World::new() else { return };
    let wish = with_option("apart", "bridge.gateway_mode_ipv4", "isolated");
    let refused = world.networks.create(wish.clone()).unwrap_err().to_string();
    assert_eq!(refused, "gateway mode 'isolated' can only be used for an internal network");
    let network = world.networks.create(NetworkWish { internal: true, ..wish }).unwrap();
    assert_eq!(network.ipam[0].gateway, None);
    let shown = run("ip", &["address", "show", network.bridge.as_deref().unwrap()]);
    assert!(!shown.contains("inet "), "{shown}");
    let (server, at) = world.container("server", "apart");
    let (client, from) = world.container("client", "apart");
    serve(&server, 80);
    let address = at.ipv4.unwrap().0.to_string();
    assert_eq!(ask(&client, &address, 80), Some(from.ipv4.unwrap().0.to_string()));
    assert_eq!(ask(Path::new("/proc/thread-self/ns/net"), &address, 80), None);
}

#[test]
fn packets_leave_with_the_address_that_was_asked_for() {
    let Some((world, neighbour)) = World::with_neighbour() else { return };
    run("ip", &["address", "add", "203.0.113.7/24", "dev", "eth0"]);
    world.networks.create(with_option("seven", "host_ipv4", "203.0.113.7")).unwrap();
    let (client, _) = world.container("client", "seven");
    serve(&neighbour, 80);
    assert_eq!(ask(&client, NEIGHBOUR, 80).as_deref(), Some("203.0.113.7"));
}

#[test]
fn interfaces_and_bridges_are_called_as_asked() {
    let Some(world) = World::new() else { return };
    world.networks.create(with_option("wide", "container_iface_prefix", "wan")).unwrap();
    assert_eq!(world.container("one", "wide").1.interface, "wan0");
    world.networks.create(with_option("mine", "bridge.name", "mybridge")).unwrap();
    let refused = world.networks.create(with_option("yours", "bridge.name", "mybridge")).unwrap_err();
    assert!(refused.to_string().ends_with("networks have same bridge name"), "{refused}");
    let silent = world.networks.create(with_option("silent", "bridge.inhibit_ipv4", "true")).unwrap();
    let shown = run("ip", &["address", "show", silent.bridge.as_deref().unwrap()]);
    assert!(!shown.contains("inet "), "{shown}");
}

#[test]
fn a_network_is_made_by_a_pattern_which_nobody_joins() {
    let Some(world) = World::new() else { return };
    let ipam = IpamWish {
        subnet: Some("10.90.0.0/24".to_owned()),
        gateway: Some("10.90.0.9".to_owned()),
        ..IpamWish::default()
    };
    let pattern = NetworkWish {
        config_only: true,
        ipam: vec![ipam],
        labels: [("a".to_owned(), "b".to_owned())].into(),
        ..with_option("pattern", "driver.mtu", "1400")
    };
    let operated = world.networks.create(NetworkWish { internal: true, ..pattern.clone() }).unwrap_err();
    assert!(operated.to_string().starts_with("configuration network can only contain"), "{operated}");
    world.networks.create(pattern).unwrap();
    let by = |name: &str, pattern: &str| NetworkWish {
        name: name.to_owned(),
        config_from: pattern.to_owned(),
        ..NetworkWish::default()
    };
    let missing = world.networks.create(by("made", "nowhere")).unwrap_err();
    assert_eq!(missing.to_string(), "configuration network \"nowhere\" does not exist");
    let made = world.networks.create(by("made", "pattern")).unwrap();
    assert_eq!(made.ipam[0].gateway, Some("10.90.0.9".parse().unwrap()));
    assert_eq!((made.labels["a"].as_str(), made.options.len()), ("b", 1));
    assert_eq!(world.container("one", "made").1.ipv4.unwrap().0.to_string(), "10.90.0.1");
    world.networks.open_sandbox("two").unwrap();
    let refused = world.networks.join("two", "pattern", &EndpointWish::default()).unwrap_err();
    assert_eq!(refused.to_string(), "cannot create endpoint on configuration-only network");
    let used = world.networks.remove("pattern").unwrap_err();
    assert!(used.to_string().ends_with("configuration network \"pattern\" is in use"), "{used}");
    let world = world.crash();
    assert!(world.networks.find("pattern").unwrap().config_only);
    assert_eq!(world.networks.find("made").unwrap().config_from, "pattern");
}

/// A network with one option of the driver.
fn with_option(name: &str, option: &str, value: &str) -> NetworkWish {
    let options = [(format!("com.docker.network.{option}"), value.to_owned())].into();
    NetworkWish { name: name.to_owned(), options, ..NetworkWish::default() }
}
