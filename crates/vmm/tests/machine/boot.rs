//! The machine's way from start to end.

use std::io::Read;
use std::net::UdpSocket;
use std::time::{Duration, Instant};

use protocol::guest::ToGuest;
use vmm::Error;
use vmm::config::{Config, HOST_ALIAS, HostForward};
use vmm::emulated::Machine;

use crate::fixture::{config, exchange, ext4_identity, forward, greet, need_machine, ping, write};

/// Sends back each datagram that comes to the host's loopback; returns its port.
fn echo() -> u16 {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = socket.local_addr().unwrap().port();
    std::thread::spawn(move || {
        let mut datagram = vec![0; 70_000];
        while let Ok((length, peer)) = socket.recv_from(&mut datagram) {
            socket.send_to(&datagram[..length], peer).unwrap();
        }
    });
    port
}

#[test]
fn the_api_answers_a_large_datagram_goes_round_and_the_guest_ends_in_order() {
    if !need_machine() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let named = HostForward { guest: format!("{HOST_ALIAS}:5000").parse().unwrap(), host_port: echo() };
    let began = Instant::now();
    let phases = move |phase| eprintln!("{:>5} ms {phase:?}", began.elapsed().as_millis());
    let machine = Machine::start(config(folder.path(), vec![named]), phases).unwrap();
    let mut control = greet(&machine);
    eprintln!("{:>5} ms the guest greets", began.elapsed().as_millis());
    let answer = ping(&machine);
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    eprintln!("{:>5} ms launch to /_ping, first boot (formats the disk)", began.elapsed().as_millis());

    // Through vsock, PID 1, the guest's network and the one named forward to the host, and back.
    let sent: Vec<u8> = (0..=250).cycle().take(60_000).collect();
    let began = Instant::now();
    let arrived = exchange(&mut forward(&machine, named.guest.into()), &sent);
    assert!(arrived == sent, "{} of {} bytes came back", arrived.len(), sent.len());
    eprintln!("{:>5} ms there and back", began.elapsed().as_millis());

    let began = Instant::now();
    write(&mut control, &ToGuest::PowerOff);
    machine.wait().unwrap();
    eprintln!("{:>5} ms to power off", began.elapsed().as_millis());
}

#[test]
fn the_data_disk_survives_an_emulator_that_is_killed() {
    if !need_machine() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let machine = Machine::start(config(folder.path(), Vec::new()), |_| ()).unwrap();
    let _control = greet(&machine);
    assert!(ping(&machine).contains("200 OK"));
    machine.kill();
    assert!(matches!(machine.wait(), Err(Error::Died { .. })));
    drop(machine);
    let identity = ext4_identity(&folder.path().join("data.img"));

    let began = Instant::now();
    let machine = Machine::start(config(folder.path(), Vec::new()), |_| ()).unwrap();
    let _control = greet(&machine);
    assert!(ping(&machine).contains("200 OK"));
    eprintln!("{:>5} ms launch to /_ping, later boot (replays the journal)", began.elapsed().as_millis());
    machine.power_off(Duration::from_secs(14)).unwrap();
    assert_eq!(ext4_identity(&folder.path().join("data.img")), identity, "the disk was formatted again");
}

#[test]
fn a_disk_that_holds_something_else_is_left_alone_and_named() {
    if !need_machine() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let disk = folder.path().join("data.img");
    std::fs::write(&disk, vec![b'x'; 1 << 20]).unwrap();
    let machine = Machine::start(config(folder.path(), Vec::new()), |_| ()).unwrap();
    let error = machine.wait().unwrap_err();
    assert!(error.to_string().contains("holds something that isn't Berth's"), "{error}");
    let mut start = vec![0; 1 << 20];
    std::fs::File::open(&disk).unwrap().read_exact(&mut start).unwrap();
    assert!(start.iter().all(|byte| *byte == b'x'), "the disk was written to");
}

#[test]
fn a_missing_image_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let missing = Config { root: folder.path().join("none.erofs"), ..config(folder.path(), Vec::new()) };
    let missing = Config { kernel: std::env::current_exe().unwrap(), ..missing };
    let Err(error) = Machine::start(missing, |_| ()) else { panic!("it started") };
    assert!(matches!(&error, Error::ImageMissing(path) if path.ends_with("none.erofs")), "{error}");
}

#[test]
fn memory_that_the_host_lacks_is_a_clear_error() {
    if !need_machine() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let huge = Config { memory_mib: 1 << 27, ..config(folder.path(), Vec::new()) };
    let machine = Machine::start(huge, |_| ()).unwrap();
    let error = machine.wait().unwrap_err();
    assert!(matches!(error, Error::OutOfMemory { .. }), "{error}");
}
