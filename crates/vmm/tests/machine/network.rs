//! What the guest reaches by name. (What it reaches by address is tested with containers.)

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, UdpSocket};

use protocol::port::{Forwarded, Transport};
use vmm::config::GUEST_GATEWAY;
use vmm::emulated::Machine;

use crate::fixture::{config, forward, greet, need_machine};

const RESOLVER: &str = "127.0.53.9";
const QUERY: &[u8] = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x05berth\x04test\x00\x00\x01\x00\x01";
const ANSWER: &[u8] =
    b"\x12\x34\x81\x80\x00\x01\x00\x00\x00\x00\x00\x00\x05berth\x04test\x00\x00\x01\x00\x01";

/// A resolver with one answer, by datagram and by stream; false, with the reason printed, for who mayn't be one.
fn resolve() -> bool {
    let datagrams = match UdpSocket::bind((RESOLVER, 53)) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            eprintln!("skipped: only root listens at port 53");
            return false;
        }
        bound => bound.unwrap(),
    };
    let streams = TcpListener::bind((RESOLVER, 53)).unwrap();
    std::thread::spawn(move || {
        let mut question = [0; 512];
        while let Ok((length, peer)) = datagrams.recv_from(&mut question) {
            assert_eq!(question[..length], *QUERY);
            datagrams.send_to(ANSWER, peer).unwrap();
        }
    });
    std::thread::spawn(move || {
        while let Ok((mut client, _)) = streams.accept() {
            assert_eq!(framed(&mut client), QUERY);
            frame(&mut client, ANSWER);
        }
    });
    true
}

/// Names, by stream, follow their length, the higher byte first (RFC 1035, 4.2.2).
fn frame(stream: &mut impl Write, message: &[u8]) {
    let length = u16::try_from(message.len()).unwrap();
    stream.write_all(&[&length.to_be_bytes(), message].concat()).unwrap();
}

fn framed(stream: &mut impl Read) -> Vec<u8> {
    let mut length = [0; 2];
    stream.read_exact(&mut length).unwrap();
    let mut message = vec![0; u16::from_be_bytes(length).into()];
    stream.read_exact(&mut message).unwrap();
    message
}

#[test]
fn names_are_asked_of_the_hosts_resolvers_by_datagram_and_by_stream() {
    if !need_machine() || !resolve() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path(), Vec::new());
    std::fs::write(&config.resolvers, format!("nameserver 127.0.53.8\nnameserver {RESOLVER}\n")).unwrap();
    let machine = Machine::start(config, |_| ()).unwrap();
    let _control = greet(&machine);
    let gateway = SocketAddr::from((GUEST_GATEWAY, 53));

    let (mut stream, answer) = forward(&machine, Transport::Udp, gateway);
    assert_eq!(answer, Forwarded::Connected);
    stream.write_all(&[&(QUERY.len() as u16).to_le_bytes(), QUERY].concat()).unwrap();
    let mut arrived = vec![0; 2 + ANSWER.len()];
    stream.read_exact(&mut arrived).unwrap();
    assert_eq!(arrived[2..], *ANSWER);

    let (mut stream, answer) = forward(&machine, Transport::Tcp, gateway);
    assert_eq!(answer, Forwarded::Connected);
    frame(&mut stream, QUERY);
    assert_eq!(framed(&mut stream), ANSWER);
}
