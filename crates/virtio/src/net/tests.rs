//! The device against a fake driver: two rings in plain memory.

use virtio_bindings::bindings::virtio_ring::{VRING_DESC_F_NEXT, VRING_DESC_F_WRITE};
use virtio_queue::desc::{RawDescriptor, split::Descriptor};
use virtio_queue::mock::MockSplitQueue;
use virtio_queue::{Queue, QueueT};
use vm_memory::{Bytes, GuestAddress};

use super::{CHECKED, FEATURES, HEADER, LONGEST, MRG_RXBUF, Net, Rings};
use crate::{Memory, Owed};

const SIZE: u16 = 16;

fn memory() -> Memory {
    Memory::from_ranges(&[(GuestAddress(0), 1 << 20)]).unwrap()
}

/// A ring with those chains of (address, length), each for what the driver receives or sends.
fn ring<'m>(
    memory: &'m Memory,
    at: u64,
    chains: &[&[(u64, u32)]],
    receives: bool,
) -> (MockSplitQueue<'m, Memory>, Queue) {
    let ring = MockSplitQueue::create(memory, GuestAddress(at), SIZE);
    let mut index = 0;
    let mut descriptors = Vec::new();
    for chain in chains {
        for (place, (address, length)) in chain.iter().enumerate() {
            index += 1;
            let next = if place + 1 < chain.len() { VRING_DESC_F_NEXT } else { 0 };
            let flags = next | if receives { VRING_DESC_F_WRITE } else { 0 };
            let flags = u16::try_from(flags).unwrap();
            descriptors.push(RawDescriptor::from(Descriptor::new(*address, *length, flags, index)));
        }
    }
    ring.add_desc_chains(&descriptors, 0).unwrap();
    let mut queue: Queue = ring.create_queue().unwrap();
    queue.set_event_idx(false);
    (ring, queue)
}

/// What the driver was given back: each chain's length.
fn used(ring: &MockSplitQueue<'_, Memory>) -> Vec<u32> {
    let count = u16::from_le(ring.used().idx().load());
    (0..count).map(|index| ring.used().ring().ref_at(index.into()).unwrap().load().len()).collect()
}

fn read(memory: &Memory, at: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    memory.read_slice(&mut bytes, GuestAddress(at)).unwrap();
    bytes
}

/// A device that has a frame of that length for the guest, its bytes counting up.
fn with_frame(features: u64, length: usize) -> Net {
    let mut device = Net::default();
    device.choose(features);
    let room = device.room(length).unwrap();
    room.iter_mut().zip(0_u8..=255).for_each(|(byte, value)| *byte = value);
    device
}

#[test]
fn frames_of_the_guest_come_without_their_header_however_they_are_cut() {
    let memory = memory();
    memory.write_slice(b"abcdef", GuestAddress(0x100)).unwrap();
    memory.write_slice(b"ghi", GuestAddress(0x200)).unwrap();
    let whole: &[(u64, u32)] = &[(0x400, 10), (0x410, 2), (0x100, 6), (0x200, 3)];
    let together: &[(u64, u32)] = &[(0x100 - HEADER as u64, HEADER as u32 + 6)];
    let (ring_out, mut transmit) = ring(&memory, 0x8000, &[whole, together], false);
    let (_, mut receive) = ring(&memory, 0x1_0000, &[&[(0x500, 1)]], true);
    let mut rings = Rings { receive: &mut receive, transmit: &mut transmit, memory: &memory };
    let (mut device, mut frame) = (Net::default(), Vec::new());
    assert!(device.take(&mut rings, &mut frame).unwrap());
    assert_eq!(frame, b"abcdefghi");
    assert!(device.take(&mut rings, &mut frame).unwrap());
    assert_eq!(frame, b"abcdef");
    assert!(!device.take(&mut rings, &mut frame).unwrap());
    assert_eq!(used(&ring_out), [0, 0]);
    assert_eq!(device.owed(&mut rings).unwrap(), Owed { receive: false, transmit: true });
    assert_eq!(device.owed(&mut rings).unwrap(), Owed::default(), "it was told once");
}

