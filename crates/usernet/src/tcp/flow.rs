//! One connection: a socket of the host's, and what the guest and we have told each other.
//!
//! ```text
//!            SYN                connected            ACK of the guest         both sides have ended
//!  (nothing) ───► Connecting ──────────────► Greeting ───────────────► Open ───────────────────────► gone
//!                    │ refused, or too late     │ no word for long        │ a reset of either side
//!                    └──────────────────────────┴────────────────────────┴──────────────────────────► gone
//!
//!         accepted by the host            SYN-ACK of the guest
//!  (nothing) ───► Calling ──────────────────────────────────────► Open
//!                    │ refused, or no word
//!                    └───────────────────► gone
//! ```

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use mio::event::Event;
use mio::net::TcpStream;
use smoltcp::wire::{IpProtocol, TcpControl, TcpRepr};

use super::emit;
use super::inbound::{self, Inbound};
use super::outbound::{Heard, Outbound, Piece};
use super::sequence::{after, number, plus, written};
use super::wake::Vigil;
use crate::emit::Wire;
use crate::icmp::{self, Reason};
use crate::packet::Path;

/// How long the host may try to connect; Linux itself gives up earlier, after 127 s.
const CONNECT: Duration = Duration::from_secs(130);
/// How long where there is another to try: a resolver.
const CONNECT_ONE_OF_MANY: Duration = Duration::from_secs(2);
/// How long the guest may take to answer our SYN-ACK; it asks again if it misses it.
const GREETING: Duration = Duration::from_secs(75);
/// How often the guest is called: for seven seconds in all. A container is a bridge away.
const MOST_CALLS: u32 = 3;
/// After so much silence the guest is asked whether it still knows the connection: its container may be gone.
const SILENCE: Duration = Duration::from_secs(600);
/// How long the guest may take to acknowledge; each time it doesn't, twice as long, up to a minute.
const PATIENCE: Duration = Duration::from_secs(1);
const LONGEST_PATIENCE: Duration = Duration::from_secs(60);
/// So often it is asked in vain: for ten minutes in all.
const MOST_TRIES: u32 = 14;
/// How long what the guest said may wait to be acknowledged by what we say next, as in Linux.
const LAG: Duration = Duration::from_millis(40);
/// Bytes towards the guest before other connections have their turn.
const TURN: usize = 256 << 10;
/// What every network carries in one segment (RFC 9293, 3.7.1), and the least that is believed: crumbs cost.
const USUAL_SEGMENT: usize = 536;
const LEAST_SEGMENT: usize = 88;
const TCP_HEADER: u16 = 20;

/// How far a turn came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Nothing left to do now.
    Done,
    /// There is more.
    More,
    /// The link has no room.
    Blocked,
    /// The connection is no more.
    Gone,
}

/// What a connection begins with.
pub(super) struct Opening {
    pub(super) path: Path,
    /// The guest's port and the far one.
    pub(super) guest: u16,
    pub(super) remote: u16,
    /// The first of our sequence numbers.
    pub(super) first: u32,
    pub(super) mtu: u16,
    /// Where else to try, last first.
    pub(super) ways: Vec<SocketAddr>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Connecting,
    Greeting,
    Calling,
    Open,
}

/// One connection.
pub(super) struct Flow {
    path: Path,
    guest: u16,
    remote: u16,
    first: u32,
    /// What we take in one segment.
    segment: u16,
    scaled: bool,
    socket: TcpStream,
    ways: Vec<SocketAddr>,
    stage: Stage,
    inbound: Inbound,
    outbound: Outbound,
    /// Until the host says otherwise.
    readable: bool,
    writable: bool,
    /// Whether its turn comes.
    pub(super) queued: bool,
    owes_syn: bool,
    owes_probe: bool,
    /// When to acknowledge at the latest, and whether somebody looks at the clock for that.
    ack_due: Option<Instant>,
    pub(super) ack_timed: bool,
    /// Whether the deadline is the guest's to acknowledge something, and whether it did since.
    waits: bool,
    progressed: bool,
    tries: u32,
    deadline: Instant,
}

impl Flow {
    /// Of a guest that sent this SYN, while the host connects.
    pub(super) fn new(socket: TcpStream, opening: Opening, syn: &TcpRepr<'_>, now: Instant) -> Self {
        let deadline = now + patience_to_connect(&opening.ways);
        let mut flow = Self::unmet(socket, opening, Stage::Connecting, deadline);
        flow.meet(syn);
        flow
    }

    /// Of a host that has accepted, while the guest is called.
    pub(super) fn call(socket: TcpStream, opening: Opening, now: Instant) -> io::Result<Self> {
        let mut flow = Self::unmet(socket, opening, Stage::Calling, now + patience(0));
        flow.begin()?;
        Ok(flow)
    }

