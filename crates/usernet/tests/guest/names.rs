//! Datagrams, pings, and questions for names.

use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::PathBuf;

use smoltcp::iface::SocketHandle;
use smoltcp::socket::{icmp, udp};
use smoltcp::wire::{Icmpv4Packet, Icmpv4Repr, IpAddress, IpEndpoint};

use crate::guest::{GATEWAY, Guest, HOST, leading_to, settings};
use crate::servers::datagrams;

const QUERY: &[u8] = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x05berth\x04test\x00\x00\x01\x00\x01";
const ANSWER: &[u8] =
    b"\x12\x34\x81\x80\x00\x01\x00\x00\x00\x00\x00\x00\x05berth\x04test\x00\x00\x01\x00\x01";

fn socket(guest: &mut Guest) -> SocketHandle {
    let room = || udp::PacketBuffer::new(vec![udp::PacketMetadata::EMPTY; 8], vec![0; 70_000]);
    let mut socket = udp::Socket::new(room(), room());
    socket.bind(5000).unwrap();
    guest.sockets.add(socket)
}

fn ask(guest: &mut Guest, to: impl Into<SocketAddr>, question: &[u8]) -> Vec<u8> {
    let handle = socket(guest);
    let to = to.into();
    let to = IpEndpoint::new(IpAddress::from(to.ip()), to.port());
    guest.sockets.get_mut::<udp::Socket<'_>>(handle).send_slice(question, to).unwrap();
    let answer = guest.until("an answer is there", |guest| {
        let (answer, from) = guest.sockets.get_mut::<udp::Socket<'_>>(handle).recv().ok()?;
        assert_eq!(from.endpoint, to);
        Some(answer.to_vec())
    });
    guest.sockets.remove(handle);
    answer
}

/// A file that names these resolvers.
fn resolv_conf(folder: &tempfile::TempDir, resolvers: &[&str]) -> PathBuf {
    let file = folder.path().join("resolv.conf");
    let lines: String = resolvers.iter().map(|address| format!("nameserver {address}\n")).collect();
    std::fs::write(&file, lines).unwrap();
    file
}

/// Where a resolver may listen; none, with the reason printed, for who may not.
fn port_53<T>(bind: impl FnOnce() -> std::io::Result<T>) -> Option<T> {
    match bind() {
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
            eprintln!("skipped: only root listens at port 53");
            None
        }
        bound => Some(bound.unwrap()),
    }
}

#[test]
fn datagrams_of_every_size_go_there_and_back() {
    let server = datagrams(UdpSocket::bind("127.0.0.1:0").unwrap(), |question| Some(question.to_vec()));
    let mut guest = Guest::new(leading_to(&[(7, server)]));
    for length in [0, 1, 1400, 60_000] {
        let sent = vec![length as u8; length];
        assert!(ask(&mut guest, (HOST, 7), &sent) == sent, "{length} bytes");
    }
}

#[test]
fn questions_go_to_the_host_s_resolvers_one_after_the_other() {
    let Some(second) = port_53(|| UdpSocket::bind("127.0.53.2:53")) else { return };
    datagrams(second, |question| (question == QUERY).then(|| ANSWER.to_vec()));
    let folder = tempfile::tempdir().unwrap();
    let mut settings = settings();
    // Nobody listens at the first.
    settings.resolvers = resolv_conf(&folder, &["127.0.53.1", "127.0.53.2"]);
    let mut guest = Guest::new(settings);
    assert_eq!(ask(&mut guest, (GATEWAY, 53), QUERY), ANSWER);
}

#[test]
fn a_resolver_that_is_silent_is_passed_over_in_time() {
    let Some(silent) = port_53(|| UdpSocket::bind("127.0.53.3:53")) else { return };
    let Some(second) = port_53(|| UdpSocket::bind("127.0.53.4:53")) else { return };
    datagrams(second, |_| Some(ANSWER.to_vec()));
    let folder = tempfile::tempdir().unwrap();
    let mut settings = settings();
    settings.resolvers = resolv_conf(&folder, &["127.0.53.3", "127.0.53.4"]);
    let mut guest = Guest::new(settings);
    assert_eq!(ask(&mut guest, (GATEWAY, 53), QUERY), ANSWER);
    drop(silent);
}

#[test]
fn where_no_resolver_answers_it_is_told_at_once() {
    let mut guest = Guest::new(settings());
    let answer = ask(&mut guest, (GATEWAY, 53), QUERY);
    assert_eq!(answer[..4], [0x12, 0x34, 0x81, 0x82]);
    assert_eq!(answer[12..], QUERY[12..]);
}

