//! The device against a fake driver: rings in plain memory, the client a real socket.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use proptest::prelude::*;
use virtio_queue::{Queue, QueueT};
use vm_memory::{Bytes, GuestAddress};

use super::packet::{self, Header, Operation};
use super::{CONNECTED, REFUSED, TIMED_OUT, Vsock};
use crate::Memory;

const GUEST: u32 = 3;
const SIZE: u16 = 16;
const MEMORY: u64 = 1 << 20;
const RECEIVE: u64 = 0x1000;
const TRANSMIT: u64 = 0x5000;
const RECEIVE_BUFFERS: u64 = 0x10_000;
const TRANSMIT_BUFFERS: u64 = 0x40_000;
const RECEIVE_BUFFER: u32 = 4096;
const WRITABLE: u16 = 2;
const NEXT: u16 = 1;

/// The driver's half of one ring: descriptors at `base`, then the available and the used ring.
struct Ring {
    base: u64,
    available: u16,
    seen: u16,
}

impl Ring {
    fn queue(&self) -> Queue {
        let mut queue = Queue::new(SIZE).unwrap();
        queue.set_size(SIZE);
        queue.try_set_desc_table_address(GuestAddress(self.base)).unwrap();
        queue.try_set_avail_ring_address(GuestAddress(self.base + 0x1000)).unwrap();
        queue.try_set_used_ring_address(GuestAddress(self.base + 0x2000)).unwrap();
        queue.set_ready(true);
        queue
    }

    fn describe(&self, memory: &Memory, index: u16, address: u64, length: u32, flags: u16, next: u16) {
        let at = self.base + u64::from(index) * 16;
        memory.write_obj(address, GuestAddress(at)).unwrap();
        memory.write_obj(length, GuestAddress(at + 8)).unwrap();
        memory.write_obj(flags, GuestAddress(at + 12)).unwrap();
        memory.write_obj(next, GuestAddress(at + 14)).unwrap();
    }

    fn offer(&mut self, memory: &Memory, head: u16) {
        let slot = self.base + 0x1000 + 4 + u64::from(self.available % SIZE) * 2;
        memory.write_obj(head, GuestAddress(slot)).unwrap();
        self.available = self.available.wrapping_add(1);
        memory.write_obj(self.available, GuestAddress(self.base + 0x1000 + 2)).unwrap();
    }

    fn next_used(&mut self, memory: &Memory) -> Option<(u32, u32)> {
        let index: u16 = memory.read_obj(GuestAddress(self.base + 0x2000 + 2)).unwrap();
        if index == self.seen {
            return None;
        }
        let slot = self.base + 0x2000 + 4 + u64::from(self.seen % SIZE) * 8;
        self.seen = self.seen.wrapping_add(1);
        let read = |at| memory.read_obj(GuestAddress(at)).unwrap();
        Some((read(slot), read(slot + 4)))
    }
}

/// A guest with its device and the place where clients connect.
struct Guest {
    memory: Memory,
    device: Vsock,
    receive: Ring,
    transmit: Ring,
    receive_queue: Queue,
    transmit_queue: Queue,
    socket: std::path::PathBuf,
}

impl Guest {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("berth-vsock-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let socket = std::env::temp_dir().join(name);
        let device = Vsock::new(GUEST, UnixListener::bind(&socket).unwrap()).unwrap();
        let memory = Memory::from_ranges(&[(GuestAddress(0), MEMORY as usize)]).unwrap();
        let receive = Ring { base: RECEIVE, available: 0, seen: 0 };
        let transmit = Ring { base: TRANSMIT, available: 0, seen: 0 };
        let (receive_queue, transmit_queue) = (receive.queue(), transmit.queue());
        Self { memory, device, receive, transmit, receive_queue, transmit_queue, socket }
    }

    /// A guest that offers eight buffers to receive into.
    fn listening() -> Self {
        let mut guest = Self::new();
        for index in 0..8 {
            let address = RECEIVE_BUFFERS + u64::from(index) * u64::from(RECEIVE_BUFFER);
            guest.receive.describe(&guest.memory, index, address, RECEIVE_BUFFER, WRITABLE, 0);
            guest.receive.offer(&guest.memory, index);
        }
        guest
    }

    fn client(&self, port: u32) -> UnixStream {
        let mut client = UnixStream::connect(&self.socket).unwrap();
        client.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        client.write_all(&port.to_le_bytes()).unwrap();
        client
    }

