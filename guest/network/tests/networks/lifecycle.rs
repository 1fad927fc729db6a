//! Networks and sandboxes come and go, and leave nothing.

use berth_network::{Defaults, EndpointWish, IpamWish, Kind, NetworkWish, Pool, PortWish};

use crate::world::{PREFIX, World, ask, ask_here, interfaces, open, rules, run, serve, wish};

#[test]
fn every_engine_has_three_networks() {
    let Some(world) = World::new() else { return };
    let names: Vec<String> = world.networks.list().into_iter().map(|network| network.name).collect();
    assert_eq!(names, ["bridge", "host", "none"]);
    let network = world.networks.find("bridge").unwrap();
    assert_eq!(network.ipam[0].subnet.to_string(), "172.17.0.0/16");
    assert_eq!(world.networks.find(&network.id[..12]).unwrap().id, network.id);
    assert_eq!(std::fs::read_to_string("/proc/sys/net/ipv4/ip_forward").unwrap().trim(), "1");
    let removed = world.networks.remove("host").unwrap_err();
    assert_eq!(removed.to_string(), "host is a pre-defined network and cannot be removed");
}

/// A configuration of the default network with every kind of wish.
fn configured() -> Defaults {
    let ipam = IpamWish {
        subnet: Some("10.77.0.0/24".to_owned()),
        range: Some("10.77.0.128/25".to_owned()),
        gateway: Some("10.77.0.5".to_owned()),
        aux: [("DefaultGatewayIPv4".to_owned(), "10.77.0.9".to_owned())].into(),
    };
    let option = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let options = [
        option("com.docker.network.driver.mtu", "1400"),
        option("com.docker.network.bridge.host_binding_ipv4", "127.0.0.1"),
    ];
    let bridge = NetworkWish { ipam: vec![ipam], options: options.into(), ..NetworkWish::default() };
    let pools = vec![Pool { base: "10.99.0.0/16".parse().unwrap(), size: 26 }];
    let options = [("bridge".to_owned(), [option("com.docker.network.driver.mtu", "1300")].into())].into();
    Defaults { pools, bridge, options, ..Defaults::default() }
}

#[test]
fn the_default_network_follows_the_configuration_once_nobody_is_in_it() {
    let Some(world) = World::new() else { return };
    let (_, before) = world.container("one", "bridge");
    let alive = world.alive("one");
    let world = world.crash_configured(configured());
    world.networks.restore(vec![alive]).unwrap();
    assert_eq!(world.networks.find("bridge").unwrap().ipam[0].subnet.to_string(), "172.17.0.0/16");
    assert_eq!(world.networks.endpoints("one"), [before]);

    let world = world.crash_configured(configured());
    world.networks.restore(Vec::new()).unwrap();
    let (_, at) = world.container("two", "bridge");
    assert_eq!(at.ipv4.unwrap(), ("10.77.0.128".parse().unwrap(), 24));
    assert_eq!(at.gateway, Some("10.77.0.9".parse().unwrap()), "the router that isn't the bridge");
    let link = std::process::Command::new("ip").args(["-o", "addr", "show", &format!("{PREFIX}0")]).output();
    let link = String::from_utf8(link.unwrap().stdout).unwrap();
    assert!(link.contains("10.77.0.5/24") && !link.contains("172.17."), "{link}");
    let port = PortWish { host_ip: None, ..wish(0, 80) };
    let open = world.networks.publish("two", &[port]).unwrap();
    assert_eq!(open.iter().map(|port| port.host_ip.to_string()).collect::<Vec<_>>(), ["127.0.0.1"]);

    let other = world.network("other");
    assert_eq!(other.ipam[0].subnet.to_string(), "10.99.0.0/26");
    assert_eq!(other.options["com.docker.network.driver.mtu"], "1300");

    let world = world.crash();
    world.networks.restore(Vec::new()).unwrap();
    assert_eq!(world.networks.find("bridge").unwrap().ipam[0].subnet.to_string(), "172.17.0.0/16");
}