    fn unmet(socket: TcpStream, opening: Opening, stage: Stage, deadline: Instant) -> Self {
        let Opening { path, guest, remote, first, mtu, ways } = opening;
        let ip_header = if path.guest.is_ipv4() { 20 } else { 40 };
        let segment = mtu.saturating_sub(ip_header + TCP_HEADER);
        Self {
            path,
            guest,
            remote,
            first,
            segment,
            scaled: true,
            socket,
            ways,
            stage,
            inbound: Inbound::new(0, true),
            outbound: Outbound::new(first, 0, 0, USUAL_SEGMENT),
            readable: false,
            writable: false,
            queued: false,
            owes_syn: false,
            owes_probe: false,
            ack_due: None,
            ack_timed: false,
            waits: false,
            progressed: false,
            tries: 0,
            deadline,
        }
    }

    /// Learns from the guest's SYN what it takes and where its numbers begin.
    fn meet(&mut self, syn: &TcpRepr<'_>) {
        let theirs = syn.max_seg_size.map_or(USUAL_SEGMENT, usize::from).max(LEAST_SEGMENT);
        let (scale, segment) = (syn.window_scale.unwrap_or(0), theirs.min(self.segment.into()));
        self.scaled = syn.window_scale.is_some();
        self.inbound = Inbound::new(number(syn.seq_number), self.scaled);
        self.outbound = Outbound::new(self.first, syn.window_len, scale, segment);
    }

    /// The host is connected: the guest is to hear of it.
    fn begin(&mut self) -> io::Result<()> {
        // Segments are the guest's choice, or the host's client's: the host isn't to gather them anew.
        self.socket.set_nodelay(true)?;
        // However it ends, but in order: the guest or this process may die, and who is connected isn't to take that for an end.
        reset(&self.socket)?;
        self.watch(Vigil::Usual)?;
        self.owes_syn = true;
        (self.readable, self.writable) = (true, true);
        Ok(())
    }

    /// Lets the host watch the far end so.
    pub(super) fn watch(&self, vigil: Vigil) -> io::Result<()> {
        vigil.keep(&self.socket)
    }

    /// The guest's place and the far one.
    pub(super) fn key(&self) -> (SocketAddr, SocketAddr) {
        (SocketAddr::new(self.path.guest, self.guest), SocketAddr::new(self.path.remote, self.remote))
    }

    pub(super) fn held(&self) -> usize {
        self.inbound.held() + self.outbound.held()
    }

    pub(super) fn deadline(&self) -> Instant {
        self.deadline
    }

    pub(super) fn connects(&self) -> bool {
        self.stage == Stage::Connecting
    }

    /// Where else to try to connect.
    pub(super) fn ways(&mut self) -> &mut Vec<SocketAddr> {
        &mut self.ways
    }

    /// Tries another way.
    pub(super) fn reconnect(&mut self, socket: TcpStream, now: Instant) {
        self.socket = socket;
        (self.readable, self.writable) = (false, false);
        self.deadline = now + patience_to_connect(&self.ways);
    }

    pub(super) fn socket_ready(&mut self, event: &Event) {
        self.readable |= event.is_readable() || event.is_read_closed() || event.is_error();
        self.writable |= event.is_writable() || event.is_write_closed() || event.is_error();
    }

    /// When the guest is to hear what we have, if that waits.
    pub(super) fn ack_due(&self) -> Option<Instant> {
        self.ack_due
    }

    /// The guest is to hear it now.
    pub(super) fn hurry(&mut self) {
        self.inbound.owes_ack |= self.inbound.lags();
    }

    /// Whether the host has connected; an error when it can't.
    pub(super) fn connected(&mut self) -> io::Result<bool> {
        if let Some(error) = self.socket.take_error()? {
            return Err(error);
        }
        match self.socket.peer_addr() {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotConnected => return Ok(false),
            Err(error) => return Err(error),
        }
        self.begin()?;
        self.stage = Stage::Greeting;
        self.deadline = Instant::now() + GREETING;
        Ok(true)
    }

    pub(super) fn calls(&self) -> bool {
        self.stage == Stage::Calling
    }

    /// Calls in that name from now on.
    pub(super) fn rename(&mut self, remote: SocketAddr) {
        self.path.remote = remote.ip();
        self.remote = remote.port();
    }

    /// Whether a segment answers something else than our call.
    pub(super) fn is_of_another(&self, segment: &TcpRepr<'_>) -> bool {
        let answers = segment.ack_number.is_none_or(|heard| number(heard) == plus(self.first, 1));
        self.stage == Stage::Calling && !answers
    }

