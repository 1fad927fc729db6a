//! Sockets for datagrams that speak to containers in somebody else's name: a container sees the peer that sent to the host, and
//! what it answers comes back here although this machine doesn't have that address.
//!
//! Such a socket may have any address (`IP_TRANSPARENT`, ip(7)). A rule marks the packets that one waits for, and a
//! routing table says that marked packets are for this machine (the kernel's Documentation/networking/tproxy.rst).

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::{Mutex, PoisonError};

use netlink_packet_route::AddressFamily;
use rustix::io::Errno;
use socket2::{Domain, Socket, Type};

use crate::nft::{Chain, ChainKind, Hook, Match, Nftables, Rule, Table, Verdict};
use crate::publish::Transport;
use crate::route::Kernel;

/// The usual turn of rules that mark packets.
const MANGLE: i32 = -150;
/// What marked packets carry, and the routing table that keeps them.
const MARK: u32 = 0x0be2_7480;
const TABLE: u8 = 198;

/// Who containers see at the other end of published ports for datagrams.
pub struct Peers(Option<Routes>);

/// How this machine tells others' addresses from its own.
struct Routes {
    kernel: Mutex<Kernel>,
    /// The card by which everybody is reached that isn't on this machine.
    card: Option<u32>,
    /// Whether IPv6 is routed by marks, too.
    ipv6: bool,
}

impl Peers {
    /// Prepares the calling thread's network namespace, whose way out is `card`; twice is fine.
    ///
    /// # Errors
    /// When the kernel has no such rules or no routing by marks.
    pub fn prepare(name_prefix: &str, card: &str) -> io::Result<Self> {
        // The last looks for a socket, which is dear: of datagrams alone.
        let matches = vec![Match::Of(Transport::Udp), Match::NotIn(card.to_owned()), Match::ForTransparent];
        let chain = Chain {
            name: "prerouting",
            kind: ChainKind::Filter,
            hook: Hook::Prerouting,
            priority: MANGLE,
            rules: vec![Rule { matches, verdict: Verdict::Mark(MARK) }],
        };
        let table = Table { name: format!("{name_prefix}-peers"), chains: vec![chain] };
        let mut kernel = Kernel::open()?;
        kernel.keep_marked(AddressFamily::Inet, MARK, TABLE)?;
        let ipv6 = kernel.keep_marked(AddressFamily::Inet6, MARK, TABLE);
        if let Err(error) = &ipv6 {
            tracing::info!(%error, "containers don't see the peers of IPv6");
        }
        Nftables::open()?.commit(&table.replace())?;
        let card = kernel.index(card)?;
        Ok(Self(Some(Routes { kernel: Mutex::new(kernel), card, ipv6: ipv6.is_ok() })))
    }

    /// Nobody: every datagram is this machine's own.
    pub fn hidden() -> Self {
        Self(None)
    }

    /// A socket for datagrams to and from `target`, as of `peer`; of this machine where the container can't or mustn't
    /// see the peer: it is the host itself on loopback, of the other family, or has an address that is somebody's here.
    ///
    /// # Errors
    /// When there is no way to the target.
    pub fn datagrams(&self, peer: SocketAddr, target: SocketAddr) -> io::Result<UdpSocket> {
        for name in self.names(peer, target) {
            let named = named(name, target);
            match named.and_then(|socket| socket.connect(&target.into()).map(|()| socket)) {
                // It speaks with the target already, by another way.
                Err(error) if is_taken(&error) => {}
                connected => return connected.map(UdpSocket::from),
            }
        }
        let socket = Socket::new(Domain::for_address(target), Type::DGRAM, None)?;
        socket.connect(&target.into())?;
        Ok(socket.into())
    }

    /// What a socket may be called for this peer, the best first.
    fn names(&self, peer: SocketAddr, target: SocketAddr) -> Vec<SocketAddr> {
        let routes = self.0.as_ref().filter(|routes| routes.let_appear(peer.ip(), target.ip()));
        routes.map(|_| vec![peer, SocketAddr::new(peer.ip(), 0)]).unwrap_or_default()
    }
}

impl Routes {
    fn let_appear(&self, peer: IpAddr, target: IpAddr) -> bool {
        let of_nobody = peer.is_loopback() || peer.is_unspecified() || peer.is_multicast();
        let family = match (peer, target) {
            (IpAddr::V4(_), IpAddr::V4(_)) => true,
            // A link-local address means nothing without its link.
            (IpAddr::V6(peer), IpAddr::V6(_)) => self.ipv6 && !peer.is_unicast_link_local(),
            _ => false,
        };
        family && !of_nobody && self.is_outside(peer)
    }

    /// Whether nobody here has the address: neither this machine nor a network of containers.
    fn is_outside(&self, peer: IpAddr) -> bool {
        match self.kernel.lock().unwrap_or_else(PoisonError::into_inner).way_to(peer) {
            Ok(way) => way.is_none() || way == self.card,
            Err(error) => error.raw_os_error() == Some(Errno::NETUNREACH.raw_os_error()),
        }
    }
}

/// A socket that is called so.
fn named(name: SocketAddr, target: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(target), Type::DGRAM, None)?;
    match target {
        SocketAddr::V4(_) => socket.set_ip_transparent_v4(true)?,
        SocketAddr::V6(_) => socket.set_ip_transparent_v6(true)?,
    }
    socket.bind(&name.into())?;
    Ok(socket)
}

fn is_taken(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::AddrInUse | io::ErrorKind::AddrNotAvailable)
}
