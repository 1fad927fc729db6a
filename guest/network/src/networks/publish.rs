//! Published ports: wishes become bindings, and the publisher is told the whole set.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::PoisonError;

use super::{Networks, State};
use crate::endpoint::Endpoint;
use crate::error::{Error, Result};
use crate::network::Network;
use crate::port::{PortWish, PublishedPort};
use crate::publish::{Outcome, Refusal, Wanted};

/// The open ports by container.
type Ports = BTreeMap<String, Vec<PublishedPort>>;

/// A wish on its way to a port.
struct Attempt {
    port: PublishedPort,
    /// The last port that will do.
    last: u16,
    /// Whether another one would have done, too.
    is_range: bool,
    /// Whether the user named no address, so that the other family follows.
    every_address: bool,
    /// Whether it follows another family's: a publisher that can't carry it is no error.
    follows: bool,
    /// Whether any port will do; what follows may then be taken.
    random: bool,
    open: bool,
}

impl Networks {
    /// Opens a container's ports, all or none, beside those that it has. They stay open until the container's
    /// sandbox is closed, whichever networks it joins and leaves. A container without an address has no ports.
    pub fn publish(&self, container: &str, wishes: &[PortWish]) -> Result<Vec<PublishedPort>> {
        let Some(target) = self.target_of(container) else { return Ok(Vec::new()) };
        let mut held = self.ports.lock().unwrap_or_else(PoisonError::into_inner);
        let binding = self.host_binding(container);
        let first = |wish| Attempt::first(wish, binding, target);
        let mut attempts: Vec<Attempt> = wishes.iter().filter_map(first).collect();
        let mut opened = self.open_all(&held, target, &mut attempts);
        if opened.is_ok() {
            let mut others: Vec<Attempt> = attempts.iter().filter_map(Attempt::other_family).collect();
            attempts.append(&mut others);
            opened = self.open_all(&held, target, &mut attempts);
        }
        if let Err(error) = opened {
            self.reconcile(&held);
            return Err(error);
        }
        let ports: Vec<PublishedPort> =
            attempts.iter().filter(|attempt| attempt.open).map(|attempt| attempt.port).collect();
        held.entry(container.to_owned()).or_default().extend(&ports);
        Ok(ports)
    }

    /// A container's open ports.
    pub fn published(&self, container: &str) -> Vec<PublishedPort> {
        let held = self.ports.lock().unwrap_or_else(PoisonError::into_inner);
        held.get(container).cloned().unwrap_or_default()
    }

    /// Closes a container's ports; one without any is fine.
    pub(super) fn unpublish(&self, container: &str) {
        let mut held = self.ports.lock().unwrap_or_else(PoisonError::into_inner);
        if held.remove(container).is_some_and(|ports| !ports.is_empty()) {
            self.reconcile(&held);
        }
    }

    /// Points a container's ports to the address that it has now.
    pub(super) fn repoint(&self, container: &str) {
        let held = self.ports.lock().unwrap_or_else(PoisonError::into_inner);
        if held.get(container).is_some_and(|ports| !ports.is_empty()) {
            self.reconcile(&held);
        }
    }

    /// States the whole set. A port that was open and is refused now stays wanted: the next set asks again.
    pub(super) fn reconcile(&self, held: &Ports) {
        let wanted = self.wanted(held);
        for (wanted, outcome) in wanted.iter().zip(self.publisher.reconcile(&wanted)) {
            if let Outcome::Refused(refusal) = outcome {
                let Wanted { transport, host_ip, host_port, .. } = wanted;
                tracing::warn!(%transport, %host_ip, host_port, ?refusal, "a published port isn't open");
            }
        }
    }

