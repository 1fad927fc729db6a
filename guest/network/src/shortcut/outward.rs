//! The program at each container's interface outside: what answers through the door goes straight to the card.
//!
//! ```text
//! not plain TCP, or tagged ──► the long way
//! SYN alone: a connection of the container's own ──► the long way, and none of that name is known any more
//! not of a known connection, or by another interface than the container's ──► the long way
//! SYN and ACK of an ended one's name: the answer to a connection that isn't the door's ──► the long way, as that name from now on
//! longer than the card takes ──► the long way, where the container is told
//! the end of one side, or of all, is noted
//! a hidden peer's name instead of the gateway's, hardware addresses ──► the card
//! ```

use std::io;
use std::net::IpAddr;

use super::maps::Maps;
use super::packet::{self, ACK, CONTAINER_ENDS, End, FRAME, HIDDEN, PACKET, SCRATCH, STATE, SYN};
use crate::assembly::{Assembly, Function, Register, Size};
use crate::door::Door;
use crate::endpoint::Mac;
use crate::sys::bpf::{Program, Purpose};
use Register::{R0, R1, R2, R3, R6, R8, R9, Stack};

/// Places in what the kernel shows of a packet (`struct __sk_buff`).
const LENGTH: i16 = 0;
const TAGGED: i16 = 20;
const ARRIVED_BY: i16 = 40;
const PIECES: i16 = 176;

/// The header of Ethernet, which no MTU counts.
const ETHERNET: u32 = 14;

/// The card of the machine.
pub(super) struct Card {
    pub(super) index: u32,
    pub(super) hardware: Mac,
    pub(super) mtu: u32,
}

/// Hands the program to the kernel.
pub(super) fn load(name: &str, door: &Door, card: &Card, maps: &Maps) -> io::Result<Program> {
    let mut code = Assembly::default();
    packet::begin(&mut code);
    code.load(Size::Word, R2, R6, TAGGED);
    code.jump_unless(R2, 0, "none of ours");
    packet::read(&mut code, End::Source);
    code.copy(R2, R9);
    code.and(R2, (SYN | ACK).cast_signed());
    code.jump_unless_word(R2, SYN, "goes on");
    packet::forget(&mut code, &[&maps.connections, &maps.ended]);
    code.jump("none of ours");
    code.label("goes on");

    packet::find(&mut code, maps);
    code.load(Size::Word, R2, R0, 0);
    code.load(Size::Word, R3, R6, ARRIVED_BY);
    code.jump_unless_same(R2, R3, "none of ours");
    code.load(Size::Word, R8, R0, STATE);
    only_if_it_fits(&mut code, card.mtu);
    packet::follow(&mut code, maps, CONTAINER_ENDS);

    code.jump_if_any(R8, HIDDEN.cast_signed(), "reveal");
    code.jump("named");
    code.label("reveal");
    reveal(&mut code, door);
    code.label("named");
    address(&mut code, door, card);
    code.set(R1, card.index.cast_signed());
    code.set(R2, 0);
    code.call(Function::Redirect);
    code.exit();
    packet::end(&mut code);
    Program::load(name, Purpose::Packets, &code.finish())
}

/// One that is to be cut has pieces of a given length, each with headers of its own.
fn only_if_it_fits(code: &mut Assembly, mtu: u32) {
    code.load(Size::Word, R2, R6, PIECES);
    code.jump_if(R2, 0, "whole");
    code.load(Size::Half, R3, Stack, FRAME + 12);
    code.jump_if_word(R3, packet::network(0x86dd), "pieces of IPv6");
    piece_fits(code, 20, mtu);
    code.label("pieces of IPv6");
    piece_fits(code, 40, mtu);
    code.label("whole");
    code.load(Size::Word, R2, R6, LENGTH);
    code.jump_if_greater(R2, mtu.saturating_add(ETHERNET).cast_signed(), "none of ours");
    code.label("fits");
}

/// Whether a piece of the length in R2 fits, behind an IP header of that length and TCP's (RFC 9293, 3.1: in words of four
/// bytes, in the upper half of a byte).
fn piece_fits(code: &mut Assembly, header: i16, mtu: u32) {
    code.load(Size::Byte, R3, Stack, PACKET + header + 12);
    code.shift_right(R3, 4);
    code.shift_left(R3, 2);
    code.add(R2, R3);
    let most = i64::from(mtu) - i64::from(header);
    code.jump_if_greater(R2, i32::try_from(most).unwrap_or(0), "none of ours");
    code.jump("fits");
}

/// The peer's own address instead of the gateway's.
fn reveal(code: &mut Assembly, door: &Door) {
    code.load(Size::Half, R2, Stack, FRAME + 12);
    code.jump_if_word(R2, packet::network(0x86dd), "reveal by IPv6");
    write(code, packet::halves(IpAddr::V4(door.hidden.0)));
    code.jump("revealed");
    code.label("reveal by IPv6");
    write(code, packet::halves(IpAddr::V6(door.hidden.1)));
    code.label("revealed");
    packet::rename(code, End::Destination, Stack, SCRATCH);
}

/// To the door, from the card.
fn address(code: &mut Assembly, door: &Door, card: &Card) {
    let mut both = [0; 16];
    both[..6].copy_from_slice(&door.hardware.0);
    both[6..12].copy_from_slice(&card.hardware.0);
    write(code, packet::halves(IpAddr::from(both)));
    packet::store(code, 0, (Stack, SCRATCH), 12);
}

/// Writes 16 bytes to the stack.
fn write(code: &mut Assembly, halves: [u64; 2]) {
    for (half, place) in halves.into_iter().zip([SCRATCH, SCRATCH + 8]) {
        code.set_wide(R2, half);
        code.store(Size::Double, Stack, place, R2);
    }
}