    fn run(&mut self) {
        self.device.host_ready().unwrap();
        self.device.run(&mut self.receive_queue, &mut self.transmit_queue, &self.memory).unwrap();
    }

    /// The next packet for the guest; its buffer is offered again.
    fn receive(&mut self) -> Option<(Header, Vec<u8>)> {
        self.run();
        let (head, length) = self.receive.next_used(&self.memory)?;
        let head = u16::try_from(head).unwrap();
        let mut bytes = vec![0; length as usize];
        let address = RECEIVE_BUFFERS + u64::from(head) * u64::from(RECEIVE_BUFFER);
        self.memory.read_slice(&mut bytes, GuestAddress(address)).unwrap();
        self.receive.offer(&self.memory, head);
        let payload = bytes.split_off(packet::LENGTH);
        Some((Header::decode(&bytes.try_into().unwrap()), payload))
    }

    /// Sends bytes as they lie in memory, cut into descriptors of the given lengths.
    fn send_cut(&mut self, bytes: &[u8], cuts: &[usize]) {
        assert_eq!(cuts.iter().sum::<usize>(), bytes.len());
        let mut at = 0;
        for (index, cut) in cuts.iter().enumerate() {
            // A gap between the pieces shows that no piece is taken for longer than it is.
            let address = TRANSMIT_BUFFERS + at as u64 + index as u64 * 64;
            self.memory.write_slice(&bytes[at..at + cut], GuestAddress(address)).unwrap();
            let index = u16::try_from(index).unwrap();
            let last = usize::from(index) + 1 == cuts.len();
            let flags = if last { 0 } else { NEXT };
            let length = u32::try_from(*cut).unwrap();
            self.transmit.describe(&self.memory, index, address, length, flags, index + 1);
            at += cut;
        }
        self.transmit.offer(&self.memory, 0);
        self.run();
        assert!(self.transmit.next_used(&self.memory).is_some(), "the device kept the chain");
    }

    fn send(&mut self, to: &Header, operation: Operation, flags: u32, payload: &[u8]) {
        let header = answer(to, operation, flags, payload.len());
        let bytes = [&header.encode()[..], payload].concat();
        let cuts =
            if payload.is_empty() { vec![packet::LENGTH] } else { vec![packet::LENGTH, payload.len()] };
        self.send_cut(&bytes, &cuts);
    }

    /// A client's open connection, and a header of the host's to answer to.
    fn connected(&mut self) -> (UnixStream, Header) {
        let mut client = self.client(1024);
        let (request, _) = self.receive().unwrap();
        self.send(&request, Operation::Response, 0, &[]);
        assert_eq!(status(&mut client), CONNECTED);
        (client, request)
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        drop(std::fs::remove_file(&self.socket));
    }
}

fn answer(to: &Header, operation: Operation, flags: u32, length: usize) -> Header {
    Header {
        source_cid: to.target_cid,
        target_cid: to.source_cid,
        source_port: to.target_port,
        target_port: to.source_port,
        length: u32::try_from(length).unwrap(),
        kind: packet::STREAM,
        operation: operation as u16,
        flags,
        buffer: 1 << 18,
        forwarded: 0,
    }
}

fn status(client: &mut UnixStream) -> u8 {
    let mut status = [0xff];
    client.read_exact(&mut status).unwrap();
    status[0]
}

#[test]
fn a_client_is_connected_and_bytes_reach_the_guest() {
    let mut guest = Guest::listening();
    let mut client = guest.client(1024);
    client.write_all(b"sent with the greeting").unwrap();
    let (request, _) = guest.receive().unwrap();
    assert_eq!((request.operation, request.target_port), (Operation::Request as u16, 1024));
    guest.send(&request, Operation::Response, 0, &[]);
    assert_eq!(status(&mut client), CONNECTED);
    let (data, payload) = guest.receive().unwrap();
    assert_eq!(data.operation, Operation::Data as u16);
    assert_eq!(payload, b"sent with the greeting");
}

#[test]
fn a_payload_in_many_descriptors_arrives_whole() {
    let mut guest = Guest::listening();
    let (mut client, request) = guest.connected();
    let payload: Vec<u8> = (0..=255).cycle().take(60_000).collect();
    let header = answer(&request, Operation::Data, 0, payload.len());
    let bytes = [&header.encode()[..], &payload].concat();
    guest.send_cut(&bytes, &[10, 34, 1, 4096, 30_000, bytes.len() - 34_141]);
    let mut arrived = vec![0; payload.len()];
    client.read_exact(&mut arrived).unwrap();
    assert!(arrived == payload);
}

