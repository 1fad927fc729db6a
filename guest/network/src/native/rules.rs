//! The rules behind published ports, as a table of its own.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr};

use crate::nft::{Chain, ChainKind, Family, Hook, Match, Rule, Table, Verdict};
use crate::publish::Wanted;
use crate::route::Kernel;
use crate::subnet::Subnet;

/// The usual turns: before connections are tracked, and destination translation.
const RAW: i32 = -300;
const DESTINATION_NAT: i32 = -100;

/// The table of these ports, each of which has a port number.
pub(super) fn table(name: &str, open: &[Wanted]) -> Table {
    let nat = |name, hook, priority, rules| Chain { name, kind: ChainKind::Nat, hook, priority, rules };
    // A rule needs one family on both sides; the rest is copied by the publisher.
    let direct = || open.iter().filter(|wanted| wanted.host_ip.is_ipv4() == wanted.target.is_ipv4());
    // What is published on a loopback address is for this machine alone.
    let from_outside = direct().filter(|wanted| !wanted.host_ip.is_loopback()).map(translation).collect();
    // IPv6 has no route from ::1 to another interface: this machine's own connections are copied, too.
    let from_here = direct().filter(|wanted| wanted.host_ip.is_ipv4()).map(translation).collect();
    Table {
        name: name.to_owned(),
        chains: vec![
            Chain {
                name: "guard",
                kind: ChainKind::Filter,
                hook: Hook::Prerouting,
                priority: RAW,
                rules: guard(),
            },
            nat("prerouting", Hook::Prerouting, DESTINATION_NAT, from_outside),
            nat("output", Hook::Output, DESTINATION_NAT, from_here),
        ],
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
pub(super) fn route_loopback(kernel: &mut Kernel, target: IpAddr) -> io::Result<()> {
    let Some(index) = kernel.way_to(target)? else { return Ok(()) };
    let Some((name, _)) = kernel.links()?.into_iter().find(|(_, other)| *other == index) else {
        return Ok(());
    };
    let setting = format!("/proc/sys/net/ipv4/conf/{name}/route_localnet");
    if fs::read_to_string(&setting)?.trim() == "1" { Ok(()) } else { fs::write(setting, "1") }
}
