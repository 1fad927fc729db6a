//! A call by gRPC on the engine's own socket, for what no client of the command line asks: HTTP/2 (RFC 9113) as far as one
//! request takes it.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;

use crate::engine::Engine;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const GO_AWAY: u8 = 7;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
/// The only stream.
const STREAM: u32 = 1;

/// Sends one message, such as `/moby.buildkit.v1.Control/Prune` takes it; what is answered isn't looked at.
///
/// # Panics
/// When the engine doesn't answer.
pub fn send(engine: &Engine, method: &str, message: &[u8]) {
    let mut stream = UnixStream::connect(engine.socket()).expect("connect to the engine");
    let headers = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", method),
        (":authority", "engine"),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
    ];
    let length = u32::try_from(message.len()).expect("a short message").to_be_bytes();
    let data = [&[0][..], &length, message].concat();
    let sent = [
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
        frame(SETTINGS, 0, 0, &[]),
        frame(HEADERS, END_HEADERS, STREAM, &headers.map(|(name, value)| field(name, value)).concat()),
        frame(DATA, END_STREAM, STREAM, &data),
    ];
    stream.write_all(&sent.concat()).expect("ask");
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head).expect("an answer");
        let [a, b, c, kind, flags, ..] = head;
        let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
        stream.read_exact(&mut payload).expect("an answer");
        assert_ne!(kind, GO_AWAY, "the engine takes no such call");
        if matches!(kind, HEADERS | DATA) && flags & END_STREAM != 0 {
            return;
        }
    }
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a short frame").to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A header that no table has (RFC 7541, 6.2.2), of less than 127 bytes each.
fn field(name: &str, value: &str) -> Vec<u8> {
    let length = |text: &str| u8::try_from(text.len()).expect("a short text");
    [&[0, length(name)][..], name.as_bytes(), &[length(value)], value.as_bytes()].concat()
}