#[test]
fn a_header_with_its_payload_in_one_descriptor_arrives() {
    let mut guest = Guest::listening();
    let (mut client, request) = guest.connected();
    let bytes = [&answer(&request, Operation::Data, 0, 5).encode()[..], b"hello"].concat();
    guest.send_cut(&bytes, &[bytes.len()]);
    let mut arrived = [0; 5];
    client.read_exact(&mut arrived).unwrap();
    assert_eq!(&arrived, b"hello");
}

#[test]
fn a_port_where_nobody_listens_is_refused() {
    let mut guest = Guest::listening();
    let mut client = guest.client(9);
    let (request, _) = guest.receive().unwrap();
    guest.send(&request, Operation::Reset, 0, &[]);
    assert_eq!(status(&mut client), REFUSED);
}

#[test]
fn a_guest_that_never_answers_times_out() {
    let mut guest = Guest::listening();
    let mut client = guest.client(9);
    guest.receive().unwrap();
    std::thread::sleep(super::FIRST_ANSWER + Duration::from_millis(50));
    guest.run();
    assert_eq!(status(&mut client), TIMED_OUT);
}

#[test]
fn a_connection_that_the_guest_asks_for_is_reset() {
    let mut guest = Guest::listening();
    let asked = Header {
        source_cid: 2,
        target_cid: GUEST.into(),
        source_port: 22,
        target_port: 5000,
        ..Header::default()
    };
    guest.send(&asked, Operation::Request, 0, &[]);
    let (reset, _) = guest.receive().unwrap();
    assert_eq!((reset.operation, reset.source_port), (Operation::Reset as u16, 22));
}

#[test]
fn each_side_ends_its_own_half() {
    let mut guest = Guest::listening();
    let (mut client, request) = guest.connected();
    client.shutdown(Shutdown::Write).unwrap();
    let (shutdown, _) = guest.receive().unwrap();
    assert_eq!(shutdown.operation, Operation::Shutdown as u16);
    assert_eq!(shutdown.flags, packet::NO_MORE_SENDING);
    guest.send(&request, Operation::Data, 0, b"the answer");
    guest.send(&request, Operation::Shutdown, packet::NO_MORE_SENDING, &[]);
    let mut arrived = String::new();
    client.read_to_string(&mut arrived).unwrap();
    assert_eq!(arrived, "the answer");
    let (reset, _) = guest.receive().unwrap();
    assert_eq!(reset.operation, Operation::Reset as u16);
}

#[test]
fn what_a_client_wrote_before_it_left_reaches_the_guest() {
    let mut guest = Guest::listening();
    let (mut client, _) = guest.connected();
    client.write_all(b"last words").unwrap();
    drop(client);
    let (_, payload) = guest.receive().unwrap();
    assert_eq!(payload, b"last words");
    let (shutdown, _) = guest.receive().unwrap();
    assert_eq!(shutdown.flags, packet::NO_MORE_SENDING | packet::NO_MORE_RECEIVING);
    assert!(guest.device.connections.is_empty());
}

#[test]
fn a_guest_that_resets_leaves_its_client_all_bytes() {
    let mut guest = Guest::listening();
    let (mut client, request) = guest.connected();
    // More than the socket holds, so that some of it waits in the device.
    for _ in 0..4 {
        guest.send(&request, Operation::Data, 0, &[7; 60_000]);
    }
    guest.send(&request, Operation::Reset, 0, &[]);
    let mut arrived = 0;
    let mut block = [0; 50_000];
    while arrived < 240_000 {
        arrived += client.read(&mut block).unwrap();
        guest.run();
    }
    assert_eq!(client.read(&mut block).unwrap(), 0);
    assert!(guest.device.connections.is_empty());
}

#[test]
fn no_more_is_sent_than_the_guest_has_room_for() {
    let mut guest = Guest::listening();
    let mut client = guest.client(1024);
    let (request, _) = guest.receive().unwrap();
    let small = Header { buffer: 10, ..answer(&request, Operation::Response, 0, 0) };
    guest.send_cut(&small.encode(), &[packet::LENGTH]);
    assert_eq!(status(&mut client), CONNECTED);
    client.write_all(b"0123456789abcdef").unwrap();
    assert_eq!(guest.receive().unwrap().1, b"0123456789");
    assert!(guest.receive().is_none());
    let room = Header { buffer: 10, forwarded: 10, ..answer(&request, Operation::CreditUpdate, 0, 0) };
    guest.send_cut(&room.encode(), &[packet::LENGTH]);
    assert_eq!(guest.receive().unwrap().1, b"abcdef");
}

