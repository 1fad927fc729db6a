//! Connections from outside: who is seen, bytes, ends, refusals, nobody there, many at once.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread::JoinHandle;

use smoltcp::iface::SocketHandle;
use smoltcp::socket::tcp;
use smoltcp::wire::IpAddress;

use crate::door::Listening;
use crate::guest::{ADDRESS, GATEWAY, Guest, HOST, MTU, PATIENCE, leading_to, settings};
use crate::servers::{bytes, sum};

/// Where the guest listens.
const PORT: u16 = 80;

/// A guest, and where on this host it is reached.
fn reachable(faulty: usize, mtu: u16) -> (Guest, SocketAddr) {
    Guest::reached(settings(), faulty, mtu, (ADDRESS, PORT).into())
}

/// A client of this host's on a thread of its own.
fn client<T: Send + 'static>(
    to: SocketAddr,
    talk: impl FnOnce(TcpStream) -> T + Send + 'static,
) -> JoinHandle<T> {
    std::thread::spawn(move || {
        let stream = TcpStream::connect(to).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        talk(stream)
    })
}

/// What a client's connection ended with.
fn end(mut stream: TcpStream) -> ErrorKind {
    stream.read_to_end(&mut Vec::new()).expect_err("it wasn't reset").kind()
}

/// Gets all that comes, until the client ends; then says it back and ends.
fn echo(guest: &mut Guest, handle: SocketHandle) {
    let mut held: Vec<u8> = Vec::new();
    let mut ended = false;
    guest.until("all came and went", |guest| {
        let socket = guest.tcp(handle);
        while socket.can_recv() {
            socket.recv(|new| (new.len(), held.extend_from_slice(new))).unwrap();
        }
        if !held.is_empty() && socket.can_send() {
            let taken = socket.send_slice(&held).unwrap();
            held.drain(..taken);
        }
        if held.is_empty() && socket.state() == tcp::State::CloseWait {
            ended = true;
            socket.close();
        }
        (ended && !socket.is_open()).then_some(())
    });
}

#[test]
fn what_a_client_of_the_host_says_reaches_the_guest_and_back_with_each_side_ending_its_half() {
    let (mut guest, door) = reachable(0, MTU);
    let handle = guest.listen(PORT, 256 << 10);
    let sent = bytes(1 << 20);
    let asked = sent.clone();
    let client = client(door, move |mut stream| {
        let mut writer = stream.try_clone().unwrap();
        let said = std::thread::spawn(move || {
            writer.write_all(&asked).unwrap();
            writer.shutdown(Shutdown::Write).unwrap();
        });
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        said.join().unwrap();
        answer
    });
    echo(&mut guest, handle);
    let answer = client.join().unwrap();
    assert_eq!((answer.len(), sum(&answer)), (sent.len(), sum(&sent)));
}

#[test]
fn what_a_link_loses_doubles_and_swaps_arrives_once_and_in_order() {
    let (mut guest, door) = reachable(40, 1500);
    let handle = guest.listen(PORT, 32 << 10);
    let sent = bytes(200_000);
    let asked = sent.clone();
    let client = client(door, move |mut stream| {
        let mut writer = stream.try_clone().unwrap();
        let said = std::thread::spawn(move || {
            writer.write_all(&asked).unwrap();
            writer.shutdown(Shutdown::Write).unwrap();
        });
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        said.join().unwrap();
        answer
    });
    echo(&mut guest, handle);
    assert!(client.join().unwrap() == sent);
}

#[test]
fn a_peer_on_loopback_is_seen_as_the_gateway_and_a_server_may_speak_first() {
    let (mut guest, door) = reachable(0, MTU);
    let handle = guest.listen(PORT, 1000);
    let client = client(door, |mut stream| {
        let mut word = [0; 5];
        stream.read_exact(&mut word).unwrap();
        word
    });
    guest.until("it is connected", |guest| guest.tcp(handle).may_send().then_some(()));
    let peer = guest.tcp(handle).remote_endpoint().unwrap();
    guest.tcp(handle).send_slice(b"hello").unwrap();
    guest.until("it is heard", |_| client.is_finished().then_some(()));
    assert_eq!(&client.join().unwrap(), b"hello");
    assert_eq!(peer.addr, IpAddress::from(GATEWAY));
    let of_the_guest = 32_768..=60_999;
    assert!(!of_the_guest.contains(&peer.port), "{peer} may be taken for the guest's own");
}

#[test]
fn a_port_where_nobody_listens_resets_the_client() {
    let (mut guest, door) = reachable(0, MTU);
    let client = client(door, end);
    guest.until("it is refused", |_| client.is_finished().then_some(()));
    assert_eq!(client.join().unwrap(), ErrorKind::ConnectionReset);
}

#[test]
fn a_guest_that_says_nothing_is_given_up() {
    // The guest has no such address: nobody answers.
    let target = (Ipv4Addr::new(172, 17, 0, 2), PORT).into();
    let (mut guest, door) = Guest::reached(settings(), 0, MTU, target);
    let client = client(door, end);
    guest.until("it is given up", |_| client.is_finished().then_some(()));
    assert_eq!(client.join().unwrap(), ErrorKind::ConnectionReset);
}

