//! The rules that networks imply, as one table of our own: computed whole from the networks and replaced at once.
//!
//! As Docker's: containers of one bridge talk, bridges don't talk to each other, from outside a container is reached
//! at published ports alone (in a VM: through its door), an internal network has no way out.

use std::net::{IpAddr, Ipv4Addr};

use crate::door::Door;
use crate::network::{Ipam, Network};
use crate::nft::{Chain, ChainKind, Hook, Match, Rule, Table, Verdict};
use crate::options::GatewayMode;
use crate::subnet::Subnet;

/// The usual turns of filters and of source translation.
const FILTER: i32 = 0;
const SOURCE_NAT: i32 = 100;

/// The table of these networks, and of the door by which published connections come in a VM.
pub(crate) fn table(name: &str, networks: &[Network], door: Option<&Door>) -> Table {
    let bridges: Vec<(&Network, &str)> =
        networks.iter().filter_map(|network| Some((network, network.bridge.as_deref()?))).collect();
    let forward = Chain {
        name: "forward",
        kind: ChainKind::Filter,
        hook: Hook::Forward,
        priority: FILTER,
        rules: door.map(Door::entry).into_iter().chain(forward(&bridges)).collect(),
    };
    let through_door = door.map(Door::translations).unwrap_or_default();
    let own = bridges.iter().flat_map(|(network, bridge)| translate(network, bridge));
    let postrouting = Chain {
        name: "postrouting",
        kind: ChainKind::Nat,
        hook: Hook::Postrouting,
        priority: SOURCE_NAT,
        rules: through_door.into_iter().chain(own).collect(),
    };
    Table { name: name.to_owned(), chains: vec![forward, postrouting] }
}

/// What passes between interfaces. What touches none of our bridges is none of our business.
fn forward(bridges: &[(&Network, &str)]) -> Vec<Rule> {
    let mut rules = Vec::new();
    for (network, bridge) in bridges {
        let (into, from) = (Match::Out((*bridge).to_owned()), Match::In((*bridge).to_owned()));
        if network.connects_containers() {
            rules.push(rule([from, into], Verdict::Accept));
        }
    }
    for (_, bridge) in bridges.iter().filter(|(network, _)| network.internal) {
        rules.push(rule([Match::Out((*bridge).to_owned())], Verdict::Drop));
        rules.push(rule([Match::In((*bridge).to_owned())], Verdict::Drop));
    }
    for (network, bridge) in bridges {
        let into = Match::Out((*bridge).to_owned());
        rules.push(rule([into.clone(), Match::Established], Verdict::Accept));
        // A published port, also of another bridge's container.
        rules.push(rule([into.clone(), Match::Translated], Verdict::Accept));
        let is_open = |ipam: &&Ipam| network.gateway_mode(ipam.subnet.is_ipv4()) == GatewayMode::Unprotected;
        for ipam in network.ipam.iter().filter(is_open) {
            // To whoever has a route from outside, which other bridges' containers aren't.
            let others = bridges.iter().filter(|(_, other)| other != bridge);
            let from = others.map(|(_, other)| Match::In((*other).to_owned()));
            rules.extend(from.map(|from| rule([into.clone(), from], Verdict::Drop)));
            rules.push(rule([into.clone(), Match::Destination(ipam.subnet)], Verdict::Accept));
        }
    }
    rules.extend(bridges.iter().map(|(_, bridge)| rule([Match::Out((*bridge).to_owned())], Verdict::Drop)));
    rules
}

/// What leaves with another address than its own.
fn translate(network: &Network, bridge: &str) -> Vec<Rule> {
    let (into, elsewhere) = (Match::Out(bridge.to_owned()), Match::NotOut(bridge.to_owned()));
    let mut rules = Vec::new();
    // This machine's own connections to a published port on loopback appear as the gateway.
    if let Some(loopback) = Subnet::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8) {
        rules.push(rule([into.clone(), Match::Source(loopback)], Verdict::Masquerade));
    }
    for ipam in &network.ipam {
        // A container's connection to a port that its own network publishes must come back through this machine.
        let own = [into.clone(), Match::Source(ipam.subnet), Match::Translated];
        rules.push(rule(own, Verdict::Masquerade));
        if network.masquerades() {
            let address = network.host_address(ipam.subnet.is_ipv4());
            let leave = address.map_or(Verdict::Masquerade, Verdict::LeaveAs);
            rules.push(rule([Match::Source(ipam.subnet), elsewhere.clone()], leave));
        }
    }
    rules
}

fn rule<const N: usize>(matches: [Match; N], verdict: Verdict) -> Rule {
    Rule { matches: matches.into(), verdict }
}