#[test]
fn mistakes_are_told_in_dockers_words() {
    let Some(world) = World::new() else { return };
    world.network("mine");
    let named = |name: &str| NetworkWish { name: name.to_owned(), ..NetworkWish::default() };
    let again = world.networks.create(named("mine")).unwrap_err();
    assert_eq!(again.to_string(), "network with name mine already exists");
    assert_eq!(again.kind(), Kind::Conflict);
    let missing = world.networks.find("nowhere").unwrap_err();
    assert_eq!(missing.to_string(), "network nowhere not found");
    assert_eq!(missing.kind(), Kind::NotFound);
    let ipam = vec![IpamWish { subnet: Some("172.17.5.0/24".to_owned()), ..IpamWish::default() }];
    let overlap = world.networks.create(NetworkWish { ipam, ..named("other") }).unwrap_err();
    assert_eq!(
        overlap.to_string(),
        "invalid pool request: Pool overlaps with other one on this address space"
    );
    world.container("one", "mine");
    let used = world.networks.remove("mine").unwrap_err();
    assert_eq!(used.to_string(), "error while removing network: network mine has active endpoints");
    let twice = world.networks.join("one", "mine", &EndpointWish::default()).unwrap_err();
    assert_eq!(twice.to_string(), "endpoint with name one already exists in network mine");
    world.networks.leave("one", "mine").unwrap();
    world.networks.remove("mine").unwrap();
}

#[test]
fn nothing_is_left_of_a_container() {
    let Some(world) = World::new() else { return };
    world.network("other");
    let before = (interfaces(), rules());
    let (path, _) = world.container("one", "bridge");
    world.networks.join("one", "other", &EndpointWish::default()).unwrap();
    assert_eq!(world.networks.open_sandbox("one").unwrap(), path, "twice is fine");
    assert_eq!(interfaces().len(), before.0.len() + 2);
    world.networks.close_sandbox("one").unwrap();
    world.networks.close_sandbox("one").unwrap();
    world.networks.settle();
    assert_eq!((interfaces(), rules()), before);
    assert!(!path.exists());
    let (_, again) = world.container("two", "bridge");
    assert_eq!(again.ipv4.unwrap().0.to_string(), "172.17.0.2", "the address is free again");
}

#[test]
fn the_way_out_moves_with_the_networks() {
    let Some(world) = World::new() else { return };
    world.network("other");
    let (path, _) = world.container("one", "bridge");
    let second = world.networks.join("one", "other", &EndpointWish::default()).unwrap();
    assert_eq!(second.interface, "eth1");
    let route = || run("nsenter", &[&format!("--net={}", path.display()), "ip", "route", "show", "default"]);
    assert_eq!(route().trim(), "default via 172.17.0.1 dev eth0");
    world.networks.leave("one", "bridge").unwrap();
    assert_eq!(route().trim(), "default via 172.18.0.1 dev eth1");
    let back = world.networks.join("one", "bridge", &EndpointWish::default()).unwrap();
    assert_eq!(back.interface, "eth0");
    assert_eq!(route().trim(), "default via 172.17.0.1 dev eth0", "of equals the first by name");
    world.network("a-third");
    for (priority, way_out) in [(-1, "eth0"), (1, "eth2")] {
        let wish = EndpointWish { priority, ..EndpointWish::default() };
        world.networks.join("one", "a-third", &wish).unwrap();
        assert!(route().trim().ends_with(way_out), "{}", route());
        world.networks.leave("one", "a-third").unwrap();
        assert!(route().trim().ends_with("eth0"), "{}", route());
    }
}

#[test]
fn host_and_none_have_members_without_interfaces() {
    let Some(world) = World::new() else { return };
    let (_, at) = world.container("one", "none");
    assert_eq!((at.interface.as_str(), at.ipv4), ("", None));
    assert_eq!(world.networks.members("none").unwrap().len(), 1);
    assert!(world.networks.publish("one", &[wish(8080, 80)]).unwrap().is_empty());
    world.networks.leave("one", "none").unwrap();
    world.networks.close_sandbox("one").unwrap();
}

