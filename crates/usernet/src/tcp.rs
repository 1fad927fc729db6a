//! TCP, ended here: the guest speaks with us, and we with the far end through a socket of the host's.
//!
//! ```text
//! guest                                   host
//!   │ SYN ──────────────────────────────► │ connect, without waiting
//!   │ ◄── SYN-ACK  when connected         │
//!   │ ◄── RST      when refused           │
//!   │ ◄── ICMP     when nobody is there   │
//!   │ data ─► bytes held ─► write         │   the window is what may still be held
//!   │ ◄─ data ◄─ bytes held ◄─ read       │   held until the guest has them for sure
//! ```
//!
//! A connection from outside begins the other way round (call):
//!
//! ```text
//! guest                                   host
//!   │                                     │ accepted by the host: it came through the door
//!   │ ◄── SYN  ────────────────────────── │
//!   │ SYN-ACK ─► data both ways, as above │
//!   │ RST, ICMP or no word ─► reset       │
//! ```
//!
//! The link loses nothing, but networks behind it may: what isn't acknowledged in time is sent again. What comes out of
//! its turn is dropped and asked for again.

mod buffer;
mod call;
mod flow;
mod inbound;
mod outbound;
mod sequence;
mod wake;

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::net::SocketAddr;
use std::time::{Instant, SystemTime};

use mio::event::Event;
use mio::net::TcpStream;
use mio::{Interest, Registry, Token};
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{EthernetAddress, IpProtocol, TcpControl, TcpPacket, TcpRepr, TcpSeqNumber};

use crate::emit::Wire;
use crate::icmp::Reason;
use crate::packet::{Packet, Path};
use crate::settings::Settings;
use crate::token::{Owner, Tokens};
use crate::{icmp, resolvers};
use flow::{Flow, Opening, Step};
use wake::Wake;

/// What all connections together may hold, in bytes. What the guest sends beyond that is dropped, and sent again by it;
/// what the host sends waits in the host.
const MOST_HELD: usize = 64 << 20;

/// The guest's and the far end's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Key {
    guest: SocketAddr,
    remote: SocketAddr,
}

/// Every connection.
pub(crate) struct Connections {
    flows: HashMap<Token, Flow>,
    known: HashMap<Key, Token>,
    tokens: Tokens,
    /// Those that have something to do, each once.
    work: VecDeque<Token>,
    /// Those that owe the guest an acknowledgement, each once, in the order in which it is due.
    lagging: BTreeSet<(Instant, Token)>,
    /// Bytes that are held, in all.
    held: usize,
    /// For what is read from the host: emptied at once.
    block: Box<[u8]>,
    secret: RandomState,
    began: Instant,
    wake: Wake,
}

impl Connections {
    pub(crate) fn new() -> Self {
        let began = Instant::now();
        Self {
            flows: HashMap::new(),
            known: HashMap::new(),
            tokens: Tokens::of(Owner::Tcp),
            work: VecDeque::new(),
            lagging: BTreeSet::new(),
            held: 0,
            block: vec![0; outbound::BLOCK].into_boxed_slice(),
            secret: RandomState::new(),
            began,
            wake: Wake::new(SystemTime::now(), began),
        }
    }

    /// Takes a segment of the guest.
    pub(crate) fn receive(
        &mut self,
        packet: &Packet<'_>,
        settings: &Settings,
        registry: &Registry,
        wire: &mut Wire<'_>,
        now: Instant,
    ) {
        let Some(segment) = parse(packet) else { return };
        let path = &packet.path;
        let key = Key {
            guest: SocketAddr::new(path.guest, segment.src_port),
            remote: SocketAddr::new(path.remote, segment.dst_port),
        };
        if let Some(token) = self.known.get(&key).copied() {
            if let Some(flow) = self.flows.get_mut(&token) {
                if flow.is_of_another(&segment) {
                    // The guest keeps a connection of that name that is no more: told so, it answers our call.
                    return reset(path, &segment, wire);
                }
                let before = flow.held();
                let gone = flow.receive(path, &segment, MOST_HELD.saturating_sub(self.held), now);
                self.held = self.held + flow.held() - before;
                if gone {
                    self.remove(token);
                } else {
                    self.queue(token);
                }
            }
            return;
        }
        let opens = segment.control == TcpControl::Syn
            && segment.ack_number.is_none()
            && path.ours != EthernetAddress(settings.door);
        if !opens || self.open(key, path, &segment, settings, registry, wire, now).is_err() {
            reset(path, &segment, wire);
        }
    }

