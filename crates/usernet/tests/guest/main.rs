//! The network as a guest sees it: smoltcp's stack on one side, real sockets of this host on the other.

#![expect(clippy::unwrap_used, reason = "a test's panic is its report")]

mod calls;
mod door;
mod guest;
mod link;
mod names;
mod servers;
mod streams;
mod strict;
