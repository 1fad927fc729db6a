//! What both programs do: read whose packet it is, find its connection, see it end, give an address another name.
//!
//! A program's stack, from its end down:
//!
//! | place | what |
//! |---|---|
//! | [`FRAME`], 14 bytes | the packet's Ethernet header |
//! | [`PACKET`] | behind it those of IP and TCP, up to TCP's flags |
//! | [`KEY`], 36 bytes | the connection: the container's address, the peer's, their ports |
//! | [`VALUE`], 8 bytes | what a map has of it: the interface, the state |
//! | [`SCRATCH`], 16 bytes | what a function is to read |
//!
//! R6 is the packet, R8 what a program remembers, R9 TCP's flags. Numbers of packets are compared as they lie there.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::maps::Maps;
use crate::assembly::{Assembly, Function, Register, Size};
use crate::sys::bpf::Map;
use Register::{R0, R1, R2, R3, R4, R5, R6, R8, R9, Stack};
use Size::{Byte, Double, Half, Word};

pub(super) const FRAME: i16 = -78;
/// At a multiple of eight, so that words of the headers can be loaded.
pub(super) const PACKET: i16 = FRAME + 14;
pub(super) const KEY: i16 = -120;
pub(super) const VALUE: i16 = KEY - 8;
pub(super) const SCRATCH: i16 = VALUE - 16;
/// Of Ethernet, IPv4 and TCP up to the flags; of IPv6 and TCP.
const HEADERS_V4: i32 = 14 + 20 + 14;
const HEADERS_V6: i32 = 40 + 14;

/// Addresses and ports in a key.
const PEER: i16 = KEY + 16;
const PORTS: i16 = KEY + 32;
/// The state in a value.
pub(super) const STATE: i16 = 4;

/// Bits of a connection's state: the container sees the gateway instead of the peer; who has sent its last.
pub(super) const HIDDEN: u32 = 1;
pub(super) const PEER_ENDS: u32 = 2;
pub(super) const CONTAINER_ENDS: u32 = 4;

/// TCP's flags (RFC 9293, 3.1).
const FIN: i32 = 0x01;
pub(super) const SYN: u32 = 0x02;
const RST: i32 = 0x04;
pub(super) const ACK: u32 = 0x10;

/// What a program answers that leaves the packet to whoever comes next (TCX_NEXT).
const NEXT: i32 = -1;

/// Which end of a packet a program looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Source,
    Destination,
}

/// An address as maps have it: IPv4 as mapped (RFC 4291, 2.5.5.2).
pub(super) fn octets(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        IpAddr::V6(address) => address.octets(),
    }
}

/// Both halves of an address, as they lie in memory.
pub(super) fn halves(address: IpAddr) -> [u64; 2] {
    let [high, low] = [0, 8].map(|at| octets(address)[at..].first_chunk().copied().unwrap_or_default());
    [u64::from_ne_bytes(high), u64::from_ne_bytes(low)]
}

/// The halves of the addresses of both families.
pub(super) fn halves_of((v4, v6): (Ipv4Addr, Ipv6Addr)) -> [[u64; 2]; 2] {
    [halves(v4.into()), halves(v6.into())]
}

/// Begins with what every packet has.
pub(super) fn begin(code: &mut Assembly) {
    code.copy(R6, R1);
    // The end of the longer headers: whoever checks the program doesn't know that only theirs are read up to there.
    code.set(R2, 0);
    code.store(Double, Stack, PACKET + 32, R2);
    load(code, 0, FRAME, HEADERS_V4);
}

/// The last instructions: here packets end up that are none of ours.
pub(super) fn end(code: &mut Assembly) {
    code.label("none of ours");
    code.set(R0, NEXT);
    code.exit();
}

/// Reads whose packet it is into [`KEY`] and TCP's flags into R9; what isn't plain TCP is none of ours.
pub(super) fn read(code: &mut Assembly, container: End) {
    code.load(Half, R2, Stack, FRAME + 12);
    code.jump_if_word(R2, network(0x86dd), "of IPv6");
    code.jump_unless_word(R2, network(0x0800), "none of ours");
    read_v4(code, container);
    code.jump("read");
    code.label("of IPv6");
    read_v6(code, container);
    code.label("read");
}

