//! Black-box tests: real clients (the `docker` command, plain HTTP) against a real engine.
//!
//! A test asks for an [`engine::Engine`] and talks to it through its socket alone; nothing here knows the
//! engine's insides. Where something is waited for, a condition is asked for until a deadline.

pub mod belongings;
pub mod buildx;
pub mod certificates;
pub mod chance;
pub mod condition;
pub mod context;
pub mod disk;
pub mod engine;
pub mod gate;
pub mod git;
pub mod grpc;
pub mod guard;
pub mod image;
pub mod linked;
pub mod machine;
pub mod nfs;
pub mod ntfs;
pub mod perl;
pub mod registry;
pub mod ssh;
pub mod tokens;
pub mod web;
pub mod webdriver;
pub mod window;
