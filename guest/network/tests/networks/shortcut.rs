//! The short way of published connections: past the rules, and only for them.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use berth_network::NetworkWish;
use socket2::{Domain, Socket, Type};

use crate::door::{STRANGER, STRANGER_V6, behind_door, connect, door, inside, lead_to, seen};
use crate::world::{NEIGHBOUR, World, ask, run, serve, within};

const HIDDEN_V6: &str = "fd62:6572:7468::2";
/// More than what is on its way at once.
const MUCH: usize = 4 << 20;

/// A machine with a short way; `None`, with the reason, where the kernel has none.
fn with_shortcut() -> Option<(World, PathBuf)> {
    let there = behind_door(true)?;
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let mut version = release.split('.').filter_map(|part| part.parse::<u32>().ok());
    let since = (6, 6);
    let is_new = (version.next().unwrap_or(0), version.next().unwrap_or(0)) >= since;
    let has_actions = Command::new("tc").args(["qdisc", "add", "dev", "lo", "clsact"]).output();
    if !is_new || !has_actions.is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: Linux {} has no programs at interfaces", release.trim());
        return None;
    }
    inside(&there.1, &["address", "add", &format!("{STRANGER}/32"), "dev", "out1"]);
    for address in [STRANGER_V6, HIDDEN_V6] {
        inside(&there.1, &["address", "add", &format!("{address}/128"), "dev", "out1", "nodad"]);
    }
    Some(there)
}

/// The rules let nothing through any more, whatever they say.
fn close_the_long_way() {
    let chain = "{ type filter hook forward priority -10; policy drop; }";
    run("nft", &["add", "table", "inet", "shut"]);
    run("nft", &["add", "chain", "inet", "shut", "forward", chain]);
}

fn open_the_long_way() {
    run("nft", &["delete", "table", "inet", "shut"]);
}

/// Says everything again that clients say.
fn echo(namespace: &Path, port: u16) {
    let listener = within(namespace, || TcpListener::bind(("::", port))).unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            thread::spawn(move || stream.and_then(|stream| io::copy(&mut &stream, &mut &stream)));
        }
    });
}

fn says_again(stream: &mut TcpStream, text: &str) -> bool {
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let mut said = vec![0; text.len()];
    stream.write_all(text.as_bytes()).and_then(|()| stream.read_exact(&mut said)).is_ok()
        && said == text.as_bytes()
}

/// Sends much and hears it again, and the end after it.
fn carries_much(mut stream: TcpStream) -> bool {
    let much: Vec<u8> = (0..MUCH).map(|number| (number % 251) as u8).collect();
    let mut heard = Vec::new();
    thread::scope(|scope| {
        scope.spawn(|| {
            (&stream).write_all(&much).unwrap();
            stream.shutdown(Shutdown::Write).unwrap();
        });
        (&stream).read_to_end(&mut heard).unwrap();
    });
    stream.flush().is_ok() && heard == much
}

fn at(peer: &str, port: u16) -> SocketAddr {
    SocketAddr::new(peer.parse().unwrap(), port)
}

