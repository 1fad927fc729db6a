//! Request, query and response types of the API, one file per resource.

pub(crate) mod archive;
pub(crate) mod build;
pub(crate) mod container;
pub(crate) mod event;
pub(crate) mod exec;
pub(crate) mod image;
pub(crate) mod network;
pub(crate) mod query;
pub(crate) mod stats;
pub(crate) mod system;
pub(crate) mod volume;