/// RFC 791, 3.1: a header without options, no fragment, TCP.
fn read_v4(code: &mut Assembly, container: End) {
    code.load(Byte, R2, Stack, PACKET);
    code.jump_unless_word(R2, 0x45, "none of ours");
    code.load(Half, R2, Stack, PACKET + 6);
    code.jump_if_any(R2, network(0x3fff).cast_signed(), "none of ours");
    code.load(Byte, R2, Stack, PACKET + 9);
    code.jump_unless_word(R2, 6, "none of ours");
    let (source, destination) = places(container);
    code.set(R3, 0);
    code.set(R4, u32::from_ne_bytes([0, 0, 0xff, 0xff]).cast_signed());
    for (place, at) in [(source, PACKET + 12), (destination, PACKET + 16)] {
        code.store(Double, Stack, place, R3);
        code.store(Word, Stack, place + 8, R4);
        code.load(Word, R2, Stack, at);
        code.store(Word, Stack, place + 12, R2);
    }
    read_ports(code, container, PACKET + 20);
}

/// RFC 8200, 3: TCP right behind the header.
fn read_v6(code: &mut Assembly, container: End) {
    load(code, 14, PACKET, HEADERS_V6);
    code.load(Byte, R2, Stack, PACKET + 6);
    code.jump_unless_word(R2, 6, "none of ours");
    let (source, destination) = places(container);
    for (place, at) in [(source, PACKET + 8), (destination, PACKET + 24)] {
        for half in [0, 8] {
            code.load(Double, R2, Stack, at + half);
            code.store(Double, Stack, place + half, R2);
        }
    }
    read_ports(code, container, PACKET + 40);
}

fn read_ports(code: &mut Assembly, container: End, tcp: i16) {
    let swap = if container == End::Source { 0 } else { 2 };
    for (at, place) in [(tcp, PORTS + swap), (tcp + 2, PORTS + 2 - swap)] {
        code.load(Half, R2, Stack, at);
        code.store(Half, Stack, place, R2);
    }
    code.load(Byte, R9, Stack, tcp + 13);
}

/// Where source and destination go in the key.
fn places(container: End) -> (i16, i16) {
    if container == End::Source { (KEY, PEER) } else { (PEER, KEY) }
}

fn load(code: &mut Assembly, offset: i32, place: i16, length: i32) {
    code.copy(R1, R6);
    code.set(R2, offset);
    code.point(R3, Stack, place);
    code.set(R4, length);
    code.call(Function::LoadBytes);
    code.jump_unless(R0, 0, "none of ours");
}

/// Jumps if the peer is one of these addresses.
pub(super) fn jump_if_peer(code: &mut Assembly, addresses: [[u64; 2]; 2], label: &'static str) {
    code.load(Double, R2, Stack, PEER);
    code.load(Double, R3, Stack, PEER + 8);
    for ([high, low], next) in addresses.into_iter().zip(["not by IPv4", "not by IPv6"]) {
        code.set_wide(R4, high);
        code.jump_unless_same(R2, R4, next);
        code.set_wide(R4, low);
        code.jump_if_same(R3, R4, label);
        code.label(next);
    }
}

/// Puts the 16 bytes there in the peer's place in the key.
pub(super) fn name_peer(code: &mut Assembly, base: Register, offset: i16) {
    for half in [0, 8] {
        code.load(Double, R2, base, offset + half);
        code.store(Double, Stack, PEER + half, R2);
    }
}

/// Puts the place of the connection's value into R0; one that isn't there is none of ours. What begins a connection is
/// never an ended one's last word: another one has its name by now.
pub(super) fn find(code: &mut Assembly, maps: &Maps) {
    look_up(code, &maps.connections);
    code.jump_if_any(R9, SYN.cast_signed(), "begins");
    look_up(code, &maps.ended);
    code.jump("none of ours");
    code.label("begins");
    forget(code, &[&maps.ended]);
    code.jump("none of ours");
    code.label("found");
}

