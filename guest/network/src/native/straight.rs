//! The straight way of this machine's own connections to published ports: whoever connects to 127.0.0.1 is connected to
//! the container at once, past the translation of each packet (docs/design/005).
//!
//! Two programs in the kernel do it, at the root of the cgroups that the engine sees: one gives connect(2) the container's
//! address ([`lead`]), the other getpeername(2) what was asked for ([`name`]). Both go with the engine; what isn't led, or
//! isn't any more, is translated as everything else is.

use std::collections::HashSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};

use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags};

use crate::assembly::{Assembly, Function, Register, Size};
use crate::publish::{Transport, Wanted};
use crate::sys::bpf::{Kind, Map, Program, Purpose, Shape};
use Register::{R0, R1, R2, R3, R4, R6, R7, R8, R9, Stack};
use Size::{Double, Word};

/// By address and port that are published, or every address and the port: where they lead.
const DOORS: Shape = Shape { name: "doors", kind: Kind::Hash, key: 8, value: 8, entries: 1 << 16 };
/// By a socket's cookie: whom it was to be connected to, and whom it is.
const LED: Shape = Shape { name: "led", kind: Kind::LruHash, key: 8, value: 16, entries: 1 << 14 };

/// Places in what the kernel shows of a connection (`struct bpf_sock_addr`), and of its socket (`struct bpf_sock`).
const ADDRESS: i16 = 4;
const PORT: i16 = 24;
const PROTOCOL: i16 = 36;
const SOCKET: i16 = 64;
const INTERFACE: i16 = 0;
const SOURCE: i16 = 24;

/// The answer of a program that lets its connection go on.
const GO_ON: i32 = 1;

/// Places on a program's stack: a door's key, a socket's cookie, what becomes known of it.
const KEY: i16 = -8;
const COOKIE: i16 = -16;
const VALUE: i16 = -32;

/// Both programs at work, as long as the value lives.
pub(super) struct Straight {
    doors: Map,
    _links: [OwnedFd; 2],
}

impl Straight {
    /// For connections of the calling thread's network namespace, to nowhere yet.
    ///
    /// # Errors
    /// When the kernel has no programs at cgroups (`CONFIG_CGROUP_BPF`), or refuses these.
    pub(super) fn open() -> io::Result<Self> {
        let (doors, led) = (Map::create(&DOORS)?, Map::create(&LED)?);
        let root = root()?;
        let link = |name, purpose, code: Assembly| {
            Program::load(name, purpose, &code.finish())?.link(root.as_fd(), purpose)
        };
        let connect = lead(crate::sys::network_cookie()?, &doors, &led);
        let links = [
            // Before anybody is led, so that nobody sees where.
            link("berth_peer", Purpose::PeerName, name(&led))?,
            link("berth_connect", Purpose::Connect, connect)?,
        ];
        Ok(Self { doors, _links: links })
    }

    /// Leads new connections to these ports, and to no other.
    pub(super) fn set(&self, open: &[Wanted]) -> io::Result<()> {
        let doors: Vec<_> = open.iter().filter_map(door).collect();
        let kept: HashSet<_> = doors.iter().map(|(key, _)| &key[..]).collect();
        for key in self.doors.keys()?.iter().filter(|key| !kept.contains(key.as_slice())) {
            self.doors.remove(key)?;
        }
        doors.iter().try_for_each(|(key, target)| self.doors.insert(key, target))
    }
}

/// The root of the cgroups of version 2, wherever that is mounted.
fn root() -> io::Result<OwnedFd> {
    let cgroups = rustix::mount::fsopen("cgroup2", FsOpenFlags::FSOPEN_CLOEXEC)?;
    rustix::mount::fsconfig_create(&cgroups)?;
    Ok(rustix::mount::fsmount(&cgroups, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())?)
}

/// A port as the first program finds it, and where it leads; none when connections to 127.0.0.0/8 don't get there.
fn door(wanted: &Wanted) -> Option<([u8; 8], [u8; 8])> {
    let Wanted {
        transport: Transport::Tcp,
        host_ip: IpAddr::V4(host),
        host_port,
        target: SocketAddr::V4(target),
    } = *wanted
    else {
        return None;
    };
    let is_met = host.is_loopback() || host.is_unspecified();
    is_met.then(|| (place(host, host_port), place(*target.ip(), target.port())))
}

