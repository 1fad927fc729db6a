//! nftables: tables, chains and rules as netlink messages, sent as one transaction.
//!
//! A [`Table`]'s chains are stated whole and replace what was there of their names: the kernel switches from the old rules
//! to the new ones at once, connections that it tracks go on, and a rebuild after a crash is the ordinary path. Other
//! tables are never touched.

mod attributes;
mod expression;
mod socket;

pub(crate) use expression::{Family, Match, Rule, Verdict};
pub(crate) use socket::Nftables;

use attributes::Attributes;

/// Rules for both families (`NFPROTO_INET`).
pub(crate) const FAMILY_INET: u8 = 1;

/// Message numbers of `nf_tables` (linux/netfilter/nf_tables.h).
pub(crate) const NEW_TABLE: u8 = 0;
pub(crate) const NEW_CHAIN: u8 = 3;
pub(crate) const NEW_RULE: u8 = 6;
pub(crate) const DELETE_RULE: u8 = 8;

/// A table with all rules of some of its chains.
#[derive(Debug)]
pub(crate) struct Table {
    /// Its name.
    pub(crate) name: String,
    /// Its chains, each of which hangs on a hook.
    pub(crate) chains: Vec<Chain>,
}

/// A chain that the kernel calls.
#[derive(Debug)]
pub(crate) struct Chain {
    /// Its name.
    pub(crate) name: &'static str,
    /// What its rules may do.
    pub(crate) kind: ChainKind,
    /// When the kernel calls it.
    pub(crate) hook: Hook,
    /// Its turn among the chains of that hook.
    pub(crate) priority: i32,
    /// Its rules.
    pub(crate) rules: Vec<Rule>,
}

/// What a chain's rules may do.
#[derive(Debug, Clone, Copy)]
pub(crate) enum ChainKind {
    /// Let pass or drop.
    Filter,
    /// Translate addresses; asked for a connection's first packet alone.
    Nat,
}

/// When the kernel calls a chain; the numbers are the kernel's (`enum nf_inet_hooks`).
#[derive(Debug, Clone, Copy)]
pub(crate) enum Hook {
    /// A packet came in.
    Prerouting = 0,
    /// A packet goes from one interface to another.
    Forward = 2,
    /// A packet of this machine's own goes out.
    Output = 3,
    /// A packet is about to leave.
    Postrouting = 4,
}

/// One message of a transaction: its number, its flags beyond the usual, its attributes.
#[derive(Debug)]
pub(crate) struct Message {
    kind: u8,
    flags: u16,
    body: Attributes,
}

impl Table {
    /// The transaction that replaces these chains; others of the table stay.
    pub(crate) fn replace(&self) -> Vec<Message> {
        const NAME: u16 = 1;
        let body = Attributes::new().text(NAME, &self.name);
        let mut messages = vec![Message { kind: NEW_TABLE, flags: netlink_packet_core::NLM_F_CREATE, body }];
        for chain in &self.chains {
            messages.push(chain.message(&self.name));
            messages.push(chain.emptied(&self.name));
            messages.extend(chain.rules.iter().map(|rule| rule.message(&self.name, chain.name)));
        }
        messages
    }
}

impl Chain {
    fn message(&self, table: &str) -> Message {
        const TABLE: u16 = 1;
        const NAME: u16 = 3;
        const HOOK: u16 = 4;
        const HOOK_NUMBER: u16 = 1;
        const HOOK_PRIORITY: u16 = 2;
        const KIND: u16 = 7;
        let hook = Attributes::new()
            .number(HOOK_NUMBER, self.hook as u32)
            .number(HOOK_PRIORITY, self.priority.cast_unsigned());
        let kind = match self.kind {
            ChainKind::Filter => "filter",
            ChainKind::Nat => "nat",
        };
        let body =
            Attributes::new().text(TABLE, table).text(NAME, self.name).nest(HOOK, &hook).text(KIND, kind);
        Message { kind: NEW_CHAIN, flags: netlink_packet_core::NLM_F_CREATE, body }
    }

    /// Removes all its rules.
    fn emptied(&self, table: &str) -> Message {
        const TABLE: u16 = 1;
        const CHAIN: u16 = 2;
        let body = Attributes::new().text(TABLE, table).text(CHAIN, self.name);
        Message { kind: DELETE_RULE, flags: 0, body }
    }
}