    /// Asks for attempts until each is open or some can't be.
    fn open_all(&self, held: &Ports, target: Target, attempts: &mut [Attempt]) -> Result<()> {
        loop {
            for place in 0..attempts.len() {
                avoid_ours(held, attempts, place)?;
            }
            let mut wanted = self.wanted(held);
            let before = wanted.len();
            wanted.extend(
                attempts
                    .iter()
                    .filter(|attempt| attempt.is_wanted())
                    .map(|attempt| target.want(&attempt.port)),
            );
            if wanted.len() == before {
                return Ok(());
            }
            let outcomes = self.publisher.reconcile(&wanted);
            let mut again = false;
            for (attempt, outcome) in attempts
                .iter_mut()
                .filter(|attempt| attempt.is_wanted())
                .zip(outcomes.into_iter().skip(before))
            {
                again |= attempt.take(outcome, target)?;
            }
            if !again {
                return Ok(());
            }
        }
    }

    fn wanted(&self, held: &Ports) -> Vec<Wanted> {
        let targets = held.iter().filter_map(|(container, ports)| Some((self.target_of(container)?, ports)));
        targets.flat_map(|(target, ports)| ports.iter().map(move |port| target.want(port))).collect()
    }

    /// The address of this machine that the container's way out publishes at.
    fn host_binding(&self, container: &str) -> Option<IpAddr> {
        publishing(&self.state(), container)?.1.host_binding()
    }

    fn target_of(&self, container: &str) -> Option<Target> {
        Target::at(publishing(&self.state(), container)?.0)
    }
}

/// The bridge that is the container's way out, and its place there. An internal network publishes nothing, and what hangs
/// on a parent is there for everyone.
fn publishing<'s>(state: &'s State, container: &str) -> Option<(&'s Endpoint, &'s Network)> {
    state.endpoints.get(container)?.iter().find_map(|place| {
        let network = state.networks.iter().find(|network| network.id == place.network_id)?;
        let leads_out = place.gateway.is_some() || place.gateway6.is_some();
        (leads_out && network.bridge.is_some()).then_some((place, network))
    })
}

/// Where a container's ports lead.
#[derive(Debug, Clone, Copy)]
enum Target {
    Ipv4(Ipv4Addr),
    Ipv6(Ipv6Addr),
    Both(Ipv4Addr, Ipv6Addr),
}

impl Target {
    fn at(place: &Endpoint) -> Option<Self> {
        match (place.ipv4, place.ipv6) {
            (Some((ipv4, _)), Some((ipv6, _))) => Some(Self::Both(ipv4, ipv6)),
            (Some((ipv4, _)), None) => Some(Self::Ipv4(ipv4)),
            (None, Some((ipv6, _))) => Some(Self::Ipv6(ipv6)),
            (None, None) => None,
        }
    }

    /// Whether a port of this address of the host leads there: one of IPv6 also where there is IPv4 alone.
    fn is_reached_by(self, host_ip: IpAddr) -> bool {
        host_ip.is_ipv6() || !matches!(self, Self::Ipv6(_))
    }

    fn want(self, port: &PublishedPort) -> Wanted {
        let address = match self {
            Self::Ipv4(address) => IpAddr::V4(address),
            Self::Ipv6(address) => IpAddr::V6(address),
            Self::Both(_, address) if port.host_ip.is_ipv6() => IpAddr::V6(address),
            Self::Both(address, _) => IpAddr::V4(address),
        };
        Wanted {
            transport: port.transport,
            host_ip: port.host_ip,
            host_port: port.host_port,
            target: SocketAddr::new(address, port.container_port),
        }
    }
}

impl Attempt {
    /// What is tried first for a wish; nothing when no port of the address that it names leads there.
    fn first(wish: &PortWish, binding: Option<IpAddr>, target: Target) -> Option<Self> {
        let chosen = wish.host_ip.or(binding);
        let any = match target {
            Target::Ipv6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
            _ => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        };
        let host_ip = chosen.unwrap_or(any);
        if !target.is_reached_by(host_ip) {
            return None;
        }
        let PortWish { transport, container_port, .. } = *wish;
        let port = PublishedPort { transport, container_port, host_ip, host_port: *wish.host_ports.start() };
        let (every_address, random) = (chosen.is_none() && host_ip.is_ipv4(), port.host_port == 0);
        let last = *wish.host_ports.end();
        let is_range = last > port.host_port;
        Some(Self { port, last, is_range, every_address, follows: false, random, open: false })
    }