#[test]
fn strangers_and_hidden_peers_pass_where_the_rules_let_nobody_through() {
    let Some((world, neighbour)) = with_shortcut() else { return };
    let (server, endpoint) = world.container("server", "bridge");
    serve(&server, 80);
    echo(&server, 7);
    close_the_long_way();
    let container = IpAddr::V4(endpoint.ipv4.unwrap().0);
    for (peer, expected) in [(STRANGER, STRANGER), (NEIGHBOUR, "172.17.0.1")] {
        assert_eq!(seen(&neighbour, peer, SocketAddr::new(container, 80)).unwrap(), expected);
        let stream = connect(&neighbour, at(peer, 0), SocketAddr::new(container, 7)).unwrap();
        assert!(carries_much(stream), "{peer}");
    }
    let nobody = connect(&neighbour, at(STRANGER, 0), SocketAddr::new(container, 81));
    assert_eq!(nobody.unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
}

#[test]
fn so_do_those_of_ipv6() {
    let Some((world, neighbour)) = with_shortcut() else { return };
    let wish = NetworkWish { name: "six".to_owned(), ipv6: Some(true), ..NetworkWish::default() };
    world.networks.create(wish).unwrap();
    let (server, endpoint) = world.container("server", "six");
    serve(&server, 80);
    echo(&server, 7);
    let container = IpAddr::V6(endpoint.ipv6.unwrap().0);
    lead_to(&neighbour, container);
    close_the_long_way();
    let gateway = endpoint.gateway6.unwrap().to_string();
    for (peer, expected) in [(STRANGER_V6, STRANGER_V6), (HIDDEN_V6, gateway.as_str())] {
        assert_eq!(seen(&neighbour, peer, SocketAddr::new(container, 80)).unwrap(), expected);
        let stream = connect(&neighbour, at(peer, 0), SocketAddr::new(container, 7)).unwrap();
        assert!(carries_much(stream), "{peer}");
    }
}

#[test]
fn a_container_that_calls_back_from_its_published_port_is_not_taken_for_answering() {
    let Some((world, neighbour)) = with_shortcut() else { return };
    let (server, endpoint) = world.container("server", "bridge");
    let container = endpoint.ipv4.unwrap().0;
    let listen = || within(&server, || TcpListener::bind(("0.0.0.0", 80)));
    let listener = listen().unwrap();
    // The peer ends it first: the port is free at the container's side.
    let first = connect(&neighbour, at(STRANGER, 40_000), (container, 80).into()).unwrap();
    let (mut accepted, peer) = listener.accept().unwrap();
    assert_eq!(peer, at(STRANGER, 40_000));
    drop((listener, first));
    assert_eq!(accepted.read(&mut [0]).unwrap(), 0);
    drop(accepted);

    let called = within(&neighbour, || {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.set_reuse_address(true)?;
        socket.bind(&at(STRANGER, 40_000).into())?;
        socket.listen(1)?;
        Ok(TcpListener::from(socket))
    });
    let called = called.unwrap();
    let call = within(&server, || {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.set_reuse_address(true)?;
        socket.bind(&SocketAddr::from((container, 80)).into())?;
        socket.connect_timeout(&at(STRANGER, 40_000).into(), Duration::from_secs(5))?;
        Ok(TcpStream::from(socket))
    });
    let mut call = call.unwrap();
    let (answering, caller) = called.accept().unwrap();
    assert_eq!(caller.ip().to_string(), crate::world::MACHINE);
    thread::spawn(move || io::copy(&mut &answering, &mut &answering));
    assert!(says_again(&mut call, "from the container's side"));
}

#[test]
fn the_machine_calls_a_container_from_the_port_of_a_hidden_peer_that_has_ended() {
    let Some((world, neighbour)) = with_shortcut() else { return };
    let (server, endpoint) = world.container("server", "bridge");
    echo(&server, 7);
    let target = SocketAddr::from((endpoint.ipv4.unwrap().0, 7));
    let mut hidden = connect(&neighbour, at(NEIGHBOUR, 40_000), target).unwrap();
    assert!(says_again(&mut hidden, "hidden"));
    hidden.shutdown(Shutdown::Write).unwrap();
    assert_eq!(hidden.read(&mut [0]).unwrap(), 0);
    let gateway = SocketAddr::from((endpoint.gateway.unwrap(), 40_000));
    let call = || {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.bind(&gateway.into())?;
        socket.connect_timeout(&target.into(), Duration::from_secs(5))?;
        Ok::<TcpStream, io::Error>(socket.into())
    };
    assert!(says_again(&mut call().unwrap(), "the machine"));
}

#[test]
fn an_established_connection_outlives_the_engine_and_the_next_one_knows_who_lives() {
    let Some((world, neighbour)) = with_shortcut() else { return };
    let (server, endpoint) = world.container("server", "bridge");
    let (gone, other) = world.container("gone", "bridge");
    echo(&server, 7);
    echo(&gone, 7);
    close_the_long_way();
    let [target, other] = [endpoint, other].map(|it| SocketAddr::from((it.ipv4.unwrap().0, 7)));
    let mut stranger = connect(&neighbour, at(STRANGER, 0), target).unwrap();
    let mut hidden = connect(&neighbour, at(NEIGHBOUR, 0), target).unwrap();
    assert!(says_again(&mut stranger, "before") && says_again(&mut hidden, "before"));
    let alive = world.alive("server");
    let world = world.crash_behind(door());
    assert!(says_again(&mut stranger, "meanwhile") && says_again(&mut hidden, "meanwhile"));
    world.networks.restore(vec![alive]).unwrap();
    assert!(says_again(&mut stranger, "after") && says_again(&mut hidden, "after"));
    assert!(carries_much(connect(&neighbour, at(STRANGER, 0), target).unwrap()));
    assert!(connect(&neighbour, at(STRANGER, 0), other).is_err());
    let (newcomer, at_once) = world.container("newcomer", "bridge");
    echo(&newcomer, 7);
    let target = SocketAddr::from((at_once.ipv4.unwrap().0, 7));
    assert!(carries_much(connect(&neighbour, at(STRANGER, 0), target).unwrap()));
}

#[test]
fn one_that_has_another_address_or_none_is_not_reached_at_the_old_one() {
    let Some((world, neighbour)) = with_shortcut() else { return };
    let other = world.network("other");
    let (server, endpoint) = world.container("server", "bridge");
    echo(&server, 7);
    let old = SocketAddr::from((endpoint.ipv4.unwrap().0, 7));
    let mut before = connect(&neighbour, at(STRANGER, 0), old).unwrap();
    assert!(says_again(&mut before, "before"));
    world.networks.leave("server", "bridge").unwrap();
    let wish = berth_network::EndpointWish::default();
    let moved = world.networks.join("server", &other.name, &wish).unwrap();
    close_the_long_way();
    let new = SocketAddr::from((moved.ipv4.unwrap().0, 7));
    assert!(carries_much(connect(&neighbour, at(STRANGER, 0), new).unwrap()));
    assert!(connect(&neighbour, at(STRANGER, 0), old).is_err());
    world.networks.close_sandbox("server").unwrap();
    assert!(connect(&neighbour, at(STRANGER, 0), new).is_err());
}

#[test]
fn containers_reach_each_other_and_others_by_the_rules_alone() {
    let Some((world, neighbour)) = with_shortcut() else { return };
    let other = world.network("other");
    let (server, endpoint) = world.container("server", "bridge");
    let (friend, _) = world.container("friend", "bridge");
    let (stranger, _) = world.container("stranger", &other.name);
    serve(&server, 80);
    serve(&neighbour, 8080);
    let target = endpoint.ipv4.unwrap().0;
    assert_eq!(seen(&neighbour, STRANGER, (target, 80).into()).unwrap(), STRANGER);
    let target = target.to_string();
    assert!(ask(&friend, &target, 80).is_some());
    assert_eq!(ask(&stranger, &target, 80), None);
    assert_eq!(ask(&server, NEIGHBOUR, 8080).as_deref(), Some(crate::world::MACHINE));
    close_the_long_way();
    assert_eq!(ask(&server, NEIGHBOUR, 8080), None);
    open_the_long_way();
    assert_eq!(ask(&server, STRANGER, 8080).as_deref(), Some(crate::world::MACHINE));
}
