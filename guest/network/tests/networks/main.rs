//! Networks against the kernel: each test in a network namespace of its own, with `ip` and `nft` as oracles.
#![expect(clippy::unwrap_used, reason = "a failed step fails its test")]

mod bridges;
mod door;
mod lifecycle;
mod names;
mod parents;
mod peers;
mod ports;
mod shortcut;
mod sys;
mod world;
