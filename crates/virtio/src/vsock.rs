//! The vsock device (VIRTIO 1.2, 5.10): clients on the host reach ports of the guest through a unix socket.
//!
//! A client connects, sends the guest's port as a little-endian `u32` and gets one status byte: [`CONNECTED`],
//! [`REFUSED`] or [`TIMED_OUT`]; after the first, bytes flow both ways and each side may end its own. Only the
//! host opens connections: what the guest asks for is reset, so a container that reaches vsock reaches nobody.
//!
//! The device is a state machine over its two queues. Whoever carries them calls [`Vsock::run`] when the guest
//! kicked and, after [`Vsock::host_ready`], when [`Vsock::readiness`] is readable. The event queue stays unused:
//! it only serves migration.

mod connection;
mod packet;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, VecDeque};
use std::io::Write;
use std::net::Shutdown;
use std::os::fd::BorrowedFd;
use std::os::unix::net::UnixListener;
use std::time::{Duration, Instant};

use virtio_queue::{Queue, QueueT};

use crate::chain::Pieces;
use crate::sys::{Event, Poller};
use crate::{Error, Memory, Owed};
use connection::{Connection, State, Taken};
use packet::{Header, Operation};

/// Status byte: the guest accepted, bytes flow.
pub const CONNECTED: u8 = 0;
/// Status byte: nobody listens at that port, or the device has too many connections.
pub const REFUSED: u8 = 1;
/// Status byte: the guest didn't answer in time.
pub const TIMED_OUT: u8 = 2;

/// The receive, transmit and event queues, in the order of the specification.
pub const QUEUES: usize = 3;
/// Entries of each queue at the most: QEMU's virtio-mmio offers the driver so many, and Linux takes them.
pub const QUEUE_SIZE: u16 = 1024;

/// Streams at once. A docker client opens a handful, a published port one per connection; each may hold
/// [`connection::BUFFER`] bytes, so this bounds the device at 256 MiB.
const MOST_CONNECTIONS: usize = 1024;
/// Packets without payload that wait for the guest's buffers. At this many the device takes nothing more from the
/// guest, so that one that asks and never listens stops itself.
const MOST_REPLIES: usize = 512;
/// Packets taken from the guest before it is its clients' turn.
const BATCH: usize = 256;
/// The longest payload of a packet; Linux sends no longer ones.
const MOST_PAYLOAD: usize = 64 * 1024;
/// How long a client may take to say which port it wants.
const GREETING: Duration = Duration::from_secs(5);
/// How long a guest that was heard before may take to answer.
const ANSWER: Duration = Duration::from_secs(5);
/// The same for a guest that was never heard: its driver may have swallowed the request, so give up early and let
/// the client ask again.
const FIRST_ANSWER: Duration = Duration::from_millis(300);
/// Marks the listener among the streams, whose tokens are 32-bit ports.
const LISTENER: u64 = u64::MAX - 1;

/// The device.
pub struct Vsock {
    guest_cid: u64,
    listener: UnixListener,
    poller: Poller,
    /// By host port, which is unique.
    connections: HashMap<u32, Connection>,
    next_port: u32,
    replies: VecDeque<Header>,
    /// Host ports of connections that have something for the guest, in turn.
    turns: VecDeque<u32>,
    deadlines: VecDeque<(Instant, u32)>,
    guest_was_heard: bool,
}

impl Vsock {
    /// A device for the guest with context id `guest_cid`; clients come through `listener`.
    ///
    /// # Errors
    /// When the operating system has no more descriptors.
    pub fn new(guest_cid: u32, listener: UnixListener) -> Result<Self, Error> {
        listener.set_nonblocking(true).map_err(Error::Wait)?;
        let poller = Poller::new().map_err(Error::Wait)?;
        poller.add_listener(&listener, LISTENER).map_err(Error::Wait)?;
        Ok(Self {
            guest_cid: guest_cid.into(),
            listener,
            poller,
            connections: HashMap::new(),
            next_port: 1 << 30,
            replies: VecDeque::new(),
            turns: VecDeque::new(),
            deadlines: VecDeque::new(),
            guest_was_heard: false,
        })
    }