fn look_up(code: &mut Assembly, map: &Map) {
    code.set_map(R1, map);
    code.point(R2, Stack, KEY);
    code.call(Function::Lookup);
    code.jump_unless(R0, 0, "found");
}

/// Notes what the packet ends of a connection whose value is at R0. One that both have ended stays known for a while,
/// in a map of its own: the last words may have to be said again.
pub(super) fn follow(code: &mut Assembly, maps: &Maps, ends: u32) {
    const BOTH: u32 = PEER_ENDS | CONTAINER_ENDS;
    code.jump_if_any(R9, RST, "over");
    code.jump_if_any(R9, FIN, "ends");
    code.jump("followed");
    code.label("ends");
    code.set(R2, ends.cast_signed());
    code.set_bits(R0, STATE, R2);
    code.load(Word, R2, R0, STATE);
    code.and(R2, BOTH.cast_signed());
    code.jump_unless_word(R2, BOTH, "followed");
    code.copy(R3, R0);
    code.set_map(R1, &maps.ended);
    code.point(R2, Stack, KEY);
    code.set(R4, 0);
    code.call(Function::Update);
    code.label("over");
    forget(code, &[&maps.connections]);
    code.label("followed");
}

/// Takes the connection out of these maps.
pub(super) fn forget(code: &mut Assembly, maps: &[&Map]) {
    for map in maps {
        code.set_map(R1, map);
        code.point(R2, Stack, KEY);
        code.call(Function::Delete);
    }
}

/// Puts the last bytes of the 16 there in the place of the packet's address, and makes both sums right. Uses R8.
pub(super) fn rename(code: &mut Assembly, end: End, base: Register, offset: i16) {
    code.load(Half, R2, Stack, FRAME + 12);
    code.jump_if_word(R2, network(0x86dd), "rename by IPv6");
    let at = if end == End::Source { 12 } else { 16 };
    replace(code, &Place { at, length: 4, sum: 20 + 16, header_sum: Some(10) }, (base, offset + 12));
    code.jump("renamed");
    code.label("rename by IPv6");
    let at = if end == End::Source { 8 } else { 24 };
    replace(code, &Place { at, length: 16, sum: 40 + 16, header_sum: None }, (base, offset));
    code.label("renamed");
}

/// Where an address lies, and the sums that it is part of, counted from the IP header.
struct Place {
    at: i16,
    length: i32,
    sum: i32,
    header_sum: Option<i32>,
}

fn replace(code: &mut Assembly, place: &Place, (base, offset): (Register, i16)) {
    /// The sum is also of addresses that aren't in the header which has it (BPF_F_PSEUDO_HDR).
    const WITH_ADDRESSES: i32 = 0x10;
    const ETHERNET: i32 = 14;
    code.point(R1, Stack, PACKET + place.at);
    code.set(R2, place.length);
    code.point(R3, base, offset);
    code.set(R4, place.length);
    code.set(R5, 0);
    code.call(Function::Difference);
    code.copy(R8, R0);
    let sums = [
        place.header_sum.map(|at| (Function::ReplaceHeaderSum, at, 0)),
        Some((Function::ReplaceSum, place.sum, WITH_ADDRESSES)),
    ];
    for (function, at, flags) in sums.into_iter().flatten() {
        code.copy(R1, R6);
        code.set(R2, ETHERNET + at);
        code.set(R3, 0);
        code.copy(R4, R8);
        code.set(R5, flags);
        code.call(function);
    }
    store(code, ETHERNET + i32::from(place.at), (base, offset), place.length);
}

/// Writes bytes into the packet.
pub(super) fn store(code: &mut Assembly, at: i32, (base, offset): (Register, i16), length: i32) {
    code.copy(R1, R6);
    code.set(R2, at);
    code.point(R3, base, offset);
    code.set(R4, length);
    code.set(R5, 0);
    code.call(Function::StoreBytes);
}

/// A number of two bytes as it is loaded from a packet.
pub(super) fn network(number: u16) -> u32 {
    u16::from_ne_bytes(number.to_be_bytes()).into()
}
