//! `docker system df`: who takes how much of the disk.

use std::collections::BTreeMap;

use crate::Engine;
use crate::images::Image;
use crate::volumes::Volume;

/// An image and what of it others have too.
#[derive(Debug)]
pub struct ImageUsage {
    /// The image.
    pub image: Image,
    /// Bytes of layers that other images have too.
    pub shared: u64,
    /// Containers that use it.
    pub containers: i64,
}

/// A volume and who uses it.
#[derive(Debug)]
pub struct VolumeUsage {
    /// The volume.
    pub volume: Volume,
    /// Bytes of its files.
    pub size: u64,
    /// Containers that use it.
    pub users: usize,
}

impl Engine {
    /// Bytes of all images' layers, each counted once.
    pub fn layers_size(&self) -> u64 {
        let images = self.images.list();
        let layers = images.iter().flat_map(|image| &image.layers);
        let sizes: BTreeMap<String, u64> =
            layers.map(|layer| (layer.chain_id.to_string(), layer.size)).collect();
        sizes.values().sum()
    }

    /// Every image, with what it shares.
    pub fn image_usage(&self) -> Vec<ImageUsage> {
        let images = self.images.list();
        let mut owners: BTreeMap<String, usize> = BTreeMap::new();
        for layer in images.iter().flat_map(|image| &image.layers) {
            *owners.entry(layer.chain_id.to_string()).or_default() += 1;
        }
        let users = self.image_users();
        let usage = images.into_iter().map(|image| {
            let shared = image.layers.iter().filter(|layer| owners[&layer.chain_id.to_string()] > 1);
            let shared = shared.map(|layer| layer.size).sum();
            let containers = users.get(&image.id.to_string()).copied().unwrap_or_default();
            ImageUsage { image, shared, containers }
        });
        usage.collect()
    }

    /// Every volume, with its size. Walks the disk.
    pub fn volume_usage(&self) -> Vec<VolumeUsage> {
        let volumes = self.volumes.all().into_iter().map(|(volume, _)| VolumeUsage {
            size: self.volumes.size(&volume.name),
            users: self.volumes.users(&volume.name),
            volume,
        });
        volumes.collect()
    }
}