/// A question with this name in it, and options of the client's at its end (RFC 6891).
fn question(labels: &[&str], kind: u8, class: u8) -> Vec<u8> {
    let mut question = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x01".to_vec();
    for label in labels {
        question.push(label.len() as u8);
        question.extend(label.as_bytes());
    }
    question.extend([0, 0, kind, 0, class]);
    question.extend(b"\x00\x00\x29\x10\x00\x00\x00\x00\x00\x00\x00");
    question
}

#[test]
fn the_host_has_two_names_that_no_resolver_is_asked_for() {
    let mut guest = Guest::new(settings());
    for labels in [["host", "docker", "internal"], ["GateWay", "Docker", "INTERNAL"]] {
        let asked = question(&labels, 1, 1);
        let answer = ask(&mut guest, (GATEWAY, 53), &asked);
        // One question, one record, none of the client's options.
        assert_eq!(answer[..12], [0x12, 0x34, 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0]);
        let asked = &asked[12..asked.len() - 11];
        assert_eq!(answer[12..12 + asked.len()], *asked);
        let record = &answer[12 + asked.len()..];
        assert_eq!(record[..6], [0xc0, 12, 0, 1, 0, 1]);
        assert_eq!(record[10..], [&[0, 4], &HOST.octets()[..]].concat());
    }
}

#[test]
fn the_host_s_names_have_nothing_but_an_address() {
    let mut guest = Guest::new(settings());
    for kind in [28, 15, 255] {
        let asked = question(&["host", "docker", "internal"], kind, 1);
        let answer = ask(&mut guest, (GATEWAY, 53), &asked);
        assert_eq!(answer[..12], [0x12, 0x34, 0x81, 0x80, 0, 1, 0, 0, 0, 0, 0, 0], "type {kind}");
        assert_eq!(answer[12..], asked[12..asked.len() - 11]);
    }
}

#[test]
fn of_the_host_s_names_and_others_like_them_the_rest_is_the_resolvers() {
    let mut guest = Guest::new(settings());
    // Another class, a name beneath, one above, an operation that isn't a question: nobody here answers those.
    let mut status = question(&["host", "docker", "internal"], 1, 1);
    status[2] |= 2 << 3;
    let others = [
        question(&["host", "docker", "internal"], 1, 3),
        question(&["a", "host", "docker", "internal"], 1, 1),
        question(&["docker", "internal"], 1, 1),
        status,
    ];
    for other in others {
        assert_eq!(ask(&mut guest, (GATEWAY, 53), &other)[3], 0x82, "{other:?}");
    }
}

#[test]
fn questions_by_stream_reach_the_first_resolver_that_listens() {
    let Some(listener) = port_53(|| TcpListener::bind("127.0.53.6:53")) else { return };
    std::thread::spawn(move || listener.accept().map(|(client, _)| crate::servers::echo(client)));
    let folder = tempfile::tempdir().unwrap();
    let mut settings = settings();
    settings.resolvers = resolv_conf(&folder, &["127.0.53.5", "127.0.53.6"]);
    let mut guest = Guest::new(settings);
    let handle = guest.connected((GATEWAY, 53), 1000);
    guest.tcp(handle).send_slice(QUERY).unwrap();
    guest.until("it comes back", |guest| (guest.tcp(handle).recv_queue() == QUERY.len()).then_some(()));
}

#[test]
fn the_gateway_and_the_host_s_name_answer_pings() {
    let mut guest = Guest::new(settings());
    let room = || icmp::PacketBuffer::new(vec![icmp::PacketMetadata::EMPTY; 4], vec![0; 1000]);
    let mut socket = icmp::Socket::new(room(), room());
    socket.bind(icmp::Endpoint::Ident(77)).unwrap();
    let handle = guest.sockets.add(socket);
    for address in [GATEWAY, HOST] {
        let ping = Icmpv4Repr::EchoRequest { ident: 77, seq_no: 3, data: b"are you there" };
        let socket = guest.sockets.get_mut::<icmp::Socket<'_>>(handle);
        let room = socket.send(ping.buffer_len(), address.into()).unwrap();
        ping.emit(&mut Icmpv4Packet::new_unchecked(room), &Default::default());
        let (answer, from) = guest.until("the answer is there", |guest| {
            let (answer, from) = guest.sockets.get_mut::<icmp::Socket<'_>>(handle).recv().ok()?;
            Some((answer.to_vec(), from))
        });
        let answer = Icmpv4Packet::new_checked(&answer[..]).unwrap();
        let answer = Icmpv4Repr::parse(&answer, &Default::default()).unwrap();
        assert_eq!(answer, Icmpv4Repr::EchoReply { ident: 77, seq_no: 3, data: b"are you there" });
        assert_eq!(from, address.into());
    }
}