    /// The same port of every IPv6 address.
    fn other_family(&self) -> Option<Self> {
        let port = PublishedPort { host_ip: IpAddr::V6(Ipv6Addr::UNSPECIFIED), ..self.port };
        let (last, is_range, every_address, open) = (port.host_port, false, false, false);
        let other = Self { port, last, is_range, every_address, follows: true, random: self.random, open };
        self.every_address.then_some(other)
    }

    /// Whether the publisher is to be asked for it: also when it is open already, since the set is always whole.
    fn is_wanted(&self) -> bool {
        self.open || self.last >= self.port.host_port
    }

    /// Notes the publisher's answer; true when the next port of the range is to be tried.
    fn take(&mut self, outcome: Outcome, target: Target) -> Result<bool> {
        match outcome {
            Outcome::Bound(port) => {
                self.open = true;
                self.port.host_port = port;
                self.last = self.last.max(port);
                Ok(false)
            }
            Outcome::Refused(refusal) if self.follows && (is_incapable(refusal) || self.random) => {
                // No port will do any more.
                (self.open, self.port.host_port, self.last) = (false, 1, 0);
                Ok(false)
            }
            Outcome::Refused(Refusal::InUse) if !self.open && self.port.host_port < self.last => {
                self.port.host_port += 1;
                Ok(true)
            }
            Outcome::Refused(refusal) => Err(Error::PortRefused {
                binding: format!(
                    "{}:{}/{}",
                    host(&self.port),
                    target.want(&self.port).target,
                    self.port.transport
                ),
                reason: reason(refusal),
            }),
        }
    }
}

/// Moves an attempt past ports that our own containers have.
fn avoid_ours(held: &Ports, attempts: &mut [Attempt], place: usize) -> Result<()> {
    let port = attempts[place].port;
    if port.host_port == 0 || attempts[place].open || !attempts[place].is_wanted() {
        return Ok(());
    }
    let others = attempts.iter().enumerate().filter(|(other, attempt)| *other < place || attempt.open);
    let taken: Vec<PublishedPort> =
        held.values().flatten().copied().chain(others.map(|(_, attempt)| attempt.port)).collect();
    let holder = |candidate: u16| {
        taken.iter().find(|other| meets(other, &PublishedPort { host_port: candidate, ..port }))
    };
    let Attempt { last, is_range, .. } = attempts[place];
    let free = (port.host_port..=last).find(|candidate| holder(*candidate).is_none());
    attempts[place].port.host_port = free.ok_or_else(|| match holder(port.host_port) {
        Some(PublishedPort { host_ip, host_port, .. }) if !is_range => {
            Error::PortAllocated { host_ip: host_ip.to_string(), host_port: *host_port }
        }
        _ => Error::PortsAllocated,
    })?;
    Ok(())
}

/// Whether two bindings can't both be open.
fn meets(one: &PublishedPort, other: &PublishedPort) -> bool {
    let (a, b) = (one.host_ip, other.host_ip);
    let addresses = a == b || (a.is_ipv4() == b.is_ipv4() && (a.is_unspecified() || b.is_unspecified()));
    one.transport == other.transport && one.host_port == other.host_port && addresses
}

fn host(port: &PublishedPort) -> SocketAddr {
    SocketAddr::new(port.host_ip, port.host_port)
}

/// Whether the publisher will never open such a port.
fn is_incapable(refusal: Refusal) -> bool {
    matches!(refusal, Refusal::Unsupported | Refusal::NoSuchAddress)
}

fn reason(refusal: Refusal) -> &'static str {
    match refusal {
        Refusal::InUse => "address already in use",
        Refusal::NotPermitted => "permission denied",
        Refusal::NoSuchAddress => "cannot assign requested address",
        Refusal::Unsupported => "protocol not supported",
        Refusal::NoAnswer => "the host didn't answer in time",
    }
}
