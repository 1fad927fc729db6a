//! The program at the card: what comes through the door goes straight into its container.
//!
//! ```text
//! not from the door, not plain TCP, or to no container ──► the long way
//! from a hidden peer: the peer is the gateway
//! SYN ──► the connection is known from now on
//! another segment of a connection that isn't known ──► the long way, by which it began
//! the end of one side, or of all, is noted
//! the gateway's name instead of a hidden peer's, hardware addresses ──► the container's own interface
//! ```

use std::io;

use super::maps::{CARDS, GATEWAY, INTERFACE, Maps};
use super::packet::{self, ACK, End, FRAME, HIDDEN, KEY, PEER_ENDS, STATE, SYN, VALUE};
use crate::assembly::{Assembly, Function, Register, Size};
use crate::door::Door;
use crate::sys::bpf::{Program, Purpose};
use Register::{R0, R1, R2, R3, R4, R7, R8, R9, Stack};

/// Hands the program to the kernel.
pub(super) fn load(name: &str, door: &Door, maps: &Maps) -> io::Result<Program> {
    let mut code = Assembly::default();
    packet::begin(&mut code);
    only_from(&mut code, door);
    packet::read(&mut code, End::Destination);
    find_container(&mut code, maps);

    code.set(R8, 0);
    packet::jump_if_peer(&mut code, packet::halves_of(door.hidden), "hide");
    code.jump("named");
    code.label("hide");
    code.set(R8, HIDDEN.cast_signed());
    packet::name_peer(&mut code, R7, GATEWAY);
    code.label("named");

    code.copy(R2, R9);
    code.and(R2, (SYN | ACK).cast_signed());
    code.jump_unless_word(R2, SYN, "goes on");
    remember(&mut code, maps);
    code.jump("passes");
    code.label("goes on");
    packet::find(&mut code, maps);
    packet::follow(&mut code, maps, PEER_ENDS);
    code.label("passes");

    code.jump_if(R8, 0, "renamed by now");
    packet::rename(&mut code, End::Source, R7, GATEWAY);
    code.label("renamed by now");
    packet::store(&mut code, 0, (R7, CARDS), 12);
    code.load(Size::Word, R1, R7, INTERFACE);
    code.set(R2, 0);
    code.call(Function::RedirectPeer);
    code.exit();
    packet::end(&mut code);
    Program::load(name, Purpose::Packets, &code.finish())
}

/// The frame's source is the door.
fn only_from(code: &mut Assembly, door: &Door) {
    let [a, b, c, d, e, f] = door.hardware.0;
    code.load(Size::Word, R2, Stack, FRAME + 6);
    code.jump_unless_word(R2, u32::from_ne_bytes([a, b, c, d]), "none of ours");
    code.load(Size::Half, R2, Stack, FRAME + 10);
    code.jump_unless_word(R2, u16::from_ne_bytes([e, f]).into(), "none of ours");
}

/// What is known of the container, at R7.
fn find_container(code: &mut Assembly, maps: &Maps) {
    code.set_map(R1, &maps.containers);
    code.point(R2, Stack, KEY);
    code.call(Function::Lookup);
    code.jump_if(R0, 0, "none of ours");
    code.copy(R7, R0);
}

/// The connection is new, whatever there was of that name. One too many takes the long way.
fn remember(code: &mut Assembly, maps: &Maps) {
    code.load(Size::Word, R2, R7, INTERFACE);
    code.store(Size::Word, Stack, VALUE, R2);
    code.store(Size::Word, Stack, VALUE + STATE, R8);
    code.set_map(R1, &maps.connections);
    code.point(R2, Stack, KEY);
    code.point(R3, Stack, VALUE);
    code.set(R4, 0);
    code.call(Function::Update);
    code.jump_unless(R0, 0, "none of ours");
}
