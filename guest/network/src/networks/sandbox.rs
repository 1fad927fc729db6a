//! Sandboxes: one network namespace for each container, held by a file.

use std::path::PathBuf;

use super::{Networks, kernel};
use crate::error::{Error, Result};
use crate::namespace;
use crate::route::Kernel;

impl Networks {
    /// Makes the container's namespace, with loopback up, and returns the file that holds it; twice is fine.
    pub fn open_sandbox(&self, container: &str) -> Result<PathBuf> {
        let path = self.sandbox(container)?;
        let _state = self.state();
        if !namespace::is_held(&path) {
            namespace::create(&path)?;
        }
        let mut inside = namespace::within(&path, Kernel::open)?;
        // The first interface of every namespace is loopback.
        inside.bring_up(1).map_err(kernel("bring up loopback of", container))?;
        Ok(path)
    }

    /// Takes away everything that the container has here: ports, places in networks, its namespace. Twice is fine,
    /// and so is a container that has nothing. What can't be removed doesn't keep the rest. The kernel may be deleting
    /// the interfaces when this returns: [`settle`](Self::settle) waits for it.
    pub fn close_sandbox(&self, container: &str) -> Result<()> {
        let path = self.sandbox(container)?;
        self.unpublish(container);
        self.resolver.close(container);
        let mut state = self.state();
        let endpoints = state.endpoints.remove(container).unwrap_or_default();
        let removed: Vec<Result<()>> =
            endpoints.into_iter().map(|left| self.depart(&mut state, container, left, &path)).collect();
        self.tell_names(&state);
        namespace::remove(&path)?;
        removed.into_iter().collect()
    }

    /// Waits until the interfaces of every closed sandbox are gone.
    pub fn settle(&self) {
        self.departed.wait_for_all();
    }

    pub(super) fn sandbox(&self, container: &str) -> Result<PathBuf> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
        if !container.starts_with(|c: char| c.is_ascii_alphanumeric()) || !container.chars().all(allowed) {
            return Err(Error::InvalidContainer(container.to_owned()));
        }
        Ok(self.options.namespaces.join(container))
    }
}
