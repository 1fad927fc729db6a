//! Images: references, registries, the content store, layers and snapshots on overlayfs.
//!
//! A [`Store`] keeps everything beneath one folder; its methods block and are called from threads that may. A
//! [`registry::Client`] is async and moves images between registries and a store. Nothing here knows containers:
//! who uses an image is asked of the caller.

mod archive;
mod blobs;
mod changes;
mod compress;
mod config;
mod content;
mod copy;
mod digest;
mod durable;
mod error;
mod glob;
mod growth;
mod holds;
mod image;
mod layers;
mod layout;
mod manifest;
mod names;
mod outbound;
mod overlay;
mod pack;
mod parts;
mod platform;
mod progress;
mod reference;
pub mod registry;
mod remove;
mod snapshot;
mod stack;
mod store;
mod trash;
mod unpack;
mod unsynced;

pub use archive::{Chosen, CommitOptions, ImportOptions, Loaded};
pub use compress::{Compression, Packing};
pub use config::{
    CachedStep, EmptyObject, Healthcheck, HistoryEntry, ImageConfig, NameSet, RootFs, RunConfig, exec_form,
};
pub use content::{Blob, chain_id};
pub use copy::{CopyOptions, copy_in, copy_out};
pub use digest::Digest;
pub use error::{Error, Kind, Result};
pub use glob::{Glob, is_pattern};
pub use image::{HistoryItem, Image, Layer};
pub use layout::Layout;
pub use outbound::{Annotation, AnnotationPlace, Outbound};
pub use parts::{Parts, parts};
pub use platform::Platform;
pub use progress::{Detail, Progress};
pub use reference::{DEFAULT_DOMAIN, DEFAULT_TAG, Reference};
pub use remove::{ImageUse, RemoveOptions, Removed};
pub use snapshot::{Change, ChangeKind, MARK, Snapshot, export};
pub use stack::Kept;
pub use store::Store;
pub use unpack::{Dress, extract, is_archive};