/// Both as the kernel has them, each in a word.
fn place(address: Ipv4Addr, port: u16) -> [u8; 8] {
    let ([a, b, c, d], [high, low]) = (address.octets(), port.to_be_bytes());
    let port = u32::from(u16::from_ne_bytes([high, low])).to_ne_bytes();
    let mut place = [a, b, c, d, 0, 0, 0, 0];
    place[4..].copy_from_slice(&port);
    place
}

/// The program that leads TCP of this namespace from a published port to its container, unless a socket has an address or
/// an interface of its own that wouldn't get there.
fn lead(namespace: u64, doors: &Map, led: &Map) -> Assembly {
    const TCP: u32 = 6;
    let mut code = Assembly::default();
    code.copy(R6, R1);
    code.load(Word, R2, R6, PROTOCOL);
    code.jump_unless_word(R2, TCP, "go on");
    code.load(Word, R7, R6, ADDRESS);
    code.copy(R2, R7);
    // The first of four bytes as they lie in memory.
    code.and(R2, u32::from_ne_bytes([0xff, 0, 0, 0]).cast_signed());
    code.jump_unless_word(R2, u32::from_ne_bytes([127, 0, 0, 0]), "go on");
    code.load(Double, R2, R6, SOCKET);
    code.load(Word, R3, R2, INTERFACE);
    code.jump_unless_word(R3, 0, "go on");
    code.load(Word, R3, R2, SOURCE);
    code.jump_unless_word(R3, 0, "go on");
    code.copy(R1, R6);
    code.call(Function::NetworkCookie);
    code.set_wide(R2, namespace);
    code.jump_unless_same(R0, R2, "go on");

    code.load(Word, R8, R6, PORT);
    code.store(Word, Stack, KEY, R7);
    code.store(Word, Stack, KEY + 4, R8);
    find(&mut code, doors, KEY);
    code.jump_unless(R0, 0, "found");
    code.set(R2, 0);
    code.store(Word, Stack, KEY, R2);
    find(&mut code, doors, KEY);
    code.jump_if(R0, 0, "go on");
    code.label("found");
    code.copy(R9, R0);

    code.copy(R1, R6);
    code.call(Function::SocketCookie);
    code.store(Double, Stack, COOKIE, R0);
    code.store(Word, Stack, VALUE, R7);
    code.store(Word, Stack, VALUE + 4, R8);
    code.load(Double, R2, R9, 0);
    code.store(Double, Stack, VALUE + 8, R2);
    code.set_map(R1, led);
    code.point(R2, Stack, COOKIE);
    code.point(R3, Stack, VALUE);
    code.set(R4, 0);
    code.call(Function::Update);
    code.jump_unless(R0, 0, "go on");
    rename(&mut code, Stack, VALUE + 8);
    end(&mut code);
    code
}

/// The program that says whom a socket was to be connected to, if it is connected to whom it was led to.
fn name(led: &Map) -> Assembly {
    let mut code = Assembly::default();
    code.copy(R6, R1);
    code.call(Function::SocketCookie);
    code.store(Double, Stack, COOKIE, R0);
    find(&mut code, led, COOKIE);
    code.jump_if(R0, 0, "go on");
    for (at, place) in [(8, ADDRESS), (12, PORT)] {
        code.load(Word, R2, R0, at);
        code.load(Word, R3, R6, place);
        code.jump_unless_same(R2, R3, "go on");
    }
    rename(&mut code, R0, 0);
    end(&mut code);
    code
}

fn find(code: &mut Assembly, map: &Map, key: i16) {
    code.set_map(R1, map);
    code.point(R2, Stack, key);
    code.call(Function::Lookup);
}

/// Puts the address and port that lie there in the connection's.
fn rename(code: &mut Assembly, base: Register, at: i16) {
    for (at, place) in [(at, ADDRESS), (at + 4, PORT)] {
        code.load(Word, R2, base, at);
        code.store(Word, R6, place, R2);
    }
}

fn end(code: &mut Assembly) {
    code.label("go on");
    code.set(R0, GO_ON);
    code.exit();
}
