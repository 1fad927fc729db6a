//! `berth-runtime` as an OCI runtime command: every verb against a bundle with a static busybox.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "command/agent.rs"]
mod agent;
#[path = "command/bundle.rs"]
mod bundle;
#[path = "command/lives.rs"]
mod lives;
#[path = "command/settings.rs"]
mod settings;
#[path = "command/sys.rs"]
mod sys;
