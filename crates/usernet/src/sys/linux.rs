//! Sockets for echo requests (icmp(7), "Unprivileged"): the kernel chooses the identifier and passes on only the answers
//! to it. Which groups may open one is the host's setting (`net.ipv4.ping_group_range`).

use std::io;
use std::net::{IpAddr, UdpSocket};

use rustix::net::{AddressFamily, SocketFlags, SocketType, ipproto};

/// A socket that sends echo requests of the address's family and doesn't block. What it sends and receives is an ICMP
/// message; apart from that it behaves as one for datagrams.
pub(crate) fn ping_socket(to: IpAddr) -> io::Result<UdpSocket> {
    let (family, protocol) = match to {
        IpAddr::V4(_) => (AddressFamily::INET, ipproto::ICMP),
        IpAddr::V6(_) => (AddressFamily::INET6, ipproto::ICMPV6),
    };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(family, SocketType::DGRAM, flags, Some(protocol))?;
    Ok(UdpSocket::from(socket))
}