#[test]
fn a_crash_costs_the_living_nothing_and_the_dead_everything() {
    let Some(world) = World::new() else { return };
    let network = world.network("mine");
    let (server, at) = world.container("server", "mine");
    let (client, _) = world.container("client", "mine");
    let (dead, _) = world.container("dead", "bridge");
    serve(&server, 80);
    world.networks.publish("server", &[wish(8080, 80)]).unwrap();
    world.networks.publish("dead", &[wish(9090, 80)]).unwrap();
    let alive = vec![world.alive("server"), world.alive("client")];
    let address = at.ipv4.unwrap().0.to_string();

    let world = world.crash();
    assert_eq!(ask_here("127.0.0.1", 8080).as_deref(), Some("172.18.0.1"), "also between the engines");
    world.networks.restore(alive).unwrap();

    assert_eq!(world.networks.find("mine").unwrap(), network);
    assert!(!dead.exists());
    assert!(!rules().contains("9090"));
    assert_eq!(interfaces().iter().filter(|name| name.starts_with(&format!("{PREFIX}v"))).count(), 2);
    assert!(ask(&client, &address, 80).is_some());
    assert_eq!(ask_here("127.0.0.1", 8080).as_deref(), Some("172.18.0.1"));
    assert_eq!(world.container("next", "mine").1.ipv4.unwrap().0.to_string(), "172.18.0.4");
    let taken = world.networks.publish("next", &[wish(8080, 80)]).unwrap_err();
    assert_eq!(taken.to_string(), "Bind for 0.0.0.0:8080 failed: port is already allocated");
    world.networks.close_sandbox("server").unwrap();
    assert_eq!(ask_here("127.0.0.1", 8080), None);
}

#[test]
fn after_a_power_cut_networks_are_built_from_their_records() {
    let Some(world) = World::new() else { return };
    let network = world.network("mine");
    let bridge = network.bridge.clone().unwrap();
    run("ip", &["link", "del", &bridge]);
    run("nft", &["flush", "ruleset"]);
    let world = world.crash();
    world.networks.restore(Vec::new()).unwrap();
    assert!(interfaces().contains(&bridge));
    assert_eq!(world.networks.find("mine").unwrap(), network);
    assert_eq!(world.container("one", "mine").1.ipv4.unwrap().0.to_string(), "172.18.0.2");
}

#[test]
fn pools_keep_clear_of_the_hosts_networks() {
    let Some(world) = World::new() else { return };
    run("ip", &["link", "add", "lan", "type", "bridge"]);
    run("ip", &["address", "add", "172.18.9.1/24", "dev", "lan"]);
    run("ip", &["link", "set", "lan", "up"]);
    assert_eq!(world.network("mine").ipam[0].subnet.to_string(), "172.19.0.0/16");
    run("ip", &["link", "del", &format!("{PREFIX}0")]);
    let world =
        world.crash_avoiding(vec!["172.17.0.0/24".parse().unwrap(), "172.20.0.0/16".parse().unwrap()]);
    assert_eq!(world.networks.find("bridge").unwrap().ipam[0].subnet.to_string(), "172.21.0.0/16");
}

#[test]
fn a_hundred_networks_leave_nothing() {
    let Some(world) = World::new() else { return };
    let before = (interfaces(), rules());
    for _ in 0..100 {
        world.network("brief");
        world.container("one", "brief");
        world.networks.close_sandbox("one").unwrap();
        world.networks.remove("brief").unwrap();
    }
    world.networks.settle();
    assert_eq!((interfaces(), rules()), before);
}

#[test]
fn two_engines_on_one_machine_dont_meet() {
    let Some(world) = World::new() else { return };
    let (server, _) = world.container("server", "bridge");
    serve(&server, 80);
    world.networks.publish("server", &[wish(8080, 80)]).unwrap();
    let folder = tempfile::TempDir::new().unwrap();
    let second = open(folder.path(), "snd", Vec::new());
    second.restore(Vec::new()).unwrap();
    assert_eq!(second.find("bridge").unwrap().ipam[0].subnet.to_string(), "172.18.0.0/16");
    second.open_sandbox("server").unwrap();
    second.join("server", "bridge", &EndpointWish::default()).unwrap();
    let taken = second.publish("server", &[wish(8080, 80)]).unwrap_err().to_string();
    assert!(taken.ends_with("0.0.0.0:8080:172.18.0.2:80/tcp: address already in use"), "{taken}");
    second.close_sandbox("server").unwrap();
    assert_eq!(ask_here("127.0.0.1", 8080).as_deref(), Some("172.17.0.1"));
}

#[test]
fn rules_of_others_are_left_alone() {
    let Some(world) = World::new() else { return };
    run("nft", &["add", "table", "inet", "theirs"]);
    run("nft", &["add", "chain", "inet", "theirs", "quiet"]);
    world.network("mine");
    world.container("one", "mine");
    world.networks.publish("one", &[wish(8080, 80)]).unwrap();
    world.networks.close_sandbox("one").unwrap();
    assert!(rules().contains("table inet theirs {\n\tchain quiet {"), "{}", rules());
}
