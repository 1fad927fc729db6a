//! The Docker Engine API over HTTP: decode, call one engine verb, encode; nothing else.
//!
//! [`routes::router`] is the whole API on one page. Request, query and response types are in `wire`, one file
//! per resource; only [`error`] knows which status an engine error has.

mod error;
mod ping;
pub mod routes;
mod version;
