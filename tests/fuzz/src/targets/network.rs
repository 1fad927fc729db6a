//! Frames of a guest: each is the length of the next in two bytes, and that. The network leads to one port of the
//! loopback, where connections are taken and dropped, and nowhere else.
//!
//! Of the two upper bits of a length, the first says that what follows is no frame but a connection from outside: its peer
//! and its target, each a port and an address of 4 or 16 bytes. The second, that the frame acknowledges what the guest was
//! sent last, whose numbers nobody can guess.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::OnceLock;
use std::time::Duration;

use mio::{Events, Poll};
use usernet::{Arrival, Link, Policy, Settings, Stack, V4, V6};

/// More frames than a guest that doesn't read may be owed.
const MOST: usize = 64;

/// In a length.
const ARRIVES: u16 = 1 << 15;
const ANSWERS: u16 = 1 << 14;

/// What the guest would get, of which nothing is kept but the last TCP segment's next number.
#[derive(Default)]
struct Nowhere {
    frames: VecDeque<Vec<u8>>,
    next: [u8; 4],
}

impl Nowhere {
    /// Where numbers lie in a segment by IPv4 (RFC 791, RFC 9293): its own, and the one that it acknowledges.
    const NUMBER: usize = 14 + 20 + 4;
    const ACKNOWLEDGES: usize = Self::NUMBER + 4;

    fn forget(&mut self) {
        let mut numbers =
            self.frames.iter().filter_map(|frame| frame.get(Self::NUMBER..)?.first_chunk::<4>());
        if let Some(number) = numbers.next_back() {
            self.next = u32::from_be_bytes(*number).wrapping_add(1).to_be_bytes();
        }
        self.frames.clear();
    }

    /// The frame, acknowledging that.
    fn answer(&self, frame: &[u8]) -> Vec<u8> {
        let mut frame = frame.to_vec();
        if let Some(place) = frame.get_mut(Self::ACKNOWLEDGES..Self::ACKNOWLEDGES + 4) {
            place.copy_from_slice(&self.next);
        }
        frame
    }
}

impl Link for Nowhere {
    fn receive(&mut self, _frame: &mut Vec<u8>) -> io::Result<bool> {
        Ok(false)
    }

    fn room(&mut self, length: usize) -> Option<&mut [u8]> {
        assert!(length <= 65_535 + 40 + 14, "a frame of {length} bytes");
        if self.frames.len() == MOST {
            return None;
        }
        self.frames.push_back(vec![0; length]);
        self.frames.back_mut().map(Vec::as_mut_slice)
    }

    fn flush(&mut self) -> io::Result<bool> {
        self.forget();
        Ok(true)
    }
}

/// Takes frames as they come.
pub(super) fn frames(mut bytes: &[u8]) {
    static LISTENER: OnceLock<TcpListener> = OnceLock::new();
    let listener = LISTENER.get_or_init(|| TcpListener::bind("127.0.0.1:0").expect("listen on the loopback"));
    listener.set_nonblocking(true).expect("accept without waiting");
    let mut poll = Poll::new().expect("wait for sockets");
    let registry = poll.registry().try_clone().expect("register sockets");
    let address = listener.local_addr().expect("its address");
    let mut stack = Stack::new(settings(address), registry);
    let (mut link, mut events) = (Nowhere::default(), Events::with_capacity(64));
    let mut held = Vec::new();
    while let Some((length, rest)) = bytes.split_first_chunk::<2>() {
        let length = u16::from_le_bytes(*length);
        let (frame, rest) = rest.split_at(usize::from(length & !(ARRIVES | ANSWERS)).min(rest.len()));
        if length & ARRIVES != 0 {
            arrival(frame, address).into_iter().for_each(|arrival| stack.arrive(arrival));
            // A listener that isn't asked holds up the next that connects.
            held.extend(listener.accept().ok());
        } else if length & ANSWERS != 0 {
            stack.receive(&link.answer(frame), &mut link);
        } else {
            stack.receive(frame, &mut link);
        }
        poll.poll(&mut events, Some(Duration::ZERO)).expect("wait for sockets");
        for event in &events {
            stack.ready(event, &mut link);
        }
        stack.run(&mut link);
        stack.sweep(&mut link);
        link.flush().expect("forget the frames");
        bytes = rest;
    }
    while listener.accept().is_ok() {}
}

/// A connection of that peer to that target.
fn arrival(bytes: &[u8], listener: SocketAddr) -> Option<Arrival> {
    let (peer, target) = bytes.split_at(bytes.len() / 2);
    let (peer, target) = (place(peer)?, place(target)?);
    let socket = TcpStream::connect(listener).ok()?;
    Some(Arrival { socket, peer, target })
}

/// A port and an address.
fn place(bytes: &[u8]) -> Option<SocketAddr> {
    let (port, address) = bytes.split_first_chunk::<2>()?;
    let address = match (address.first_chunk::<16>(), address.first_chunk::<4>()) {
        (Some(v6), _) => IpAddr::from(*v6),
        (None, Some(v4)) => IpAddr::from(*v4),
        (None, None) => return None,
    };
    Some(SocketAddr::new(address, u16::from_be_bytes(*port)))
}

fn settings(listener: SocketAddr) -> Settings {
    let host = Ipv4Addr::new(10, 0, 2, 100);
    Settings {
        hardware: [0x52, 0x55, 10, 0, 2, 2],
        door: [0x52, 0x55, 10, 0, 2, 3],
        card: [0x52, 0x55, 10, 0, 2, 15],
        mtu: 65_520,
        v4: V4 { gateway: Ipv4Addr::new(10, 0, 2, 2), host, guest: Ipv4Addr::new(10, 0, 2, 15), prefix: 24 },
        v6: V6 {
            gateway: [0xfd62, 0x6572, 0x7468, 0, 0, 0, 0, 2].into(),
            router: [0xfe80, 0, 0, 0, 0, 0, 0, 2].into(),
        },
        policy: Policy { outside: false, forwards: BTreeMap::from([((host, 7).into(), listener)]) },
        resolvers: "/nowhere".into(),
        most_connections: 64,
        most_exchanges: 64,
    }
}