    /// Takes a segment of the guest; true when it ends the connection. `room`: what all connections may still hold.
    pub(super) fn receive(&mut self, path: &Path, segment: &TcpRepr<'_>, room: usize, now: Instant) -> bool {
        self.path.card = path.card;
        let sequence = number(segment.seq_number);
        match (self.stage, segment.control) {
            (Stage::Connecting, TcpControl::Rst) => return true,
            (Stage::Connecting, TcpControl::Syn) => {
                // The same again, or another try of the same port.
                self.inbound = Inbound::new(sequence, self.scaled);
                return false;
            }
            (Stage::Connecting, _) => return false,
            (Stage::Calling, TcpControl::Rst) => {
                return segment.ack_number.is_some() && self.calls();
            }
            (Stage::Calling, TcpControl::Syn) if segment.ack_number.is_some() => {
                self.meet(segment);
                self.stage = Stage::Open;
                self.owes_syn = false;
                self.inbound.owes_ack = true;
                self.tries = 0;
                self.deadline = now + SILENCE;
                return false;
            }
            (Stage::Calling, _) => return false,
            (_, TcpControl::Rst) => {
                return self.inbound.expects(sequence);
            }
            (Stage::Greeting, TcpControl::Syn) if plus(sequence, 1) == self.inbound.next() => {
                self.owes_syn = true;
                return false;
            }
            (_, TcpControl::Syn) => {
                // Who means another connection resets this one when it hears of it (RFC 5961, 4).
                self.inbound.owes_ack = true;
                return false;
            }
            _ => {}
        }
        let Some(acknowledged) = segment.ack_number.map(number) else { return false };
        let ends = segment.control == TcpControl::Fin;
        let bare = segment.payload.is_empty() && !ends;
        match self.outbound.hear(acknowledged, segment.window_len, bare) {
            Heard::Progress => self.progressed = true,
            Heard::Nothing => {}
            Heard::Nonsense => {
                self.inbound.owes_ack = true;
                return false;
            }
        }
        if self.stage == Stage::Greeting && after(acknowledged, self.first) > 0 {
            self.stage = Stage::Open;
        }
        if self.progressed || self.outbound.is_shut() || !self.outbound.waits() {
            self.tries = 0;
        }
        self.inbound.take(sequence, segment.payload, ends, room);
        self.deadline = if self.outbound.waits() { self.deadline } else { now + SILENCE };
        false
    }

    /// Moves what can be moved, both ways. `block`: for what is read; `room`: what all connections may still hold.
    pub(super) fn step(&mut self, wire: &mut Wire<'_>, block: &mut [u8], room: usize, now: Instant) -> Step {
        if self.stage == Stage::Connecting {
            return Step::Done;
        }
        if self.owes_syn && !self.greet(wire) {
            return Step::Blocked;
        }
        if matches!(self.stage, Stage::Greeting | Stage::Calling) {
            return Step::Done;
        }
        let moved = self.serve_host().and_then(|()| self.serve_guest(wire, block, room));
        let step = match moved {
            Ok(step) => step,
            Err(error) => {
                tracing::debug!(%error, "a connection of the guest is reset");
                self.reset(wire);
                return Step::Gone;
            }
        };
        if step == Step::Blocked || !self.acknowledge(wire) {
            return Step::Blocked;
        }
        if self.inbound.is_over() && self.outbound.is_over() {
            self.part();
            return Step::Gone;
        }
        self.set_deadline(now);
        self.ack_due = self.inbound.lags().then(|| self.ack_due.unwrap_or(now + LAG));
        step
    }

    fn serve_host(&mut self) -> io::Result<()> {
        if self.writable {
            self.writable = self.inbound.pass_on(&mut self.socket)?;
        }
        Ok(())
    }

    fn serve_guest(&mut self, wire: &mut Wire<'_>, block: &mut [u8], room: usize) -> io::Result<Step> {
        let mut turn = TURN;
        loop {
            if self.readable {
                self.readable = self.outbound.fill(&mut self.socket, block, room)?;
            }
            let Some(piece) = self.outbound.due() else { return Ok(Step::Done) };
            if turn == 0 {
                return Ok(Step::More);
            }
            if !self.send(&piece, wire) {
                return Ok(Step::Blocked);
            }
            turn = turn.saturating_sub(piece.length.max(1));
        }
    }

    /// The SYN-ACK, or the SYN of a call.
    fn greet(&mut self, wire: &mut Wire<'_>) -> bool {
        let window = self.inbound.offer(true);
        let header = self.header(TcpControl::Syn, self.first, window);
        let header = TcpRepr {
            max_seg_size: Some(self.segment),
            window_scale: self.scaled.then_some(inbound::SCALE),
            ack_number: header.ack_number.filter(|_| self.stage != Stage::Calling),
            ..header
        };
        let sent = emit(&self.path, &header, &[], wire);
        if sent {
            self.owes_syn = false;
            self.inbound.offered(window, true);
        }
        sent
    }