    /// Begins to connect; what can't even begin is refused.
    #[expect(
        clippy::too_many_arguments,
        reason = "the parts of the network that a connection touches, once each"
    )]
    fn open(
        &mut self,
        key: Key,
        path: &Path,
        segment: &TcpRepr<'_>,
        settings: &Settings,
        registry: &Registry,
        wire: &mut Wire<'_>,
        now: Instant,
    ) -> io::Result<()> {
        let mut ways = if settings.is_resolver(key.remote) {
            resolvers::read(&settings.resolvers)
        } else {
            settings.way(key.remote).into_iter().collect()
        };
        ways.reverse();
        if self.is_full(settings) {
            return Err(io::ErrorKind::ConnectionRefused.into());
        }
        let token = self.tokens.next();
        let connected = connect_next(&mut ways, registry, token);
        let socket = match connected {
            Ok(socket) => socket,
            // Told to the guest as that, it gives up at once.
            Err(error) if Reason::of(&error) != Reason::Port => {
                let head =
                    flow::head(key.guest.port(), key.remote.port(), sequence::number(segment.seq_number));
                icmp::unreachable(path, IpProtocol::Tcp, &head, Reason::of(&error), wire);
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        let opening = Opening {
            path: *path,
            guest: key.guest.port(),
            remote: key.remote.port(),
            first: self.first_number(key, now),
            mtu: settings.mtu,
            ways,
        };
        self.insert(token, key, Flow::new(socket, opening, segment, now));
        Ok(())
    }

    /// Whether there may be no more connections; said in the log.
    fn is_full(&self, settings: &Settings) -> bool {
        let most = settings.most_connections;
        let full = self.flows.len() >= most;
        if full {
            tracing::warn!(most, "a connection is refused: the guest has too many");
        }
        full
    }

    fn insert(&mut self, token: Token, key: Key, flow: Flow) {
        self.flows.insert(token, flow);
        self.known.insert(key, token);
    }

    /// Where our numbers begin: not to be guessed by who isn't asked (RFC 6528).
    fn first_number(&self, key: Key, now: Instant) -> u32 {
        let secret = self.secret.hash_one(key).to_le_bytes();
        let ticks = now.saturating_duration_since(self.began).as_micros() / 4;
        let [a, b, c, d, ..] = secret;
        u32::from_le_bytes([a, b, c, d]).wrapping_add(ticks as u32)
    }

    /// Hears of a socket of the host's.
    pub(crate) fn ready(&mut self, event: &Event, registry: &Registry, wire: &mut Wire<'_>, now: Instant) {
        let token = event.token();
        let Some(flow) = self.flows.get_mut(&token) else { return };
        flow.socket_ready(event);
        if flow.connects() {
            match flow.connected() {
                Ok(true) => {}
                Ok(false) => return,
                Err(error) => return self.connect_elsewhere(token, &error, registry, wire, now),
            }
        }
        self.queue(token);
    }

    /// Tries the next way, or tells the guest that there is none.
    fn connect_elsewhere(
        &mut self,
        token: Token,
        error: &io::Error,
        registry: &Registry,
        wire: &mut Wire<'_>,
        now: Instant,
    ) {
        let Some(flow) = self.flows.get_mut(&token) else { return };
        if let Ok(socket) = connect_next(flow.ways(), registry, token) {
            return flow.reconnect(socket, now);
        }
        flow.refuse(Reason::of(error), wire);
        self.remove(token);
    }

    /// Does a turn of work; true when more is left that the link has room for.
    pub(crate) fn run(&mut self, wire: &mut Wire<'_>, now: Instant) -> bool {
        for _ in 0..self.work.len() {
            let Some(token) = self.work.pop_front() else { break };
            let Some(flow) = self.flows.get_mut(&token) else { continue };
            flow.queued = false;
            let before = flow.held();
            let step = flow.step(wire, &mut self.block, MOST_HELD.saturating_sub(self.held), now);
            self.held = self.held + flow.held() - before;
            if let Some(due) = flow.ack_due().filter(|_| !std::mem::replace(&mut flow.ack_timed, true)) {
                self.lagging.insert((due, token));
            }
            match step {
                Step::Done => {}
                Step::More => self.queue(token),
                Step::Blocked => {
                    flow.queued = true;
                    self.work.push_front(token);
                    return false;
                }
                Step::Gone => self.remove(token),
            }
        }
        !self.work.is_empty()
    }

    /// When the next acknowledgement is due.
    pub(crate) fn next_ack(&self) -> Option<Instant> {
        self.lagging.first().map(|(due, _)| *due)
    }

    /// Lets those speak whose acknowledgement is due.
    pub(crate) fn hurry(&mut self, now: Instant) {
        while let Some((due, token)) = self.lagging.first().copied().filter(|(due, _)| *due <= now) {
            self.lagging.pop_first();
            let Some(flow) = self.flows.get_mut(&token) else { continue };
            match flow.ack_due() {
                // Since then it has said something, and lags anew.
                Some(later) if later > due => drop(self.lagging.insert((later, token))),
                waits => {
                    flow.ack_timed = false;
                    if waits.is_some() {
                        flow.hurry();
                        self.queue(token);
                    }
                }
            }
        }
    }

    /// Looks after those that wait for the guest; says when to look again.
    pub(crate) fn sweep(
        &mut self,
        settings: &Settings,
        registry: &Registry,
        wire: &mut Wire<'_>,
        now: Instant,
    ) -> Option<Instant> {
        self.look_at_clocks(now);
        let due = self.flows.iter().filter(|(_, flow)| flow.deadline() <= now);
        let due: Vec<Token> = due.map(|(token, _)| *token).collect();
        for token in due {
            let Some(flow) = self.flows.get_mut(&token) else { continue };
            if flow.connects() {
                self.connect_elsewhere(token, &io::ErrorKind::TimedOut.into(), registry, wire, now);
            } else if flow.is_late(now) {
                if flow.calls() {
                    self.call_hidden(token, settings);
                }
                self.queue(token);
            } else {
                tracing::debug!("the guest left a connection without a word");
                flow.reset(wire);
                self.remove(token);
            }
        }
        let next = self.flows.values().map(Flow::deadline).min();
        next.map(|next| next.min(self.wake.next_look()))
    }

    /// A host that slept watches its far ends more closely for a while.
    fn look_at_clocks(&mut self, now: Instant) {
        let Some(vigil) = self.wake.look(SystemTime::now(), now) else { return };
        tracing::debug!(?vigil, connections = self.flows.len(), "this machine slept");
        for flow in self.flows.values() {
            if let Err(error) = flow.watch(vigil) {
                tracing::debug!(%error, "a connection can't be watched");
            }
        }
    }

    fn queue(&mut self, token: Token) {
        if let Some(flow) = self.flows.get_mut(&token)
            && !std::mem::replace(&mut flow.queued, true)
        {
            self.work.push_back(token);
        }
    }

    fn remove(&mut self, token: Token) {
        if let Some(flow) = self.flows.remove(&token) {
            self.held = self.held.saturating_sub(flow.held());
            let (guest, remote) = flow.key();
            self.known.remove(&Key { guest, remote });
        }
    }
}

fn parse<'a>(packet: &Packet<'a>) -> Option<TcpRepr<'a>> {
    let (remote, guest) = packet.path.back();
    let segment = TcpPacket::new_checked(packet.payload).ok()?;
    TcpRepr::parse(&segment, &guest, &remote, &ChecksumCapabilities::ignored()).ok()
}

