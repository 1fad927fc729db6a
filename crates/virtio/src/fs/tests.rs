//! The device against a fake driver: a ring in plain memory, and a server that says what it was asked.

use virtio_bindings::bindings::virtio_ring::{VRING_DESC_F_NEXT, VRING_DESC_F_WRITE};
use virtio_queue::QueueT;
use virtio_queue::desc::{RawDescriptor, split::Descriptor};
use virtio_queue::mock::MockSplitQueue;
use vm_memory::{Bytes, GuestAddress};

use super::{Files, Lane};
use crate::Memory;

/// Answers with the request turned round.
struct Mirror;

impl Files for Mirror {
    fn answer(&self, request: &[u8], room: usize, reply: &mut Vec<u8>) {
        reply.clear();
        reply.extend(request.iter().rev().take(room));
    }
}

/// Serves one chain of (address, length, writable); returns how long its answer is.
fn serve(memory: &Memory, chain: &[(u64, u32, bool)]) -> u32 {
    let ring = MockSplitQueue::create(memory, GuestAddress(0x8000), 16);
    let last = chain.len() - 1;
    let descriptors = chain.iter().enumerate().map(|(index, (address, length, writable))| {
        let mut flags = if *writable { VRING_DESC_F_WRITE } else { 0 };
        flags |= if index < last { VRING_DESC_F_NEXT } else { 0 };
        let next = u16::try_from(index + 1).unwrap();
        RawDescriptor::from(Descriptor::new(*address, *length, u16::try_from(flags).unwrap(), next))
    });
    ring.build_desc_chain(&descriptors.collect::<Vec<_>>()).unwrap();
    let mut queue: virtio_queue::Queue = ring.create_queue().unwrap();
    queue.set_event_idx(false);
    assert!(Lane::default().run(&mut queue, memory, &Mirror).unwrap());
    assert_eq!(u16::from_le(ring.used().idx().load()), 1);
    ring.used().ring().ref_at(0).unwrap().load().len()
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
