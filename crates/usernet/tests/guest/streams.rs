//! Connections: bytes, ends, resets, back-pressure, many at once.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::mpsc::channel;

use smoltcp::iface::SocketHandle;
use smoltcp::socket::tcp;

use crate::guest::{Guest, HOST, PATIENCE, leading_to};
use crate::servers::{bytes, count, echo, stream, sum};

/// Sends it all and ends; reads until the other side ends.
fn exchange(guest: &mut Guest, handle: SocketHandle, sent: &[u8]) -> Vec<u8> {
    let (mut left, mut arrived) = (sent, Vec::new());
    guest.until("all went and came", |guest| {
        let socket = guest.tcp(handle);
        if !left.is_empty() && socket.can_send() {
            let taken = socket.send_slice(left).unwrap();
            left = &left[taken..];
            if left.is_empty() {
                socket.close();
            }
        }
        while socket.can_recv() {
            socket.recv(|new| (new.len(), arrived.extend_from_slice(new))).unwrap();
        }
        (left.is_empty() && !socket.may_recv()).then_some(())
    });
    arrived
}

#[test]
fn a_megabyte_goes_there_and_back_and_each_side_ends_its_own_half() {
    let mut guest = Guest::new(leading_to(&[(7, stream(echo))]));
    let sent = bytes(1 << 20);
    let handle = guest.connected((HOST, 7), 256 << 10);
    assert!(exchange(&mut guest, handle, &sent) == sent);
}

#[test]
fn small_segments_of_a_network_behind_the_guest_carry_it_too() {
    let mut guest = Guest::on(leading_to(&[(7, stream(echo))]), 0, 1500);
    let sent = bytes(300_000);
    let handle = guest.connected((HOST, 7), 64 << 10);
    assert!(exchange(&mut guest, handle, &sent) == sent);
}

#[test]
fn the_same_by_ipv6() {
    let gateway = "fd62:6572:7468::2".parse::<std::net::Ipv6Addr>().unwrap();
    let mut settings = leading_to(&[]);
    settings.policy.forwards.insert((gateway, 7).into(), stream(echo));
    let mut guest = Guest::new(settings);
    let sent = bytes(300_000);
    let handle = guest.connected((gateway, 7), 64 << 10);
    assert!(exchange(&mut guest, handle, &sent) == sent);
    assert!(guest.is_refused((gateway, 8)));
}

#[test]
fn what_a_link_loses_doubles_and_swaps_arrives_once_and_in_order() {
    let mut guest = Guest::on(leading_to(&[(7, stream(echo))]), 40, 1500);
    let sent = bytes(200_000);
    let handle = guest.connected((HOST, 7), 32 << 10);
    assert!(exchange(&mut guest, handle, &sent) == sent);
}

#[test]
fn a_host_that_reads_late_holds_the_guest_up_and_gets_all() {
    let (go, wait) = channel::<()>();
    let wait = std::sync::Mutex::new(wait);
    let server = stream(move |client| {
        wait.lock().unwrap().recv_timeout(PATIENCE).unwrap();
        count(client);
    });
    let mut guest = Guest::new(leading_to(&[(7, server)]));
    let handle = guest.connected((HOST, 7), 64 << 10);
    let sent = bytes(32 << 20);
    let mut left = &sent[..];
    // More than the host's buffers and ours hold doesn't go out: the guest's own buffer stays full.
    let mut full_since = None;
    guest.until("the guest is held up", |guest| {
        let socket = guest.tcp(handle);
        if socket.can_send() {
            left = &left[socket.send_slice(left).unwrap()..];
            full_since = None;
        }
        let since = *full_since.get_or_insert_with(std::time::Instant::now);
        (since.elapsed().as_millis() > 300).then_some(())
    });
    assert!(!left.is_empty(), "{} bytes were taken that nobody reads", sent.len());
    go.send(()).unwrap();
    let said = exchange(&mut guest, handle, left);
    assert_eq!(String::from_utf8(said).unwrap(), format!("{} {}", sent.len(), sum(&sent)));
}

