//! Black-box tests: real clients (the `docker` command, bollard, plain HTTP) against a real engine.
//!
//! A test asks for an [`engine::Engine`] and talks to it through its socket alone; nothing here knows the
//! engine's insides.

pub mod engine;
pub mod guard;
