//! Requests over a stream, message by message.

use std::fs;
use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use crate::guest::{Guest, request};

const OPEN: u32 = 14;
const READ: u32 = 15;
const FORGET: u32 = 2;

/// A guest's end of a stream, and what the server says of it when it has ended.
struct Stream {
    guest: UnixStream,
    served: JoinHandle<io::Result<()>>,
}

impl Stream {
    fn of(guest: &Guest) -> Self {
        let (ours, theirs) = UnixStream::pair().unwrap();
        ours.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let server = Arc::clone(&guest.server);
        let served = std::thread::spawn(move || {
            let replies = theirs.try_clone()?;
            server.answer_stream(theirs, replies)
        });
        Self { guest: ours, served }
    }

    /// The next reply's payload.
    fn reply(&mut self) -> Vec<u8> {
        let mut header = [0; 16];
        self.guest.read_exact(&mut header).unwrap();
        assert_eq!(header[4..8], [0; 4], "an error");
        let mut payload = vec![0; u32::from_le_bytes(header[..4].try_into().unwrap()) as usize - 16];
        self.guest.read_exact(&mut payload).unwrap();
        payload
    }

    fn ask(&mut self, opcode: u32, node: u64, body: &[u8]) -> Vec<u8> {
        self.guest.write_all(&request(opcode, node, body)).unwrap();
        self.reply()
    }

    /// The guest ends it.
    fn end(self) -> io::Result<()> {
        self.guest.shutdown(Shutdown::Both).unwrap();
        self.served.join().unwrap()
    }
}

fn read(handle: &[u8], size: u32) -> Vec<u8> {
    [handle, &[0; 8], &size.to_le_bytes(), &[0; 20]].concat()
}

#[test]
fn what_the_guest_holds_outlives_a_stream() {
    let guest = Guest::new();
    fs::write(guest.path("a"), "text").unwrap();
    let shared = guest.shared();
    let node = guest.look_up(shared, "a").unwrap();
    let mut first = Stream::of(&guest);
    let handle = first.ask(OPEN, node, &[0; 8])[..8].to_vec();
    first.end().unwrap();
    let mut second = Stream::of(&guest);
    assert_eq!(second.ask(READ, node, &read(&handle, 100)), b"text");
    second.end().unwrap();
}

#[test]
fn requests_in_one_piece_and_in_many_are_the_same() {
    let guest = Guest::new();
    let content: Vec<u8> = (0..1 << 20).map(|byte: u32| (byte % 251) as u8).collect();
    fs::write(guest.path("a"), &content).unwrap();
    let shared = guest.shared();
    let node = guest.look_up(shared, "a").unwrap();
    let mut stream = Stream::of(&guest);
    // What wants no reply has none.
    let two = [request(FORGET, node, &[0; 8]), request(OPEN, node, &[0; 8])].concat();
    stream.guest.write_all(&two).unwrap();
    let handle = stream.reply()[..8].to_vec();
    for byte in request(READ, node, &read(&handle, 1 << 20)) {
        stream.guest.write_all(&[byte]).unwrap();
    }
    assert!(stream.reply() == content);
    stream.end().unwrap();
}

#[test]
fn a_length_that_no_request_has_ends_the_stream() {
    let guest = Guest::new();
    for length in [0_u32, 39, 2 << 20, u32::MAX] {
        let mut stream = Stream::of(&guest);
        stream.guest.write_all(&length.to_le_bytes()).unwrap();
        assert_eq!(stream.served.join().unwrap().unwrap_err().kind(), ErrorKind::InvalidData, "{length}");
    }
}