    fn send(&mut self, piece: &Piece, wire: &mut Wire<'_>) -> bool {
        let window = self.inbound.offer(false);
        let control = match piece {
            Piece { ends: true, .. } => TcpControl::Fin,
            Piece { last: true, .. } => TcpControl::Psh,
            _ => TcpControl::None,
        };
        let header = self.header(control, piece.number, window);
        let sent = emit(&self.path, &header, self.outbound.bytes(piece), wire);
        if sent {
            self.inbound.offered(window, false);
            self.outbound.sent(piece);
        }
        sent
    }

    /// Says what we have, and asks whether the guest is there: with an old number, which it must answer.
    fn acknowledge(&mut self, wire: &mut Wire<'_>) -> bool {
        if !self.inbound.owes_ack && !self.owes_probe {
            return true;
        }
        let window = self.inbound.offer(false);
        let number = self.outbound.number();
        let number = if self.owes_probe { number.wrapping_sub(1) } else { number };
        let sent = emit(&self.path, &self.header(TcpControl::None, number, window), &[], wire);
        if sent {
            self.inbound.offered(window, false);
            self.owes_probe = false;
        }
        sent
    }

    fn header(&self, control: TcpControl, number: u32, window: u16) -> TcpRepr<'static> {
        TcpRepr {
            src_port: self.remote,
            dst_port: self.guest,
            control,
            seq_number: written(number),
            ack_number: Some(written(self.inbound.next())),
            window_len: window,
            window_scale: None,
            max_seg_size: None,
            sack_permitted: false,
            sack_ranges: [None; 3],
            timestamp: None,
            payload: &[],
        }
    }

    /// The guest has a time to acknowledge, from when something was sent or it acknowledged something else.
    fn set_deadline(&mut self, now: Instant) {
        let waits = self.outbound.waits();
        if waits && (!self.waits || self.progressed) {
            self.deadline = now + patience(self.tries);
        }
        (self.waits, self.progressed) = (waits, false);
        if !waits && self.tries == 0 {
            self.deadline = now + SILENCE;
        }
    }

    /// The deadline has passed: whether to go on, with something to do.
    pub(super) fn is_late(&mut self, now: Instant) -> bool {
        let calls = self.stage == Stage::Calling;
        let most = if calls { MOST_CALLS - 1 } else { MOST_TRIES };
        if self.stage == Stage::Greeting || self.tries >= most {
            return false;
        }
        self.tries += 1;
        self.deadline = now + patience(self.tries);
        if calls {
            self.owes_syn = true;
        } else if self.outbound.waits() {
            self.outbound.is_late();
        } else {
            self.owes_probe = true;
        }
        true
    }

    /// Tells the guest that nobody is there.
    pub(super) fn refuse(&self, reason: Reason, wire: &mut Wire<'_>) {
        if reason == Reason::Port {
            emit(&self.path, &self.header(TcpControl::Rst, 0, 0), &[], wire);
        } else {
            let head = head(self.guest, self.remote, self.inbound.next().wrapping_sub(1));
            icmp::unreachable(&self.path, IpProtocol::Tcp, &head, reason, wire);
        }
    }

    /// Ends it on both sides without ceremony; the host's when it is dropped.
    pub(super) fn reset(&mut self, wire: &mut Wire<'_>) {
        emit(&self.path, &self.header(TcpControl::Rst, self.outbound.number(), 0), &[], wire);
    }

    /// Both sides have said their last: what the far end hasn't acknowledged yet is still brought to it.
    fn part(&self) {
        if let Err(error) = rustix::net::sockopt::set_socket_linger(&self.socket, None) {
            tracing::debug!(%error, "a connection is reset instead of closed");
        }
    }
}

/// Closed with this, a socket of the host's resets its connection.
pub(super) fn reset(socket: &impl AsFd) -> io::Result<()> {
    Ok(rustix::net::sockopt::set_socket_linger(socket, Some(Duration::ZERO))?)
}

/// The first bytes of a segment, by which the guest knows what didn't arrive.
pub(super) fn head(guest: u16, remote: u16, number: u32) -> [u8; 8] {
    let mut head = [0; 8];
    head[..2].copy_from_slice(&guest.to_be_bytes());
    head[2..4].copy_from_slice(&remote.to_be_bytes());
    head[4..].copy_from_slice(&number.to_be_bytes());
    head
}

fn patience_to_connect(ways: &[SocketAddr]) -> Duration {
    if ways.is_empty() { CONNECT } else { CONNECT_ONE_OF_MANY }
}

fn patience(tries: u32) -> Duration {
    PATIENCE.saturating_mul(1 << tries.min(6)).min(LONGEST_PATIENCE)
}
