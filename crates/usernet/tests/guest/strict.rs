//! What a guest doesn't reach, and what it gets told at once.

use std::net::{Ipv4Addr, TcpListener, UdpSocket};

use smoltcp::socket::dhcpv4;
use smoltcp::wire::{IpCidr, Ipv4Cidr};

use crate::guest::{GATEWAY, Guest, HOST, leading_to, settings};
use crate::servers::{echo, stream};

/// An address by which this host's neighbours know it; none, with the reason printed, when it has no way out.
fn own_address() -> Option<Ipv4Addr> {
    let own = UdpSocket::bind("0.0.0.0:0").and_then(|socket| {
        socket.connect("198.51.100.7:9")?;
        socket.local_addr()
    });
    match own {
        Ok(std::net::SocketAddr::V4(own)) => Some(*own.ip()),
        other => {
            eprintln!("skipped: this host has no address but its loopback's: {other:?}");
            None
        }
    }
}

#[test]
fn of_the_host_only_the_named_port_answers() {
    let listener = TcpListener::bind("0.0.0.0:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut guest = Guest::new(leading_to(&[(7, stream(echo))]));
    let own = own_address();
    let loopback = [Ipv4Addr::LOCALHOST, Ipv4Addr::new(127, 0, 0, 2), Ipv4Addr::new(169, 254, 0, 1)];
    for address in [GATEWAY, HOST, Ipv4Addr::new(10, 0, 2, 77)].into_iter().chain(loopback).chain(own) {
        // Of its own network the guest asks for cards first; nobody has that of an address that isn't ours.
        if address.octets()[3] != 77 {
            assert!(guest.is_refused((address, port)), "{address}:{port} answers");
        }
    }
    guest.connected((HOST, 7), 100);
    listener.set_nonblocking(true).unwrap();
    assert!(listener.accept().is_err(), "somebody connected");
}

#[test]
fn dhcp_gives_address_way_out_and_resolver() {
    let mut guest = Guest::new(settings());
    let handle = guest.sockets.add(dhcpv4::Socket::new());
    let (address, router, resolver) = guest.until("DHCP has answered", |guest| {
        match guest.sockets.get_mut::<dhcpv4::Socket<'_>>(handle).poll() {
            Some(dhcpv4::Event::Configured(lease)) => {
                Some((lease.address, lease.router, lease.dns_servers.first().copied()))
            }
            _ => None,
        }
    });
    assert_eq!(IpCidr::Ipv4(address), IpCidr::Ipv4(Ipv4Cidr::new(Ipv4Addr::new(10, 0, 2, 15), 24)));
    assert_eq!((router, resolver), (Some(GATEWAY), Some(GATEWAY)));
}

#[test]
fn nonsense_is_survived() {
    let mut guest = Guest::new(leading_to(&[(7, stream(echo))]));
    let mut noise = 1_u32;
    for length in 1..400 {
        let frame: Vec<u8> = (0..length)
            .map(|_| {
                noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (noise >> 24) as u8
            })
            .collect();
        guest.send_raw(&frame);
        // The same with a header that is read on.
        for ethertype in [[8, 0], [8, 6], [0x86, 0xdd]] {
            let mut frame = [&[0x52, 0x55, 10, 0, 2, 2, 2, 0, 0, 0, 0, 1], &ethertype[..], &frame].concat();
            if let Some(version) = frame.get_mut(14) {
                *version = if ethertype[0] == 0x86 { 0x60 } else { 0x45 };
            }
            guest.send_raw(&frame);
        }
    }
    guest.connected((HOST, 7), 100);
}
