//! The device against a fake driver: a ring in plain memory, and a server that says what it was asked.

use std::fs::File;
use std::os::fd::AsFd;
use std::sync::Mutex;

use virtio_bindings::bindings::virtio_ring::{VRING_DESC_F_NEXT, VRING_DESC_F_WRITE};
use virtio_queue::desc::{RawDescriptor, split::Descriptor};
use virtio_queue::mock::MockSplitQueue;
use virtio_queue::{Queue, QueueT};
use vm_memory::{Bytes, GuestAddress};

use super::{Chain, Files, Kept, Lane};
use crate::Memory;

/// Answers with the request turned round.
struct Mirror;

impl Files for Mirror {
    fn copied(&self, _start: &[u8]) -> usize {
        usize::MAX
    }

    fn answer(&self, request: &[u8], chain: &Chain<'_>, reply: &mut Vec<u8>) -> Option<usize> {
        reply.clear();
        reply.extend(request.iter().rev().take(chain.room()));
        Some(reply.len())
    }
}

/// Keeps what follows the first three bytes in a file, and answers with them and what the file has.
struct Store(File);

impl Files for Store {
    fn copied(&self, start: &[u8]) -> usize {
        if start.starts_with(b"put") { 3 } else { usize::MAX }
    }

    fn answer(&self, request: &[u8], chain: &Chain<'_>, reply: &mut Vec<u8>) -> Option<usize> {
        reply.clear();
        reply.extend(request);
        let moved = match request {
            b"put" => chain.write(self.0.as_fd(), chain.data(), Some(0)).map(|_| 0),
            _ => chain.read(self.0.as_fd(), chain.room() - 3, 0, 3),
        };
        Some(reply.len() + moved.unwrap())
    }
}

/// Keeps its only request.
#[derive(Default)]
struct Keeper(Mutex<Option<Kept>>);

impl Files for Keeper {
    fn copied(&self, _start: &[u8]) -> usize {
        usize::MAX
    }

    fn answer(&self, _request: &[u8], chain: &Chain<'_>, _reply: &mut Vec<u8>) -> Option<usize> {
        *self.0.lock().unwrap() = Some(chain.kept());
        None
    }
}

/// Serves one chain of (address, length, writable); returns how long its answer is.
fn serve(memory: &Memory, chain: &[(u64, u32, bool)]) -> u32 {
    serve_by(&Mirror, memory, chain)
}

fn serve_by(files: &dyn Files, memory: &Memory, chain: &[(u64, u32, bool)]) -> u32 {
    let (ring, mut queue) = ring(memory, chain);
    let mut lane = Lane::default();
    assert_eq!(lane.serve_next(&mut queue, memory, files).unwrap(), Some(true));
    assert_eq!(lane.serve_next(&mut queue, memory, files).unwrap(), None);
    assert_eq!(u16::from_le(ring.used().idx().load()), 1);
    ring.used().ring().ref_at(0).unwrap().load().len()
}

/// A ring with one chain in it.
fn ring<'m>(memory: &'m Memory, chain: &[(u64, u32, bool)]) -> (MockSplitQueue<'m, Memory>, Queue) {
    let ring = MockSplitQueue::create(memory, GuestAddress(0x8000), 16);
    let last = chain.len() - 1;
    let descriptors = chain.iter().enumerate().map(|(index, (address, length, writable))| {
        let mut flags = if *writable { VRING_DESC_F_WRITE } else { 0 };
        flags |= if index < last { VRING_DESC_F_NEXT } else { 0 };
        let next = u16::try_from(index + 1).unwrap();
        RawDescriptor::from(Descriptor::new(*address, *length, u16::try_from(flags).unwrap(), next))
    });
    ring.build_desc_chain(&descriptors.collect::<Vec<_>>()).unwrap();
    let mut queue: Queue = ring.create_queue().unwrap();
    queue.set_event_idx(false);
    (ring, queue)
}

fn memory() -> Memory {
    Memory::from_ranges(&[(GuestAddress(0), 1 << 20)]).unwrap()
}