    /// Readable when something happened on the host's side: call [`Self::host_ready`], then [`Self::run`].
    pub fn readiness(&self) -> BorrowedFd<'_> {
        self.poller.readiness()
    }

    /// The device's configuration space: the guest's context id.
    pub fn config(&self) -> [u8; 8] {
        self.guest_cid.to_le_bytes()
    }

    /// Forgets every connection: the driver starts anew.
    pub fn reset(&mut self) {
        self.connections.clear();
        self.replies.clear();
        self.turns.clear();
        self.deadlines.clear();
        self.guest_was_heard = false;
    }

    /// Takes note of what clients did: new ones, bytes, ends, deadlines.
    ///
    /// # Errors
    /// When the operating system can't say what happened.
    pub fn host_ready(&mut self) -> Result<(), Error> {
        for event in self.poller.events().map_err(Error::Wait)? {
            match event {
                Event::Timer => self.expire(Instant::now()),
                Event::Stream { token: LISTENER, .. } => self.accept(),
                Event::Stream { token, readable, writable, gone } => {
                    if let Ok(port) = u32::try_from(token) {
                        self.client_changed(port, readable, writable, gone);
                    }
                }
            }
        }
        Ok(())
    }

    /// Moves packets both ways until nothing moves; returns which interrupts the guest is owed.
    ///
    /// # Errors
    /// When the driver's rings are broken: the device is to be stopped until its reset.
    pub fn run(&mut self, receive: &mut Queue, transmit: &mut Queue, memory: &Memory) -> Result<Owed, Error> {
        let (mut drained, mut filled) = (0, 0);
        let mut idle_rounds = 0;
        // A ring that announces entries and gives none is broken; two idle rounds tell it from a late entry.
        while idle_rounds < 2 {
            transmit.disable_notification(memory)?;
            receive.disable_notification(memory)?;
            let (before, after_drain) = (drained + filled, self.drain(transmit, memory)?);
            drained += after_drain;
            filled += self.fill(receive, memory)?;
            let mut more = false;
            if self.replies.len() < MOST_REPLIES {
                more |= transmit.enable_notification(memory)?;
            }
            if !self.replies.is_empty() || !self.turns.is_empty() {
                more |= receive.enable_notification(memory)?;
            }
            if !more {
                break;
            }
            idle_rounds = if drained + filled == before { idle_rounds + 1 } else { 0 };
        }
        Ok(Owed {
            receive: filled > 0 && receive.needs_notification(memory)?,
            transmit: drained > 0 && transmit.needs_notification(memory)?,
        })
    }

    /// Takes packets of the guest; returns how many.
    fn drain(&mut self, transmit: &mut Queue, memory: &Memory) -> Result<usize, Error> {
        let mut count = 0;
        while count < BATCH && self.replies.len() < MOST_REPLIES {
            let Some(chain) = transmit.pop_descriptor_chain(memory) else { break };
            let head = chain.head_index();
            match Pieces::readable(memory, chain, packet::LENGTH + MOST_PAYLOAD) {
                Some(pieces) => self.packet(pieces),
                None => tracing::debug!("the guest sent a packet from memory that it doesn't have"),
            }
            transmit.add_used(memory, head, 0)?;
            count += 1;
        }
        Ok(count)
    }

    /// Fills buffers of the guest; returns how many.
    fn fill(&mut self, receive: &mut Queue, memory: &Memory) -> Result<usize, Error> {
        let mut count = 0;
        while !self.replies.is_empty() || !self.turns.is_empty() {
            let Some(chain) = receive.pop_descriptor_chain(memory) else { break };
            let head = chain.head_index();
            let buffer = Pieces::writable(memory, chain, packet::LENGTH + MOST_PAYLOAD);
            let parts = buffer.and_then(|mut buffer| Some((buffer.split_front(packet::LENGTH)?, buffer)));
            let written = match &parts {
                Some((header, payload)) => self.next_packet(payload).map(|(packet, length)| {
                    header.copy_from(&packet.encode());
                    packet::LENGTH + length
                }),
                // Too short for a header, or not the guest's memory: give it back unused.
                None => Some(0),
            };
            let Some(written) = written else {
                // Nobody had anything after all: the buffer stays available.
                receive.set_next_avail(receive.next_avail().wrapping_sub(1));
                break;
            };
            let written = u32::try_from(written).unwrap_or(u32::MAX);
            receive.add_used(memory, head, written)?;
            count += 1;
        }
        Ok(count)
    }

    /// The next packet for the guest, its payload already in `room`.
    fn next_packet(&mut self, room: &Pieces<'_>) -> Option<(Header, usize)> {
        if let Some(reply) = self.replies.pop_front() {
            return Some((reply, 0));
        }
        while let Some(port) = self.turns.pop_front() {
            let Some(connection) = self.connections.get_mut(&port) else { continue };
            connection.queued = false;
            let credit = connection.credit();
            if credit == 0 || !wants_turn(connection) {
                continue;
            }
            if room.len() == 0 {
                // A buffer that holds only a header carries no data: try with the next one.
                self.take_turn(port);
                return None;
            }
            match connection.take(room, credit) {
                Taken::Bytes(length) => {
                    connection.count_sent(length);
                    let length_field = u32::try_from(length).unwrap_or(u32::MAX);
                    let header = self.header(port, Operation::Data, 0, length_field);
                    self.take_turn(port);
                    return header.map(|header| (header, length));
                }
                Taken::Nothing => {}
                Taken::End => {
                    let header = self.client_end(port);
                    self.settle(port);
                    return header.map(|header| (header, 0));
                }
            }
        }
        None
    }

    /// Notes the client's end and gives the packet that says so.
    fn client_end(&mut self, port: u32) -> Option<Header> {
        let connection = self.connections.get_mut(&port)?;
        connection.client_ended = true;
        connection.readable = false;
        let both = if connection.gone { packet::NO_MORE_RECEIVING } else { 0 };
        self.header(port, Operation::Shutdown, packet::NO_MORE_SENDING | both, 0)
    }

    /// Queues a connection for the guest's buffers, if it has something and isn't queued yet.
    fn take_turn(&mut self, port: u32) {
        if let Some(connection) = self.connections.get_mut(&port)
            && !connection.queued
            && wants_turn(connection)
        {
            connection.queued = true;
            self.turns.push_back(port);
        }
    }

    /// Acts on one packet of the guest.
    fn packet(&mut self, mut pieces: Pieces<'_>) {
        let Some(front) = pieces.split_front(packet::LENGTH) else { return };
        let mut bytes = [0; packet::LENGTH];
        front.copy_to(&mut bytes);
        let header = Header::decode(&bytes);
        if header.source_cid != self.guest_cid || header.target_cid != packet::HOST_CID {
            return;
        }
        self.guest_was_heard = true;
        let known = self
            .connections
            .get_mut(&header.target_port)
            .filter(|known| known.guest_port == header.source_port && header.kind == packet::STREAM);
        let Some(connection) = known else { return self.refuse(&header) };
        connection.learn_credit(&header);
        let port = header.target_port;
        match (Operation::of(header.operation), connection.state) {
            (Some(Operation::Response), State::Requested) => self.opened(port),
            (Some(Operation::Reset), State::Requested) => self.not_opened(port, REFUSED),
            (Some(Operation::Reset), _) => self.guest_reset(port),
            (Some(Operation::Data), State::Open) => {
                pieces.truncate(header.length as usize);
                let whole = pieces.len() == header.length as usize;
                if !whole || connection.guest_ended || !connection.pass_on(&pieces) {
                    return self.drop_both(port);
                }
            }
            (Some(Operation::Shutdown), State::Open) => {
                connection.guest_deaf |= header.flags & packet::NO_MORE_RECEIVING != 0;
                connection.guest_ended |= header.flags & packet::NO_MORE_SENDING != 0;
            }
            (Some(Operation::CreditUpdate), State::Open) => {}
            (Some(Operation::CreditRequest), State::Open) => self.tell_credit(port),
            _ => return self.drop_both(port),
        }
        self.settle(port);
        self.take_turn(port);
    }

    /// Answers a packet that belongs to no connection, unless it is itself a reset.
    fn refuse(&mut self, header: &Header) {
        if Operation::of(header.operation) != Some(Operation::Reset) {
            self.replies.push_back(Header {
                source_cid: packet::HOST_CID,
                target_cid: self.guest_cid,
                source_port: header.target_port,
                target_port: header.source_port,
                kind: header.kind,
                operation: Operation::Reset as u16,
                ..Header::default()
            });
        }
    }

    fn opened(&mut self, port: u32) {
        if let Some(connection) = self.connections.get_mut(&port) {
            connection.state = State::Open;
            if (&connection.client).write_all(&[CONNECTED]).is_err() {
                self.drop_both(port);
            }
        }
    }

    fn not_opened(&mut self, port: u32, status: u8) {
        if let Some(connection) = self.connections.remove(&port) {
            // A client that left doesn't need the answer.
            let _ = (&connection.client).write_all(&[status]);
        }
    }

    /// The guest is done with the connection: the client gets what is on its way, then the end.
    fn guest_reset(&mut self, port: u32) {
        if let Some(connection) = self.connections.get_mut(&port) {
            connection.guest_reset = true;
            connection.client_ended = true;
        }
    }

    /// Ends a connection at once, on both sides.
    fn drop_both(&mut self, port: u32) {
        let reset = self.header(port, Operation::Reset, 0, 0);
        self.replies.extend(reset);
        self.connections.remove(&port);
    }

    /// Passes ends on and forgets the connection when both sides have ended.
    fn settle(&mut self, port: u32) {
        let Some(connection) = self.connections.get_mut(&port) else { return };
        if connection.state != State::Open {
            return;
        }
        let takes_more = connection.flush();
        if connection.guest_reset {
            if !takes_more || connection.is_flushed() {
                self.connections.remove(&port);
            }
            return;
        }
        if !takes_more {
            return self.drop_both(port);
        }
        if connection.owes_credit() && !connection.guest_ended {
            self.tell_credit(port);
        }
        let Some(connection) = self.connections.get_mut(&port) else { return };
        if connection.guest_deaf && !connection.client_ended {
            let _ = connection.client.shutdown(Shutdown::Read);
        }
        if connection.client_ended && connection.gone {
            // The client was told everything it can be told, and so was the guest.
            self.connections.remove(&port);
        } else if connection.guest_ended && connection.is_flushed() {
            let _ = connection.client.shutdown(Shutdown::Write);
            if connection.client_ended || connection.guest_deaf {
                self.drop_both(port);
            }
        }
    }

    fn tell_credit(&mut self, port: u32) {
        let update = self.header(port, Operation::CreditUpdate, 0, 0);
        self.replies.extend(update);
    }

    /// A header for the guest's end of a connection; it carries our credit.
    fn header(&mut self, port: u32, operation: Operation, flags: u32, length: u32) -> Option<Header> {
        let connection = self.connections.get_mut(&port)?;
        let mut header = Header {
            source_cid: packet::HOST_CID,
            target_cid: self.guest_cid,
            source_port: port,
            target_port: connection.guest_port,
            length,
            kind: packet::STREAM,
            operation: operation as u16,
            flags,
            ..Header::default()
        };
        connection.tell_credit(&mut header);
        Some(header)
    }

    /// Takes new clients; over the limit they are refused at once.
    fn accept(&mut self) {
        loop {
            match self.listener.accept() {
                Ok((client, _)) if self.connections.len() >= MOST_CONNECTIONS => {
                    let _ = (&client).write_all(&[REFUSED]);
                }
                Ok((client, _)) => {
                    let port = self.free_port();
                    let added = client
                        .set_nonblocking(true)
                        .and_then(|()| self.poller.add_stream(&client, port.into()));
                    if let Err(error) = added {
                        tracing::warn!(%error, "a vsock client can't be served");
                        continue;
                    }
                    self.connections.insert(port, Connection::new(client));
                    self.expect(port, GREETING);
                    // Most clients write at once: don't wait to be told.
                    self.client_changed(port, true, false, false);
                }
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => {
                    // Out of descriptors, most likely: the client stays in line, so breathe before the next try.
                    tracing::warn!(%error, "a vsock client can't be accepted");
                    std::thread::sleep(Duration::from_millis(10));
                    return;
                }
            }
        }
    }

    /// A host port that no connection has; old numbers come back after four thousand million others.
    fn free_port(&mut self) -> u32 {
        loop {
            self.next_port = self.next_port.wrapping_add(1).max(1024);
            if !self.connections.contains_key(&self.next_port) {
                return self.next_port;
            }
        }
    }

    fn client_changed(&mut self, port: u32, readable: bool, writable: bool, gone: bool) {
        let Some(connection) = self.connections.get_mut(&port) else { return };
        connection.readable |= readable;
        connection.gone |= gone;
        match connection.state {
            State::Greeting { .. } => match connection.greeting() {
                Ok(Some(guest_port)) => {
                    connection.guest_port = guest_port;
                    connection.state = State::Requested;
                    let request = self.header(port, Operation::Request, 0, 0);
                    self.replies.extend(request);
                    self.expect(port, if self.guest_was_heard { ANSWER } else { FIRST_ANSWER });
                }
                Ok(None) => {}
                Err(_) => drop(self.connections.remove(&port)),
            },
            State::Requested if gone => self.drop_both(port),
            State::Requested => {}
            State::Open => {
                if gone && connection.client_ended && !connection.guest_reset {
                    // It was told of the client's end only; now of both.
                    let both = packet::NO_MORE_SENDING | packet::NO_MORE_RECEIVING;
                    let shutdown = self.header(port, Operation::Shutdown, both, 0);
                    self.replies.extend(shutdown);
                }
                if writable || gone {
                    self.settle(port);
                }
                self.take_turn(port);
            }
        }
    }

    /// Gives a connection that isn't open yet a deadline, in place of an earlier one.
    fn expect(&mut self, port: u32, within: Duration) {
        self.deadlines.retain(|(_, other)| *other != port);
        let deadline = Instant::now() + within;
        let place = self.deadlines.partition_point(|(other, _)| *other <= deadline);
        self.deadlines.insert(place, (deadline, port));
        self.set_timer();
    }

    /// Ends connections that should be open by now.
    fn expire(&mut self, now: Instant) {
        while let Some((deadline, port)) = self.deadlines.front().copied()
            && deadline <= now
        {
            self.deadlines.pop_front();
            match self.connections.get(&port).map(|connection| connection.state) {
                Some(State::Greeting { .. }) => drop(self.connections.remove(&port)),
                Some(State::Requested) => {
                    let reset = self.header(port, Operation::Reset, 0, 0);
                    self.replies.extend(reset);
                    self.not_opened(port, TIMED_OUT);
                }
                Some(State::Open) | None => {}
            }
        }
        self.set_timer();
    }

    fn set_timer(&mut self) {
        if let Some((deadline, _)) = self.deadlines.front() {
            let wait = deadline.saturating_duration_since(Instant::now());
            if let Err(error) = self.poller.wake_in(wait) {
                tracing::warn!(%error, "a vsock deadline can't be set");
            }
        }
    }
}

/// Whether a connection has, or may have, something for the guest.
fn wants_turn(connection: &Connection) -> bool {
    connection.state == State::Open
        && connection.readable
        && !connection.client_ended
        && !connection.guest_deaf
        && connection.credit() > 0
}
