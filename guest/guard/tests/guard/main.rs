//! The real guard program, driven through its socket, holding real containers.

mod bundle;
mod client;

mod execs;
mod hostile;
mod lives;
mod streams;