#[test]
fn what_is_no_frame_is_passed_over() {
    let memory = memory();
    let (short, nowhere): (&[_], &[_]) = (&[(0x100, 5)], &[(0xffff_ffff_0000, 99)]);
    let long: &[(u64, u32)] = &[(0x100, HEADER as u32 + LONGEST as u32 + 1)];
    memory.write_slice(b"x", GuestAddress(0x100 + HEADER as u64)).unwrap();
    let sound: &[(u64, u32)] = &[(0x100, HEADER as u32 + 1)];
    let (ring_out, mut transmit) = ring(&memory, 0x8000, &[short, nowhere, long, sound], false);
    let (_, mut receive) = ring(&memory, 0x1_0000, &[&[(0x500, 1)]], true);
    let mut rings = Rings { receive: &mut receive, transmit: &mut transmit, memory: &memory };
    let mut frame = Vec::new();
    assert!(Net::default().take(&mut rings, &mut frame).unwrap());
    assert_eq!(frame, b"x");
    assert_eq!(used(&ring_out).len(), 4);
}

#[test]
fn a_frame_fills_as_many_chains_as_it_needs_and_says_how_many() {
    let memory = memory();
    let chains: [&[(u64, u32)]; 3] = [&[(0x100, 16)], &[(0x200, 4), (0x300, 4)], &[(0x400, 16)]];
    let (ring_in, mut receive) = ring(&memory, 0x8000, &chains, true);
    let (_, mut transmit) = ring(&memory, 0x1_0000, &[&[(0x500, 1)]], false);
    let mut rings = Rings { receive: &mut receive, transmit: &mut transmit, memory: &memory };
    let mut device = with_frame(FEATURES, 10);
    assert!(device.pass_on(&mut rings).unwrap());
    assert_eq!(used(&ring_in), [16, 6]);
    assert_eq!(read(&memory, 0x100, 16), [CHECKED, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 1, 2, 3]);
    assert_eq!([read(&memory, 0x200, 4), read(&memory, 0x300, 4)].concat(), [4, 5, 6, 7, 8, 9, 0, 0]);
    assert_eq!(device.owed(&mut rings).unwrap(), Owed { receive: true, transmit: false });
}

#[test]
fn a_frame_waits_until_there_is_room_for_all_of_it() {
    let memory = memory();
    let (ring_in, mut receive) = ring(&memory, 0x8000, &[&[(0x100, 16)]], true);
    let (_, mut transmit) = ring(&memory, 0x1_0000, &[&[(0x500, 1)]], false);
    let mut rings = Rings { receive: &mut receive, transmit: &mut transmit, memory: &memory };
    let mut device = with_frame(FEATURES, 10);
    assert!(!device.pass_on(&mut rings).unwrap());
    assert_eq!(used(&ring_in), [0; 0]);
    assert_eq!(device.owed(&mut rings).unwrap(), Owed::default());
    ring_in.add_desc_chains(&[Descriptor::new(0x200, 16, 2, 0).into()], 1).unwrap();
    assert!(device.pass_on(&mut rings).unwrap());
    assert_eq!(used(&ring_in), [16, 6]);
    assert!(device.owed(&mut rings).unwrap().receive);
}

#[test]
fn a_driver_that_merges_nothing_gets_what_fits_into_one_chain() {
    let memory = memory();
    let (ring_in, mut receive) = ring(&memory, 0x8000, &[&[(0x100, 16)], &[(0x200, 64)]], true);
    let (_, mut transmit) = ring(&memory, 0x1_0000, &[&[(0x500, 1)]], false);
    let mut rings = Rings { receive: &mut receive, transmit: &mut transmit, memory: &memory };
    let mut device = with_frame(FEATURES & !MRG_RXBUF, 10);
    device.room(2).unwrap().copy_from_slice(b"ab");
    assert!(device.pass_on(&mut rings).unwrap());
    assert_eq!(used(&ring_in), [0, 14], "the first is lost");
    assert_eq!(read(&memory, 0x200 + HEADER as u64, 2), b"ab");
}

#[test]
fn memory_that_the_guest_does_not_have_takes_nothing() {
    let memory = memory();
    let nowhere = (u64::MAX - 4, 0xffff_ffff);
    let (ring_in, mut receive) = ring(&memory, 0x8000, &[&[nowhere], &[(0x100, 64)]], true);
    let (_, mut transmit) = ring(&memory, 0x1_0000, &[&[(0x500, 1)]], false);
    let mut rings = Rings { receive: &mut receive, transmit: &mut transmit, memory: &memory };
    assert!(with_frame(FEATURES, 3).pass_on(&mut rings).unwrap());
    assert_eq!(used(&ring_in), [0, 15]);
}

#[test]
fn who_takes_nothing_is_owed_no_more_than_a_megabyte() {
    let mut device = Net::default();
    let frames = std::iter::from_fn(|| device.room(LONGEST).map(|room| room.len()));
    assert!((1 << 20..1 << 21).contains(&frames.sum::<usize>()));
    assert!(device.room(LONGEST + 1).is_none());
}