/// Begins to connect to the next place that can be connected to.
fn connect_next(ways: &mut Vec<SocketAddr>, registry: &Registry, token: Token) -> io::Result<TcpStream> {
    let mut refused = io::Error::from(io::ErrorKind::ConnectionRefused);
    while let Some(to) = ways.pop() {
        let connect = || {
            let mut socket = TcpStream::connect(to)?;
            registry.register(&mut socket, token, Interest::READABLE | Interest::WRITABLE)?;
            io::Result::Ok(socket)
        };
        match connect() {
            Ok(socket) => return Ok(socket),
            Err(error) => refused = error,
        }
    }
    Err(refused)
}

/// Answers a segment that belongs to no connection (RFC 9293, 3.10.7.1).
fn reset(path: &Path, segment: &TcpRepr<'_>, wire: &mut Wire<'_>) {
    if segment.control == TcpControl::Rst {
        return;
    }
    let answer = match segment.ack_number {
        Some(acknowledged) => bare(segment, TcpControl::Rst, acknowledged, None),
        None => {
            let end = segment.seq_number + segment.segment_len();
            bare(segment, TcpControl::Rst, TcpSeqNumber(0), Some(end))
        }
    };
    emit(path, &answer, &[], wire);
}

/// A segment without data, back to where one came from.
fn bare(
    to: &TcpRepr<'_>,
    control: TcpControl,
    seq_number: TcpSeqNumber,
    ack_number: Option<TcpSeqNumber>,
) -> TcpRepr<'static> {
    TcpRepr {
        src_port: to.dst_port,
        dst_port: to.src_port,
        control,
        seq_number,
        ack_number,
        window_len: 0,
        window_scale: None,
        max_seg_size: None,
        sack_permitted: false,
        sack_ranges: [None; 3],
        timestamp: None,
        payload: &[],
    }
}

/// Writes a segment with that payload; whether there was room.
fn emit(path: &Path, header: &TcpRepr<'_>, payload: &[u8], wire: &mut Wire<'_>) -> bool {
    let (from, to) = path.back();
    wire.packet(path, IpProtocol::Tcp, header.header_len() + payload.len(), |bytes| {
        let ignored = ChecksumCapabilities::ignored();
        header.emit(&mut TcpPacket::new_unchecked(&mut *bytes), &from, &to, &ignored);
        bytes[header.header_len()..].copy_from_slice(payload);
        TcpPacket::new_unchecked(bytes).fill_checksum(&from, &to);
    })
}
