//! Published ports, by the kernel's translation.

use std::net::{TcpListener, UdpSocket};
use std::path::Path;
use std::time::Duration;

use berth_network::publish::Transport;
use berth_network::{EndpointWish, PortWish};

use crate::world::{
    MACHINE, NEIGHBOUR, World, ask, ask_here, ask_udp, ask_udp_here, rules, serve, wish, within,
};

#[test]
fn a_published_port_is_reached_from_everywhere() {
    let Some((world, neighbour)) = World::with_neighbour() else { return };
    ask_from_everywhere(&world, &neighbour);
}

#[test]
fn a_published_port_is_reached_where_bridges_dont_ask_netfilter() {
    let Some((world, neighbour)) = World::with_neighbour() else { return };
    // Without the module it is so anyway.
    let _ = std::fs::write("/proc/sys/net/bridge/bridge-nf-call-iptables", "0");
    ask_from_everywhere(&world, &neighbour);
}

fn ask_from_everywhere(world: &World, neighbour: &Path) {
    world.network("other");
    let (server, _) = world.container("server", "bridge");
    let (same, _) = world.container("same", "bridge");
    let (other, _) = world.container("other", "other");
    serve(&server, 80);
    let ports = world.networks.publish("server", &[wish(8080, 80)]).unwrap();
    assert_eq!(ports.len(), 1);
    assert_eq!(ports[0].host_port, 8080);
    assert_eq!(ask(neighbour, MACHINE, 8080).as_deref(), Some(NEIGHBOUR), "with the peer's own address");
    assert_eq!(ask_here(MACHINE, 8080).as_deref(), Some(MACHINE), "from the machine");
    assert_eq!(ask_here("127.0.0.1", 8080).as_deref(), Some("172.17.0.1"), "loopback, as the gateway");
    assert_eq!(
        ask(&same, "172.17.0.1", 8080).as_deref(),
        Some("172.17.0.1"),
        "from a neighbour on the bridge"
    );
    assert_eq!(ask(&same, MACHINE, 8080).as_deref(), Some("172.17.0.1"));
    assert_eq!(ask(&server, MACHINE, 8080).as_deref(), Some("172.17.0.1"), "from itself");
    assert_eq!(
        ask(&other, MACHINE, 8080).as_deref(),
        Some("172.17.0.1"),
        "from another bridge, as in Docker"
    );
    world.networks.close_sandbox("server").unwrap();
    assert_eq!(ask(neighbour, MACHINE, 8080), None);
    assert_eq!(ask_here("127.0.0.1", 8080), None);
}

#[test]
fn a_port_that_was_closed_is_free_at_once() {
    let Some(world) = World::new() else { return };
    for _ in 0..50 {
        world.container("server", "bridge");
        let udp = PortWish { transport: Transport::Udp, ..wish(8080, 80) };
        world.networks.publish("server", &[wish(8080, 80), udp]).unwrap();
        world.networks.close_sandbox("server").unwrap();
        TcpListener::bind(("0.0.0.0", 8080)).unwrap();
        UdpSocket::bind(("0.0.0.0", 8080)).unwrap();
    }
}

#[test]
fn udp_is_published_too() {
    let Some((world, neighbour)) = World::with_neighbour() else { return };
    let (server, _) = world.container("server", "bridge");
    serve(&server, 53);
    let udp = PortWish { transport: Transport::Udp, host_ip: None, ..wish(5353, 53) };
    world.networks.publish("server", &[udp]).unwrap();
    assert_eq!(ask_udp(&neighbour, MACHINE, 5353).as_deref(), Some(NEIGHBOUR));
    assert_eq!(ask_udp_here("127.0.0.1", 5353).as_deref(), Some("172.17.0.1"));
    assert_eq!(ask_udp(&server, MACHINE, 5353).as_deref(), Some("172.17.0.1"));
    // From IPv6 to a container without it, copied; answers find back to each peer.
    assert_eq!(ask_udp_here("::1", 5353).as_deref(), Some("172.17.0.1"));
    assert_eq!(ask_udp_here("::1", 5353).as_deref(), Some("172.17.0.1"));
}

