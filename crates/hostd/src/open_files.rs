//! The limit of open files: each connection of a client and of a published port takes one here, and one more in the
//! machine's process.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises this process's own limit as far as the system lets it.
pub(crate) fn raise() {
    let limit = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }) {
        tracing::warn!(%error, "can't raise the limit of open files");
    }
}
