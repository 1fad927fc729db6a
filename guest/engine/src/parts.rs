//! What builds share with the engine: its images, registries, networks and cgroups.

use std::sync::Arc;

use berth_images::{Reference, Store, registry};
use berth_network::Networks;
use berth_runtime::cgroup::CgroupRoot;

use crate::Engine;

impl Engine {
    /// The images.
    pub fn image_store(&self) -> &Store {
        &self.images
    }

    /// The way to registries.
    pub fn registries(&self) -> &registry::Client {
        &self.registries
    }

    /// The networks.
    pub fn shared_networks(&self) -> Arc<Networks> {
        self.networks.clone()
    }

    /// The hierarchy of cgroups.
    pub fn cgroups(&self) -> &CgroupRoot {
        &self.cgroups
    }

    /// Tells everybody of an image that was built.
    pub fn tell_built(&self, id: &str, names: &[Reference]) {
        for name in names {
            self.tell_image("tag", id, &name.to_string());
        }
        self.tell_image("create", id, id);
    }
}