#[test]
fn an_old_flow_of_datagrams_finds_the_ports_next_container() {
    let Some((world, neighbour)) = World::with_neighbour() else { return };
    let udp = [PortWish { transport: Transport::Udp, ..wish(5353, 53) }];
    let (first, _) = world.container("first", "bridge");
    let (second, _) = world.container("second", "bridge");
    serve(&first, 53);
    serve(&second, 53);
    let socket = within(&neighbour, || UdpSocket::bind("0.0.0.0:0")).unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(1500))).unwrap();
    let ask = || {
        socket.send_to(b"?", (MACHINE, 5353)).unwrap();
        socket.recv_from(&mut [0; 64]).is_ok()
    };
    world.networks.publish("first", &udp).unwrap();
    assert!(ask());
    world.networks.close_sandbox("first").unwrap();
    world.networks.publish("second", &udp).unwrap();
    assert!(ask());
}

#[test]
fn a_port_on_loopback_is_for_this_machine_alone() {
    let Some((world, neighbour)) = World::with_neighbour() else { return };
    let (server, _) = world.container("server", "bridge");
    serve(&server, 80);
    let host_ip = Some("127.0.0.1".parse().unwrap());
    world.networks.publish("server", &[PortWish { host_ip, ..wish(8080, 80) }]).unwrap();
    assert_eq!(ask_here("127.0.0.1", 8080).as_deref(), Some("172.17.0.1"));
    assert_eq!(ask(&neighbour, MACHINE, 8080), None);
    let net = format!("--net={}", neighbour.display());
    crate::world::run("nsenter", &[&net, "ip", "route", "add", "127.0.0.8/32", "via", MACHINE]);
    assert_eq!(ask(&neighbour, "127.0.0.8", 8080), None);
}

#[test]
fn conflicts_are_told_in_dockers_words() {
    let Some(world) = World::new() else { return };
    world.container("one", "bridge");
    world.container("two", "bridge");
    world.networks.publish("one", &[wish(8080, 80)]).unwrap();
    let ours = world.networks.publish("two", &[wish(8080, 80)]).unwrap_err();
    assert_eq!(ours.to_string(), "Bind for 0.0.0.0:8080 failed: port is already allocated");
    let narrow = PortWish { host_ip: Some("127.0.0.9".parse().unwrap()), ..wish(8080, 80) };
    let ours = world.networks.publish("two", &[narrow]).unwrap_err();
    assert_eq!(
        ours.to_string(),
        "Bind for 0.0.0.0:8080 failed: port is already allocated",
        "where it is held"
    );
    let _foreign = TcpListener::bind("0.0.0.0:9090").unwrap();
    let theirs = world.networks.publish("two", &[wish(7070, 70), wish(9090, 80)]).unwrap_err();
    let said = "failed to bind host port for 0.0.0.0:9090:172.17.0.3:80/tcp: address already in use";
    assert_eq!(theirs.to_string(), said);
    assert!(!rules().contains("7070"), "all or none");
    assert!(rules().contains("8080"), "the others stay");
    assert!(TcpListener::bind("0.0.0.0:8080").is_err(), "the port is reserved");
}

