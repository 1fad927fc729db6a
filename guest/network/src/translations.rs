//! Connections to published ports go to their containers: destinations are translated by the kernel.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr};

use crate::nft::{Chain, ChainKind, Family, Hook, Match, Nftables, Rule, Table, Verdict};
use crate::publish::Wanted;
use crate::route::Kernel;
use crate::subnet::Subnet;

/// The usual turns: before connections are tracked, and destination translation.
const RAW: i32 = -300;
const DESTINATION_NAT: i32 = -100;

/// The rules of a set of ports, in the table of the engine's own.
pub(crate) struct Translations {
    table: String,
    /// The host of a VM, by the address that stands for its loopback.
    host: Option<IpAddr>,
    rules: Nftables,
    kernel: Kernel,
}

impl Translations {
    /// In the network namespace of the calling thread. What an engine before this one translated goes on until the first
    /// set replaces it.
    pub(crate) fn open(name_prefix: &str, host: Option<IpAddr>) -> io::Result<Self> {
        let (rules, kernel) = (Nftables::open()?, Kernel::open()?);
        Ok(Self { table: name_prefix.to_owned(), host, rules, kernel })
    }

    /// Makes `open`, each of which has a port number, the complete set.
    pub(crate) fn set(&mut self, open: &[Wanted]) -> io::Result<()> {
        let targets = open.iter().filter(|wanted| wanted.target.is_ipv4()).map(|wanted| wanted.target.ip());
        for target in targets.collect::<HashSet<IpAddr>>() {
            route_loopback(&mut self.kernel, target)?;
        }
        self.rules.commit(&self.table(open).replace())
    }

    fn table(&self, open: &[Wanted]) -> Table {
        let nat =
            |name, hook, rules| Chain { name, kind: ChainKind::Nat, hook, priority: DESTINATION_NAT, rules };
        // A rule needs one family on both sides; the rest is copied by the publisher.
        let direct = || open.iter().filter(|wanted| wanted.host_ip.is_ipv4() == wanted.target.is_ipv4());
        // What is published on a loopback address is for that machine alone.
        let from_outside = direct().filter(|wanted| !wanted.host_ip.is_loopback()).map(translation);
        // The host of a VM has ports on its loopback, too: there its containers find them.
        let at_host = direct().filter_map(|wanted| self.at_host(wanted));
        // IPv6 has no route from ::1 to another interface: this machine's own connections are copied, too.
        let from_here = direct().filter(|wanted| wanted.host_ip.is_ipv4()).map(translation);
        let guard = Chain {
            name: "guard",
            kind: ChainKind::Filter,
            hook: Hook::Prerouting,
            priority: RAW,
            rules: guard(),
        };
        let prerouting = nat("prerouting", Hook::Prerouting, from_outside.chain(at_host).collect());
        let output = nat("output", Hook::Output, from_here.collect());
        Table { name: self.table.clone(), chains: vec![guard, prerouting, output] }
    }

    /// A port that the VM's host has at its loopback.
    fn at_host(&self, wanted: &Wanted) -> Option<Rule> {
        let host = self.host.filter(|host| host.is_ipv4() == wanted.host_ip.is_ipv4())?;
        let on_loopback = wanted.host_ip.is_loopback() || wanted.host_ip.is_unspecified();
        on_loopback.then(|| translation(&Wanted { host_ip: host, ..wanted.clone() }))
    }
}

/// Loopback addresses are routed on bridges for this machine's own sake (below); nobody else may use them.
fn guard() -> Vec<Rule> {
    let loopback = Subnet::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8);
    let matches = loopback.map(|loopback| vec![Match::NotIn("lo".to_owned()), Match::Destination(loopback)]);
    matches.map(|matches| Rule { matches, verdict: Verdict::Drop }).into_iter().collect()
}

fn translation(wanted: &Wanted) -> Rule {
    let address = match Subnet::new(wanted.host_ip, if wanted.host_ip.is_ipv4() { 32 } else { 128 }) {
        Some(subnet) if !wanted.host_ip.is_unspecified() => vec![Match::Destination(subnet)],
        _ => vec![Match::Family(Family::of(wanted.host_ip)), Match::ToThisMachine],
    };
    let port = Match::Port(wanted.transport, wanted.host_port);
    Rule {
        matches: std::iter::once(port).chain(address).collect(),
        verdict: Verdict::Translate(wanted.target),
    }
}

/// Lets connections from 127.0.0.1 leave by the interface that leads to the target.
fn route_loopback(kernel: &mut Kernel, target: IpAddr) -> io::Result<()> {
    let Some(index) = kernel.way_to(target)? else { return Ok(()) };
    let Some((name, _)) = kernel.links()?.into_iter().find(|(_, other)| *other == index) else {
        return Ok(());
    };
    let setting = format!("/proc/sys/net/ipv4/conf/{name}/route_localnet");
    if fs::read_to_string(&setting)?.trim() == "1" { Ok(()) } else { fs::write(setting, "1") }
}
