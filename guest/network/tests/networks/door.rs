//! Published connections that come by the machine's card, as a VM's do: the neighbour is the host's network.

use std::io::Read;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use berth_network::{Door, Mac, NetworkWish};
use socket2::{Domain, Socket, Type};

use crate::world::{MACHINE, NEIGHBOUR, World, ask, run, serve, within};

/// Strangers with no route here but by the neighbour (RFC 5737, RFC 3849).
pub(crate) const STRANGER: &str = "198.51.100.7";
pub(crate) const STRANGER_V6: &str = "2001:db8::7";
const HARDWARE: [u8; 6] = [0x52, 0x55, 10, 0, 2, 3];

pub(crate) fn door() -> Door {
    let router = "fe80::2".parse().unwrap();
    Door {
        card: "eth0".to_owned(),
        hardware: Mac(HARDWARE),
        hidden: (NEIGHBOUR.parse().unwrap(), "fd62:6572:7468::2".parse().unwrap()),
        router,
    }
}

/// A machine behind a door, and the neighbour, which sends from the door's hardware address when `ours`.
pub(crate) fn behind_door(ours: bool) -> Option<(World, PathBuf)> {
    let (world, neighbour) = World::with_neighbour()?;
    // So that nobody speaks for it by its usual address.
    let hardware = if ours { "52:55:0a:00:02:03" } else { "52:55:0a:00:02:04" };
    inside(&neighbour, &["link", "set", "out1", "address", hardware]);
    inside(&neighbour, &["address", "add", "fe80::2/64", "dev", "out1", "nodad"]);
    inside(&neighbour, &["route", "add", "172.16.0.0/12", "via", MACHINE]);
    run("ip", &["route", "add", "default", "via", NEIGHBOUR]);
    Some((world.crash_behind(door()), neighbour))
}

pub(crate) fn inside(neighbour: &Path, arguments: &[&str]) {
    let net = format!("--net={}", neighbour.display());
    run("nsenter", &[&[net.as_str(), "ip"], arguments].concat());
}

/// Who a container at `target` sees when `peer`, an address of the neighbour's, connects.
pub(crate) fn seen(neighbour: &Path, peer: &str, target: SocketAddr) -> std::io::Result<String> {
    let mut answer = String::new();
    connect(neighbour, SocketAddr::new(peer.parse().unwrap(), 0), target)?.read_to_string(&mut answer)?;
    Ok(answer)
}

/// A connection of the neighbour's.
pub(crate) fn connect(neighbour: &Path, peer: SocketAddr, target: SocketAddr) -> std::io::Result<TcpStream> {
    within(neighbour, || {
        let socket = Socket::new(Domain::for_address(target), Type::STREAM, None)?;
        match peer {
            SocketAddr::V4(_) => socket.set_ip_transparent_v4(true)?,
            SocketAddr::V6(_) => socket.set_ip_transparent_v6(true)?,
        }
        // What it was called may be called, too, once it has ended.
        socket.set_reuse_address(true)?;
        socket.bind(&peer.into())?;
        // A card's own address takes two seconds to be known for unique (RFC 4862, 5.4).
        socket.connect_timeout(&target.into(), Duration::from_secs(if target.is_ipv6() { 10 } else { 2 }))?;
        Ok(TcpStream::from(socket))
    })
}

/// The neighbour reaches a container's IPv6 address by this machine.
pub(crate) fn lead_to(neighbour: &Path, container: IpAddr) {
    let link = run("ip", &["-6", "-o", "address", "show", "dev", "eth0", "scope", "link"]);
    let machine = link.split_whitespace().nth(3).unwrap().split('/').next().unwrap().to_owned();
    inside(neighbour, &["-6", "route", "add", &container.to_string(), "via", &machine, "dev", "out1"]);
}

#[test]
fn a_container_sees_who_connected_and_only_through_the_door() {
    for (ours, expected) in [(true, Some(STRANGER)), (false, None)] {
        let Some((world, neighbour)) = behind_door(ours) else { return };
        let (server, endpoint) = world.container("server", "bridge");
        serve(&server, 80);
        inside(&neighbour, &["address", "add", &format!("{STRANGER}/32"), "dev", "out1"]);
        let target = SocketAddr::new(endpoint.ipv4.unwrap().0.into(), 80);
        assert_eq!(seen(&neighbour, STRANGER, target).ok().as_deref(), expected, "ours: {ours}");
    }
}

#[test]
fn hidden_peers_appear_as_the_gateway() {
    let Some((world, neighbour)) = behind_door(true) else { return };
    let (server, endpoint) = world.container("server", "bridge");
    serve(&server, 80);
    let target = SocketAddr::new(endpoint.ipv4.unwrap().0.into(), 80);
    assert_eq!(seen(&neighbour, NEIGHBOUR, target).unwrap(), "172.17.0.1");
}

#[test]
fn peers_of_ipv6_are_seen_where_the_machine_has_no_way_out_by_it() {
    let Some((world, neighbour)) = behind_door(true) else { return };
    let wish = NetworkWish { name: "six".to_owned(), ipv6: Some(true), ..NetworkWish::default() };
    world.networks.create(wish).unwrap();
    let (server, endpoint) = world.container("server", "six");
    serve(&server, 80);
    inside(&neighbour, &["address", "add", &format!("{STRANGER_V6}/128"), "dev", "out1", "nodad"]);
    let container = IpAddr::V6(endpoint.ipv6.unwrap().0);
    lead_to(&neighbour, container);
    let target = SocketAddr::new(container, 80);
    assert_eq!(seen(&neighbour, STRANGER_V6, target).unwrap(), STRANGER_V6);
}

#[test]
fn what_a_container_sends_by_the_doors_hardware_address_stays_out() {
    let Some((world, _)) = behind_door(true) else { return };
    let other = world.network("other");
    let (server, endpoint) = world.container("server", "bridge");
    let (forger, _) = world.container("forger", &other.name);
    serve(&server, 80);
    inside(&forger, &["link", "set", "eth0", "address", "52:55:0a:00:02:03"]);
    let target = endpoint.ipv4.unwrap().0.to_string();
    assert_eq!(ask(&forger, &target, 80), None);
}
