//! What bridges carry and what they don't.

use berth_network::{EndpointWish, IpamWish, NetworkWish};

use crate::world::{MACHINE, NEIGHBOUR, World, ask, ask_udp, run, serve, within};

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
    let wish = NetworkWish { name: "six".to_owned(), ipv6: true, ..NetworkWish::default() };
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