#[test]
fn a_reset_of_either_side_reaches_the_other() {
    let (mut guest, door) = reachable(0, MTU);
    let handle = guest.listen(PORT, 1000);
    let first = client(door, |mut stream| {
        stream.write_all(b"x").unwrap();
        end(stream)
    });
    guest.until("it is connected", |guest| guest.tcp(handle).can_recv().then_some(()));
    guest.tcp(handle).abort();
    guest.until("the client hears of the reset", |_| first.is_finished().then_some(()));
    assert_eq!(first.join().unwrap(), ErrorKind::ConnectionReset);
    let handle = guest.listen(PORT, 1000);
    let second = client(door, |mut stream| {
        // Closed with something unread, the host resets.
        stream.read_exact(&mut [0]).unwrap();
    });
    guest.until("it is connected", |guest| guest.tcp(handle).may_send().then_some(()));
    guest.tcp(handle).send_slice(b"two").unwrap();
    guest.until("the guest hears of the reset", |guest| {
        (guest.tcp(handle).state() == tcp::State::Closed).then_some(())
    });
    second.join().unwrap();
}

#[test]
fn one_connection_too_many_is_reset_and_others_go_on() {
    let mut settings = settings();
    settings.most_connections = 1;
    let (mut guest, door) = Guest::reached(settings, 0, MTU, (ADDRESS, PORT).into());
    let handle = guest.listen(PORT, 1000);
    let mut first = TcpStream::connect(door).unwrap();
    guest.until("it is connected", |guest| guest.tcp(handle).may_send().then_some(()));
    let second = client(door, end);
    guest.until("it is reset", |_| second.is_finished().then_some(()));
    assert_eq!(second.join().unwrap(), ErrorKind::ConnectionReset);
    first.write_all(b"x").unwrap();
    guest.until("it is heard", |guest| guest.tcp(handle).can_recv().then_some(()));
}

/// A client that says one word and is told it.
fn asks_again(mut stream: TcpStream) -> String {
    stream.write_all(b"again").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn the_same_name_serves_again_after_its_connection_ended() {
    let (mut guest, door) = reachable(0, MTU);
    for _ in 0..3 {
        let handle = guest.listen(PORT, 1000);
        let client = client(door, asks_again);
        echo(&mut guest, handle);
        assert_eq!(client.join().unwrap(), "again");
    }
}

#[test]
fn answers_may_go_to_the_door_and_nothing_begins_there() {
    let server = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let settings = leading_to(&[(7, server.local_addr().unwrap())]);
    let (mut guest, door) = Guest::reached(settings.clone(), 0, MTU, (ADDRESS, PORT).into());
    assert!(!guest.is_refused((HOST, 7)));
    guest.speak_to(settings.door);
    assert!(guest.is_refused((HOST, 7)));
    let handle = guest.listen(PORT, 1000);
    let client = client(door, asks_again);
    echo(&mut guest, handle);
    assert_eq!(client.join().unwrap(), "again");
}

#[test]
fn a_guest_that_dies_resets_who_is_connected() {
    let (mut guest, door) = reachable(0, MTU);
    let handle = guest.listen(PORT, 1000);
    let client = client(door, end);
    guest.until("it is connected", |guest| guest.tcp(handle).may_send().then_some(()));
    drop(guest);
    assert_eq!(client.join().unwrap(), ErrorKind::ConnectionReset);
}

/// Who the guest sees when that peer connects.
fn seen(settings: usernet::Settings, peer: &str) -> IpAddress {
    let (mut door, at) = Listening::leading_to((ADDRESS, PORT).into());
    door.peer = Some(peer.parse().unwrap());
    let mut guest = Guest::behind(door, settings, 0, MTU);
    // It knows the gateway's card: while it asks for one in vain, it asks for no other.
    assert!(guest.is_refused((GATEWAY, 9)));
    // A socket of this guest's that heard a call listens to no other.
    let handles = [guest.listen(PORT, 1000), guest.listen(PORT, 1000)];
    let _client = TcpStream::connect(at).unwrap();
    let connected = guest
        .until("it is connected", |guest| handles.into_iter().find(|handle| guest.tcp(*handle).may_send()));
    guest.tcp(connected).remote_endpoint().unwrap().addr
}

#[test]
fn a_peer_is_seen_by_its_own_address() {
    assert_eq!(seen(settings(), "198.51.100.7:4321"), "198.51.100.7".parse().unwrap());
}

#[test]
fn a_peer_that_the_guest_takes_for_somebody_in_its_own_network_is_seen_as_the_gateway() {
    let mut settings = settings();
    assert_eq!(seen(settings.clone(), "10.0.2.77:4321"), IpAddress::from(GATEWAY));
    // Now the guest alone thinks so: it asks for that neighbour's card, and nobody has it.
    settings.v4.prefix = 30;
    assert_eq!(seen(settings, "10.0.2.77:4321"), IpAddress::from(GATEWAY));
}