#[test]
fn a_guest_with_little_room_gets_all_that_the_host_sends() {
    let sent = bytes(4 << 20);
    let expected = sum(&sent);
    let server = stream(move |mut client| {
        client.write_all(&sent).unwrap();
        client.shutdown(std::net::Shutdown::Write).unwrap();
        // Closed with something unread, the host would reset.
        client.read_to_end(&mut Vec::new()).unwrap();
    });
    let mut guest = Guest::new(leading_to(&[(7, server)]));
    let handle = guest.connected((HOST, 7), 3000);
    let arrived = exchange(&mut guest, handle, b"x");
    assert_eq!((arrived.len(), sum(&arrived)), (4 << 20, expected));
}

#[test]
fn a_port_where_nobody_listens_is_refused() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let mut guest = Guest::new(leading_to(&[(7, address)]));
    assert!(guest.is_refused((HOST, 7)));
}

#[test]
fn a_reset_of_either_side_reaches_the_other() {
    let (said, heard) = channel();
    let server = stream(move |mut client| {
        let mut first = [0];
        client.read_exact(&mut first).unwrap();
        if first[0] == b'r' {
            // Closed with something unread, the host resets.
            client.peek(&mut first).unwrap();
            return;
        }
        said.send(client.read(&mut first).map_err(|error| error.kind())).unwrap();
    });
    let mut guest = Guest::new(leading_to(&[(7, server)]));
    let handle = guest.connected((HOST, 7), 1000);
    guest.tcp(handle).send_slice(b"r and what isn't read").unwrap();
    guest.until("the guest hears of the reset", |guest| {
        (guest.tcp(handle).state() == tcp::State::Closed).then_some(())
    });
    let handle = guest.connected((HOST, 7), 1000);
    guest.tcp(handle).send_slice(b"x").unwrap();
    guest.until("it was sent", |guest| (guest.tcp(handle).send_queue() == 0).then_some(()));
    guest.tcp(handle).abort();
    let ended = guest.until("the host hears of the reset", |_| heard.try_recv().ok());
    assert_eq!(ended, Err(std::io::ErrorKind::ConnectionReset));
}

#[test]
fn a_far_end_that_says_nothing_is_asked_whether_it_is_there() {
    let server = stream(echo);
    let mut guest = Guest::new(leading_to(&[(7, server)]));
    guest.connected((HOST, 7), 1000);
    // By proc_net(5): the far port, a connection that is there, and what its timer is for: 2 is to keep it alive.
    let asked = || {
        let sockets = std::fs::read_to_string("/proc/net/tcp").unwrap();
        let far = format!(":{:04X}", server.port());
        sockets.lines().any(|line| {
            let fields: Vec<_> = line.split_whitespace().collect();
            fields[2].ends_with(&far) && fields[3] == "01" && fields[5].starts_with("02:")
        })
    };
    guest.until("the host waits to ask", |_| asked().then_some(()));
}

#[test]
fn a_thousand_connections_at_once_don_t_mix_and_one_too_many_is_refused() {
    const MANY: u16 = 1000;
    let mut settings = leading_to(&[(7, stream(echo))]);
    settings.most_connections = MANY.into();
    let mut guest = Guest::new(settings);
    let handles: Vec<_> = (0..MANY).map(|_| guest.connect((HOST, 7), 64)).collect();
    guest.until("all are connected", |guest| {
        handles.iter().all(|handle| guest.tcp(*handle).may_send()).then_some(())
    });
    assert!(guest.is_refused((HOST, 7)));
    for (number, handle) in (0..MANY).zip(&handles) {
        guest.tcp(*handle).send_slice(&number.to_le_bytes()).unwrap();
    }
    guest.until("all have their answer", |guest| {
        handles.iter().all(|handle| guest.tcp(*handle).recv_queue() == 2).then_some(())
    });
    for (number, handle) in (0..MANY).zip(&handles) {
        let mut answer = [0; 2];
        guest.tcp(*handle).recv_slice(&mut answer).unwrap();
        assert_eq!(u16::from_le_bytes(answer), number);
    }
}
