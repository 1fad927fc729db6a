//! Container networks: bridges, veth pairs, address pools, nftables rules, names and published ports.
//!
//! Everything here is synchronous. A socket that must live in another network namespace is opened by a
//! short-lived thread that enters it and hands the descriptor back; no other thread ever changes namespace.

pub mod publish;
