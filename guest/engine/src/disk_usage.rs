//! `docker system df`: who takes how much of the disk.

use std::collections::BTreeMap;

use berth_images::Digest;

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
        self.layer_sizes().values().sum()
    }

    /// Bytes of each layer that images have.
    pub(crate) fn layer_sizes(&self) -> BTreeMap<Digest, u64> {
        let images = self.images.list();
        let layers = images.iter().flat_map(|image| &image.layers);
        layers.map(|layer| (layer.chain_id.clone(), layer.size)).collect()
    }

    /// Bytes of layers that other images have too, by each image's id.
    pub fn shared_sizes(&self) -> BTreeMap<String, u64> {
        shared_sizes(&self.images.list())
    }

    /// Every image, with what it shares.
    pub fn image_usage(&self) -> Vec<ImageUsage> {
        let images = self.images.list();
        let (shared, users) = (shared_sizes(&images), self.image_users());
        let usage = images.into_iter().map(|image| {
            let id = image.id.to_string();
            let shared = shared.get(&id).copied().unwrap_or_default();
            let containers = users.get(&id).copied().unwrap_or_default();
            ImageUsage { image, shared, containers }
        });
        usage.collect()
    }

    /// Every volume, with its size; as in Docker none with options of the driver, whose data lies elsewhere: at a server
    /// that may not answer, for one. Walks the disk.
    pub fn volume_usage(&self) -> Vec<VolumeUsage> {
        let all = self.volumes.all().into_iter().filter(|(volume, _)| volume.options.is_empty());
        let volumes = all.map(|(volume, _)| VolumeUsage {
            size: self.volumes.size(&volume.name),
            users: self.volumes.users(&volume.name),
            volume,
        });
        volumes.collect()
    }
}

fn shared_sizes(images: &[Image]) -> BTreeMap<String, u64> {
    let mut owners: BTreeMap<&Digest, usize> = BTreeMap::new();
    for layer in images.iter().flat_map(|image| &image.layers) {
        *owners.entry(&layer.chain_id).or_default() += 1;
    }
    let shared = |image: &Image| {
        let layers = image.layers.iter().filter(|layer| owners[&layer.chain_id] > 1);
        layers.map(|layer| layer.size).sum()
    };
    images.iter().map(|image| (image.id.to_string(), shared(image))).collect()
}
