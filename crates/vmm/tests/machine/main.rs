//! The emulated machine for real.

#![expect(clippy::unwrap_used, reason = "a test's panic is its report")]

mod boot;
mod disk;
mod fixture;
mod network;
