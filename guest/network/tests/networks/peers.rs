//! Datagrams that a host daemon brings in, sent in the name of whoever sent to it.

use std::net::SocketAddr;
use std::time::Duration;

use berth_network::Peers;

use crate::world::{NEIGHBOUR, PREFIX, World, serve};

/// A stranger with no route here (RFC 5737).
const STRANGER: &str = "198.51.100.7:4321";

fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// Who a container at `target` sees when `peer` sends.
fn seen(peers: &Peers, peer: &str, target: SocketAddr) -> String {
    let socket = peers.datagrams(at(peer), target).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    socket.send(b"?").unwrap();
    let mut answer = [0; 64];
    let length = socket.recv(&mut answer).unwrap();
    String::from_utf8_lossy(&answer[..length]).into_owned()
}

#[test]
fn a_container_sees_who_sent() {
    let Some((world, _)) = World::with_neighbour() else { return };
    let (server, endpoint) = world.container("server", "bridge");
    serve(&server, 80);
    let target = SocketAddr::new(endpoint.ipv4.unwrap().0.into(), 80);
    let peers = Peers::prepare(PREFIX, "eth0").unwrap();
    assert_eq!(seen(&peers, STRANGER, target), "198.51.100.7");
    assert_eq!(seen(&peers, &format!("{NEIGHBOUR}:4000"), target), NEIGHBOUR);
}

#[test]
fn a_peer_keeps_its_port_unless_that_is_taken() {
    let Some((world, _)) = World::with_neighbour() else { return };
    let (server, endpoint) = world.container("server", "bridge");
    serve(&server, 80);
    let target = SocketAddr::new(endpoint.ipv4.unwrap().0.into(), 80);
    let peers = Peers::prepare(PREFIX, "eth0").unwrap();
    let connect = || peers.datagrams(at(STRANGER), target).unwrap();
    let (first, second) = (connect(), connect());
    assert_eq!(first.local_addr().unwrap(), at(STRANGER));
    assert_eq!(second.local_addr().unwrap().ip(), at(STRANGER).ip());
}

#[test]
fn loopback_and_addresses_of_this_machines_own_appear_as_the_gateway() {
    let Some((world, _)) = World::with_neighbour() else { return };
    let (server, endpoint) = world.container("server", "bridge");
    serve(&server, 80);
    let target = SocketAddr::new(endpoint.ipv4.unwrap().0.into(), 80);
    let peers = Peers::prepare(PREFIX, "eth0").unwrap();
    for peer in ["127.0.0.1:4000", "[::1]:4000", "203.0.113.1:4000", "172.17.0.2:4000", "172.17.0.9:4000"] {
        assert_eq!(seen(&peers, peer, target), "172.17.0.1", "{peer}");
    }
    assert_eq!(seen(&Peers::hidden(), STRANGER, target), "172.17.0.1");
}

#[test]
fn the_peers_of_ipv6_are_seen_too() {
    let Some((world, _)) = World::with_neighbour() else { return };
    let wish = berth_network::NetworkWish { name: "six".to_owned(), ipv6: Some(true), ..Default::default() };
    world.networks.create(wish).unwrap();
    let (server, endpoint) = world.container("server", "six");
    serve(&server, 80);
    let target = SocketAddr::new(endpoint.ipv6.unwrap().0.into(), 80);
    let peers = Peers::prepare(PREFIX, "eth0").unwrap();
    assert_eq!(seen(&peers, "[2001:db8::7]:4321", target), "2001:db8::7");
}
