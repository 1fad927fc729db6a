//! Frames of a guest: each is the length of the next in two bytes, and that. The network leads to one port of the
//! loopback, where connections are taken and dropped, and nowhere else.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::OnceLock;
use std::time::Duration;

use mio::{Events, Poll};
use usernet::{Link, Policy, Settings, Stack, V4, V6};

/// More frames than a guest that doesn't read may be owed.
const MOST: usize = 64;

/// What the guest would get, of which nothing is kept.
#[derive(Default)]
struct Nowhere(VecDeque<Vec<u8>>);

impl Link for Nowhere {
    fn receive(&mut self, _frame: &mut Vec<u8>) -> io::Result<bool> {
        Ok(false)
    }

    fn room(&mut self, length: usize) -> Option<&mut [u8]> {
        assert!(length <= 65_535 + 40 + 14, "a frame of {length} bytes");
        if self.0.len() == MOST {
            return None;
        }
        self.0.push_back(vec![0; length]);
        self.0.back_mut().map(Vec::as_mut_slice)
    }

    fn flush(&mut self) -> io::Result<bool> {
        self.0.clear();
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
    let mut stack = Stack::new(settings(listener.local_addr().expect("its address")), registry);
    let (mut link, mut events) = (Nowhere::default(), Events::with_capacity(64));
    while let Some((length, rest)) = bytes.split_first_chunk::<2>() {
        let length = usize::from(u16::from_le_bytes(*length)).min(rest.len());
        let (frame, rest) = rest.split_at(length);
        stack.receive(frame, &mut link);
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
        most_flows: 64,
    }
}
