//! Published ports of an engine that runs on this machine itself.
//!
//! The kernel translates a connection's destination, so that bytes never pass through the engine; a listening
//! socket reserves the port, so that a conflict is noticed on both sides.

use std::collections::HashMap;
use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::sync::{Arc, Mutex, PoisonError};

use copy::Door;
use datagrams::Window;
use lookout::{Lookout, Posts};
use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};
use straight::Straight;

use crate::error::{Error, Result};
use crate::publish::{Outcome, PortPublisher, Refusal, Transport, Wanted, open};
use crate::translations::Translations;

mod copy;
mod datagrams;
mod lookout;
mod straight;

/// Connections that wait to be accepted, as `std` has it.
const BACKLOG: i32 = 128;

/// Opens ports in the network namespace of the thread that made it.
pub struct NativePublisher(Mutex<State>);

struct State {
    translations: Translations,
    lookout: Lookout,
    /// None where the kernel can't have it, or has refused something of it.
    straight: Option<Straight>,
    open: HashMap<Binding, Reservation>,
}

/// What may be open once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Binding {
    transport: Transport,
    address: SocketAddr,
}

/// A socket that keeps others from a port, open as long as the value.
enum Reservation {
    Tcp(Arc<TcpListener>),
    Udp(Arc<UdpSocket>),
}

impl NativePublisher {
    /// A publisher whose rules are in the table `name_prefix`. What an engine before it published goes on until the first
    /// set replaces it.
    pub fn new(name_prefix: &str) -> Result<Self> {
        let wrong =
            |source| Error::Kernel { operation: "open a socket for", subject: "rules".to_owned(), source };
        let state = State {
            translations: Translations::open(name_prefix, None).map_err(wrong)?,
            lookout: Lookout::start().map_err(wrong)?,
            straight: Straight::open()
                .inspect_err(|error| tracing::info!(%error, "this machine's connections are translated"))
                .ok(),
            open: HashMap::new(),
        };
        Ok(Self(Mutex::new(state)))
    }
}

impl PortPublisher for NativePublisher {
    fn reconcile(&self, wanted: &[Wanted]) -> Vec<Outcome> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut before = std::mem::take(&mut state.open);
        // What stays is taken over first, so that a new port can't take its place.
        let mut outcomes: Vec<Option<Outcome>> = vec![None; wanted.len()];
        for (wanted, outcome) in wanted.iter().zip(&mut outcomes) {
            let binding = Binding::of(wanted);
            if let Some(reservation) = before.remove(&binding) {
                state.open.insert(binding, reservation);
                *outcome = Some(Outcome::Bound(wanted.host_port));
            }
        }
        // What nobody wants any more is closed before what is new is opened.
        if !before.is_empty() {
            state.watch(wanted);
            drop(before);
        }
        let outcomes: Vec<Outcome> = wanted
            .iter()
            .zip(outcomes)
            .map(|(wanted, kept)| kept.unwrap_or_else(|| state.reserve(wanted)))
            .collect();
        let open = open(wanted, &outcomes);
        match state.translate(&open) {
            Ok(()) => outcomes,
            Err(error) => {
                tracing::warn!("can't publish ports: {error}");
                vec![Outcome::Refused(Refusal::Unsupported); wanted.len()]
            }
        }
    }
}

impl State {
    fn reserve(&mut self, wanted: &Wanted) -> Outcome {
        let mut binding = Binding::of(wanted);
        if self.open.contains_key(&binding) {
            return Outcome::Refused(Refusal::InUse);
        }
        match bind(wanted) {
            Ok((reservation, port)) => {
                binding.address.set_port(port);
                self.open.insert(binding, reservation);
                Outcome::Bound(port)
            }
            Err(error) => Outcome::Refused(refusal(&error)),
        }
    }

    fn translate(&mut self, open: &[Wanted]) -> io::Result<()> {
        self.translations.set(open)?;
        if let Some(Err(error)) = self.straight.as_ref().map(|straight| straight.set(open)) {
            tracing::warn!(%error, "this machine's connections are translated from now on");
            self.straight = None;
        }
        self.watch(open);
        Ok(())
    }

    /// Sees to what the kernel can't translate, at those of these ports that are open; no others are held any more.
    fn watch(&self, wanted: &[Wanted]) {
        let mut posts = Posts::default();
        for wanted in wanted {
            let target = wanted.target;
            match self.open.get(&Binding::of(wanted)) {
                Some(Reservation::Tcp(listener)) => {
                    posts.doors.push(Door { listener: listener.clone(), target })
                }
                Some(Reservation::Udp(socket)) => {
                    posts.windows.push(Window { socket: socket.clone(), target })
                }
                None => {}
            }
        }
        self.lookout.open(posts);
    }
}

impl Binding {
    fn of(wanted: &Wanted) -> Self {
        Self { transport: wanted.transport, address: SocketAddr::new(wanted.host_ip, wanted.host_port) }
    }
}

fn bind(wanted: &Wanted) -> io::Result<(Reservation, u16)> {
    let kind = match wanted.transport {
        Transport::Tcp => SocketType::STREAM,
        Transport::Udp => SocketType::DGRAM,
        Transport::Sctp => return Err(io::ErrorKind::Unsupported.into()),
    };
    let family = if wanted.host_ip.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = rustix::net::socket_with(family, kind, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, None)?;
    if family == AddressFamily::INET6 {
        // The IPv4 side is a binding of its own.
        sockopt::set_ipv6_v6only(&socket, true)?;
    }
    if kind == SocketType::STREAM {
        // Connections that ended a moment ago are no reason to refuse a port; a listener still is.
        sockopt::set_socket_reuseaddr(&socket, true)?;
    }
    rustix::net::bind(&socket, &SocketAddr::new(wanted.host_ip, wanted.host_port))?;
    let port = SocketAddr::try_from(rustix::net::getsockname(&socket)?)?.port();
    if kind == SocketType::DGRAM {
        return Ok((Reservation::Udp(Arc::new(UdpSocket::from(socket))), port));
    }
    rustix::net::listen(&socket, BACKLOG)?;
    Ok((Reservation::Tcp(Arc::new(TcpListener::from(socket))), port))
}

fn refusal(error: &io::Error) -> Refusal {
    match error.kind() {
        io::ErrorKind::AddrInUse => Refusal::InUse,
        io::ErrorKind::PermissionDenied => Refusal::NotPermitted,
        io::ErrorKind::AddrNotAvailable => Refusal::NoSuchAddress,
        _ => Refusal::Unsupported,
    }
}
