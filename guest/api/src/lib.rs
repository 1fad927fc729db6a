//! The Docker Engine API over HTTP: decode, call one engine verb, encode; nothing else.
//!
//! [`routes::router`] is the whole API on one page. Request, query and response types are in `wire`, one file
//! per resource; only `error` knows which status an engine error has.

mod body;
mod build;
mod container;
mod decode;
mod detach_keys;
mod error;
mod events;
mod exec;
mod hijack;
mod image;
mod multiplex;
mod network;
mod older;
mod ping;
mod progress;
mod prune;
mod query;
pub mod routes;
mod swarm;
mod system;
mod transfer;
mod version;
mod volume;
mod wire;

pub use decode::decode;

/// What may be decided for all builds, in the builder's own types.
pub mod builds {
    pub use berth_builder::Settings;
    pub use berth_builder::buildkit::Memory;
    pub use berth_builder::options::Grants;
}