#[test]
fn requests_and_replies_may_be_cut_anywhere() {
    let memory = memory();
    memory.write_slice(b"abc", GuestAddress(0x100)).unwrap();
    memory.write_slice(b"defg", GuestAddress(0x200)).unwrap();
    let chain = [(0x100, 3, false), (0x200, 4, false), (0x300, 2, true), (0x400, 100, true)];
    assert_eq!(serve(&memory, &chain), 7);
    let mut reply = [0; 7];
    memory.read_slice(&mut reply[..2], GuestAddress(0x300)).unwrap();
    memory.read_slice(&mut reply[2..], GuestAddress(0x400)).unwrap();
    assert_eq!(&reply, b"gfedcba");
}

#[test]
fn a_reply_without_room_is_none() {
    let memory = memory();
    memory.write_slice(b"forget", GuestAddress(0x100)).unwrap();
    assert_eq!(serve(&memory, &[(0x100, 6, false)]), 0);
}

#[test]
fn memory_that_the_guest_does_not_have_is_left_alone() {
    let memory = memory();
    assert_eq!(serve(&memory, &[(0xffff_ffff_0000, 6, false), (0x300, 8, true)]), 0);
    assert_eq!(serve(&memory, &[(0x100, 6, false), (u64::MAX - 4, 0xffff_ffff, true)]), 0);
}

#[test]
fn data_goes_between_guest_memory_and_a_file_wherever_it_was_cut() {
    let memory = memory();
    let file = File::from(rustix::fs::memfd_create("test", rustix::fs::MemfdFlags::CLOEXEC).unwrap());
    let store = Store(file);
    memory.write_slice(b"puabc", GuestAddress(0x100)).unwrap();
    memory.write_slice(b"defg", GuestAddress(0x200)).unwrap();
    memory.write_slice(b"get", GuestAddress(0x500)).unwrap();
    // The header lies in two descriptors, the second of which has data behind it.
    let put = [(0x100, 2, false), (0x600, 1, false), (0x102, 3, false), (0x200, 4, false), (0x300, 3, true)];
    memory.write_slice(b"t", GuestAddress(0x600)).unwrap();
    assert_eq!(serve_by(&store, &memory, &put), 3);
    let get = [(0x500, 3, false), (0x300, 2, true), (0x400, 6, true)];
    assert_eq!(serve_by(&store, &memory, &get), 8);
    let mut reply = [0; 8];
    memory.read_slice(&mut reply[..2], GuestAddress(0x300)).unwrap();
    memory.read_slice(&mut reply[2..], GuestAddress(0x400)).unwrap();
    assert_eq!(&reply, b"getabcde");
}

#[test]
fn each_answer_is_told_before_the_next_request_is_served() {
    let memory = memory();
    let (ring, mut queue) = ring(&memory, &[(0x100, 6, false), (0x300, 8, true)]);
    ring.add_desc_chains(&[RawDescriptor::from(Descriptor::new(0x100, 6, 0, 0))], 2).unwrap();
    let mut lane = Lane::default();
    for answered in 1..=2 {
        assert_eq!(lane.serve_next(&mut queue, &memory, &Mirror).unwrap(), Some(true));
        assert_eq!(u16::from_le(ring.used().idx().load()), answered);
    }
    assert_eq!(lane.serve_next(&mut queue, &memory, &Mirror).unwrap(), None);
}

#[test]
fn a_ring_that_announces_more_than_it_has_is_left() {
    let memory = memory();
    let (ring, mut queue) = ring(&memory, &[(0x100, 6, false)]);
    ring.avail().idx().store(u16::to_le(100));
    assert_eq!(Lane::default().serve_next(&mut queue, &memory, &Mirror).unwrap(), None);
}

#[test]
fn a_kept_request_is_answered_later_and_costs_the_queue_nothing() {
    let memory = memory();
    let keeper = Keeper::default();
    let (ring, mut queue) = ring(&memory, &[(0x100, 6, false), (0x300, 4, true)]);
    assert_eq!(Lane::default().serve_next(&mut queue, &memory, &keeper).unwrap(), Some(false));
    assert_eq!(u16::from_le(ring.used().idx().load()), 0);
    let kept = keeper.0.lock().unwrap().take().unwrap();
    assert!(kept.answer(b"answer", &mut queue, &memory).unwrap());
    assert_eq!(u16::from_le(ring.used().idx().load()), 1);
    assert_eq!(ring.used().ring().ref_at(0).unwrap().load().len(), 4);
    let mut reply = [0; 4];
    memory.read_slice(&mut reply, GuestAddress(0x300)).unwrap();
    assert_eq!(&reply, b"answ");
}