#[test]
fn a_guest_that_sends_more_than_it_may_loses_the_connection() {
    let mut guest = Guest::listening();
    let (_client, request) = guest.connected();
    // The client reads nothing: its socket takes some, the device keeps its share, then it is over.
    for _ in 0..20 {
        guest.send(&request, Operation::Data, 0, &[7; 60_000]);
    }
    assert!(guest.device.connections.is_empty());
}

#[test]
fn the_guest_hears_of_room_when_its_client_reads() {
    let mut guest = Guest::listening();
    let (mut client, request) = guest.connected();
    guest.send(&request, Operation::Data, 0, &[7; 60_000]);
    client.read_exact(&mut [0; 60_000]).unwrap();
    guest.send(&request, Operation::Data, 0, &[7; 60_000]);
    let (update, _) = guest.receive().unwrap();
    assert_eq!(update.operation, Operation::CreditUpdate as u16);
    assert_eq!(update.forwarded, 120_000);
}

#[test]
fn memory_that_the_guest_lacks_ends_nothing() {
    let mut guest = Guest::listening();
    guest.transmit.describe(&guest.memory, 0, MEMORY * 4, 44, 0, 0);
    guest.transmit.offer(&guest.memory, 0);
    guest.run();
    guest.connected();
}

#[test]
fn a_chain_that_bites_its_tail_ends_nothing() {
    let mut guest = Guest::listening();
    guest.transmit.describe(&guest.memory, 0, TRANSMIT_BUFFERS, 44, NEXT, 1);
    guest.transmit.describe(&guest.memory, 1, TRANSMIT_BUFFERS, 44, NEXT, 0);
    guest.transmit.offer(&guest.memory, 0);
    guest.run();
    assert!(guest.transmit.next_used(&guest.memory).is_some());
    guest.connected();
}

#[test]
fn a_guest_that_never_takes_resets_is_no_longer_heard() {
    let mut guest = Guest::new();
    let asked = Header { source_cid: 2, target_cid: GUEST.into(), ..Header::default() };
    let bytes = answer(&asked, Operation::Request, 0, 0).encode();
    guest.memory.write_slice(&bytes, GuestAddress(TRANSMIT_BUFFERS)).unwrap();
    guest.transmit.describe(&guest.memory, 0, TRANSMIT_BUFFERS, 44, 0, 0);
    for _ in 0..super::MOST_REPLIES * 2 {
        if guest.transmit.available.wrapping_sub(guest.transmit_queue.next_avail()) < SIZE {
            guest.transmit.offer(&guest.memory, 0);
        }
        guest.run();
    }
    assert_eq!(guest.device.replies.len(), super::MOST_REPLIES);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_ring_content_stops_the_host(
        rings in proptest::collection::vec(any::<u8>(), 0x400),
        heads in proptest::collection::vec(0u16..64, 8),
        header in proptest::collection::vec(any::<u8>(), 44),
    ) {
        let mut guest = Guest::listening();
        let (_client, request) = guest.connected();
        // Descriptors with small addresses now and then: the rest of the ring stays as random as it comes.
        for (index, part) in rings.chunks_exact(16).take(16).enumerate() {
            let index = u16::try_from(index).unwrap();
            let flags = u16::from_le_bytes([part[12], part[13]]) & 7;
            let address = u64::from_le_bytes(part[..8].try_into().unwrap()) % (MEMORY * 2);
            let length = u32::from_le_bytes(part[8..12].try_into().unwrap()) % 200_000;
            guest.transmit.describe(&guest.memory, index, address, length, flags, u16::from(part[14]) % 20);
            guest.receive.describe(&guest.memory, index, address, length, flags ^ 2, u16::from(part[15]) % 20);
        }
        guest.memory.write_slice(&header, GuestAddress(TRANSMIT_BUFFERS)).unwrap();
        let valid = answer(&request, Operation::Data, 0, 4000).encode();
        guest.memory.write_slice(&valid, GuestAddress(TRANSMIT_BUFFERS + 64)).unwrap();
        for head in heads {
            guest.transmit.offer(&guest.memory, head);
            guest.receive.offer(&guest.memory, head);
            guest.device.host_ready().unwrap();
            // A broken ring is an error; a panic or an endless loop is the failure looked for.
            let _ = guest.device.run(&mut guest.receive_queue, &mut guest.transmit_queue, &guest.memory);
        }
    }
}
