//! The door of a machine whose host brings published connections in by its card: packets from whoever connected to the
//! host, addressed to containers.
//!
//! They come from a hardware address that nothing else at the other end of the card has, and nothing on this side can
//! send by it what comes in. So the rules let them, and no others, through to containers from outside.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::endpoint::Mac;
use crate::nft::{Match, Rule, Verdict};
use crate::route::Kernel;
use crate::subnet::Subnet;

/// How such connections are known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Door {
    /// The card by which they come.
    pub card: String,
    /// The hardware address that they come from.
    pub hardware: Mac,
    /// Who connects where the container can't or mustn't see the peer: it sees its network's gateway instead.
    pub hidden: (Ipv4Addr, Ipv6Addr),
    /// The next hop of what goes back by IPv6, a link-local address; by IPv4 it is this machine's way out.
    pub router: Ipv6Addr,
}

impl Door {
    /// Lets answers go back by the card.
    pub(crate) fn open(&self, kernel: &mut Kernel) -> io::Result<()> {
        let card = kernel.index(&self.card)?.ok_or(io::ErrorKind::NotFound)?;
        if let Err(error) = kernel.add_last_resort(card, self.router) {
            tracing::info!(%error, "nobody connects to containers by IPv6");
        }
        Ok(())
    }

    /// The largest packets that the card carries. What leads to it may carry them, too: the networks of a VM end in its
    /// host's process, and a large packet costs what a small one does.
    pub(crate) fn mtu(&self, kernel: &mut Kernel) -> io::Result<Option<u32>> {
        kernel.index(&self.card)?.map_or(Ok(None), |card| kernel.mtu(card))
    }

    /// What its packets are like.
    fn packets(&self) -> Vec<Match> {
        vec![Match::In(self.card.clone()), Match::Sender(self.hardware)]
    }

    /// Lets them in.
    pub(crate) fn entry(&self) -> Rule {
        Rule { matches: self.packets(), verdict: Verdict::Accept }
    }

    /// Hidden peers come from the network's gateway.
    pub(crate) fn translations(&self) -> Vec<Rule> {
        let hidden = [(IpAddr::V4(self.hidden.0), 32), (IpAddr::V6(self.hidden.1), 128)];
        let hidden = hidden.into_iter().filter_map(|(address, length)| Subnet::new(address, length));
        let rule = |subnet| {
            let matches = [self.packets(), vec![Match::Source(subnet)]].concat();
            Rule { matches, verdict: Verdict::Masquerade }
        };
        hidden.map(rule).collect()
    }
}
