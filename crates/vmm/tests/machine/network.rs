//! What the guest reaches by name. (What it reaches by address is tested with containers.)

use std::io;
use std::net::{SocketAddr, UdpSocket};

use vmm::config::GUEST_GATEWAY;
use vmm::emulated::Machine;

use crate::fixture::{config, exchange, forward, greet, need_machine};

const RESOLVER: &str = "127.0.53.9";
const QUERY: &[u8] = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x05berth\x04test\x00\x00\x01\x00\x01";
const ANSWER: &[u8] =
    b"\x12\x34\x81\x80\x00\x01\x00\x00\x00\x00\x00\x00\x05berth\x04test\x00\x00\x01\x00\x01";

/// A resolver with one answer; false, with the reason printed, for who mayn't be one.
fn resolve() -> bool {
    let datagrams = match UdpSocket::bind((RESOLVER, 53)) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            eprintln!("skipped: only root listens at port 53");
            return false;
        }
        bound => bound.unwrap(),
    };
    std::thread::spawn(move || {
        let mut question = [0; 512];
        while let Ok((length, peer)) = datagrams.recv_from(&mut question) {
            assert_eq!(question[..length], *QUERY);
            datagrams.send_to(ANSWER, peer).unwrap();
        }
    });
    true
}

#[test]
fn names_are_asked_of_the_hosts_resolvers() {
    if !need_machine() || !resolve() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path(), Vec::new());
    std::fs::write(&config.resolvers, format!("nameserver 127.0.53.8\nnameserver {RESOLVER}\n")).unwrap();
    let machine = Machine::start(config, |_| ()).unwrap();
    let _control = greet(&machine);
    let gateway = SocketAddr::from((GUEST_GATEWAY, 53));

    assert_eq!(exchange(&mut forward(&machine, gateway), QUERY), ANSWER);
}