#[test]
fn random_ports_and_ranges_find_free_ones() {
    let Some(world) = World::new() else { return };
    let (server, _) = world.container("server", "bridge");
    serve(&server, 80);
    let foreign = TcpListener::bind("0.0.0.0:8001").unwrap();
    world.container("one", "bridge");
    world.networks.publish("one", &[wish(8000, 80)]).unwrap();
    let range = PortWish { host_ports: 8000..=8002, ..wish(0, 80) };
    let ports = world.networks.publish("server", &[wish(0, 80), range.clone()]).unwrap();
    assert_ne!(ports[0].host_port, 0);
    assert_eq!(ports[1].host_port, 8002, "the first is ours, the second somebody's");
    assert_eq!(ask_here("127.0.0.1", ports[0].host_port).as_deref(), Some("172.17.0.1"));
    assert_eq!(ask_here("127.0.0.1", 8002).as_deref(), Some("172.17.0.1"));
    let none = world.networks.publish("server", &[PortWish { host_ports: 8002..=8002, ..range.clone() }]);
    assert_eq!(none.unwrap_err().to_string(), "Bind for 0.0.0.0:8002 failed: port is already allocated");
    drop(foreign);
    world.networks.publish("one", std::slice::from_ref(&range)).unwrap();
    assert_eq!(
        world.networks.publish("server", &[range]).unwrap_err().to_string(),
        "all ports are allocated"
    );
}

#[test]
fn every_address_of_both_families_leads_to_the_container() {
    let Some(world) = World::new() else { return };
    let (server, _) = world.container("server", "bridge");
    serve(&server, 80);
    let ports = world.networks.publish("server", &[PortWish { host_ip: None, ..wish(0, 80) }]).unwrap();
    assert_eq!(ports.len(), 2, "{ports:?}");
    assert_eq!(ports[0].host_port, ports[1].host_port);
    assert_eq!(ask_here("127.0.0.1", ports[0].host_port).as_deref(), Some("172.17.0.1"));
    assert_eq!(ask_here("::1", ports[1].host_port).as_deref(), Some("172.17.0.1"));
}

#[test]
fn a_port_follows_its_container_between_networks() {
    let Some(world) = World::new() else { return };
    world.network("other");
    let (server, _) = world.container("server", "bridge");
    serve(&server, 80);
    let ports = world.networks.publish("server", &[wish(0, 80)]).unwrap();
    let port = ports[0].host_port;
    world.networks.join("server", "other", &EndpointWish::default()).unwrap();
    assert_eq!(ask_here("127.0.0.1", port).as_deref(), Some("172.17.0.1"));
    world.networks.leave("server", "bridge").unwrap();
    assert_eq!(ask_here("127.0.0.1", port).as_deref(), Some("172.18.0.1"));
    assert_eq!(world.networks.published("server"), ports);
}

#[test]
fn a_container_cannot_reach_the_machines_loopback() {
    let Some(world) = World::new() else { return };
    let (server, _) = world.container("server", "bridge");
    serve(&server, 80);
    world.networks.publish("server", &[wish(8080, 80)]).unwrap();
    serve(Path::new("/proc/thread-self/ns/net"), 6000);
    assert_eq!(ask_here("127.0.0.5", 6000).as_deref(), Some("127.0.0.1"));
    let net = format!("--net={}", server.display());
    let ip = |arguments: &[&str]| {
        crate::world::run("nsenter", &[&[net.as_str()], arguments].concat());
    };
    ip(&["sysctl", "-q", "net.ipv4.conf.all.route_localnet=1"]);
    ip(&["ip", "route", "del", "local", "127.0.0.0/8", "table", "local"]);
    ip(&["ip", "route", "add", "127.0.0.0/8", "via", "172.17.0.1", "src", "172.17.0.2"]);
    assert_eq!(ask(&server, "127.0.0.5", 6000), None);
}

#[test]
fn a_thousand_ports_at_once() {
    let Some(world) = World::new() else { return };
    let (server, _) = world.container("server", "bridge");
    serve(&server, 80);
    let wishes: Vec<PortWish> = (10_000..11_000).map(|port| wish(port, 80)).collect();
    let began = std::time::Instant::now();
    assert_eq!(world.networks.publish("server", &wishes).unwrap().len(), 1000);
    println!("opened in {:?}", began.elapsed());
    assert_eq!(ask_here("127.0.0.1", 10_999).as_deref(), Some("172.17.0.1"));
    let began = std::time::Instant::now();
    world.networks.close_sandbox("server").unwrap();
    println!("closed in {:?}", began.elapsed());
    assert!(!rules().contains("10999"));
}
