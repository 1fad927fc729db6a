//! A file system at one point of a build: layers in the image store, and the key of how it came to be.

use std::sync::Arc;

use berth_images::{Digest, Image, Kept, Layer, Store};

use crate::Lock;

/// Layers that stay in the store as long as this lives.
#[derive(Debug, Clone)]
pub(crate) struct Files {
    /// Lowest first.
    pub(crate) layers: Vec<Layer>,
    /// Everything that went into it, as a digest.
    pub(crate) key: Digest,
    kept: Vec<Arc<Kept>>,
    /// The steps' locks, which show that their records are in use.
    used: Vec<Lock>,
}

impl Files {
    /// `FROM scratch`.
    pub(crate) fn empty() -> Self {
        Self { layers: Vec::new(), key: Digest::of(b"scratch"), kept: Vec::new(), used: Vec::new() }
    }

    /// An image's files: what they are is how they came to be.
    pub(crate) fn of_image(image: &Image, store: &Store) -> Self {
        let chain: Vec<Digest> = image.layers.iter().map(|layer| layer.chain_id.clone()).collect();
        let kept = vec![Arc::new(store.keep_layers(&chain))];
        let key = chain.last().cloned().unwrap_or_else(|| Digest::of(b"scratch"));
        Self { layers: image.layers.clone(), key, kept, used: Vec::new() }
    }

    /// Layers that are kept already.
    pub(crate) fn of_layers(layers: Vec<Layer>, kept: Vec<Kept>, key: Digest) -> Self {
        Self { layers, key, kept: kept.into_iter().map(Arc::new).collect(), used: Vec::new() }
    }

    /// The lowest layers alone, as the step with this key left them.
    pub(crate) fn lower(&self, layers: usize, key: Digest) -> Self {
        let layers = self.layers.iter().take(layers).cloned().collect();
        Self { layers, key, ..self.clone() }
    }

    /// What an image's lowest layers were at a step of its build.
    pub(crate) fn of_step(image: &Image, store: &Store, layers: usize, key: Digest) -> Option<Self> {
        let layers = image.layers.get(..layers)?.to_vec();
        let chain: Vec<Digest> = layers.iter().map(|layer| layer.chain_id.clone()).collect();
        Some(Self { layers, key, kept: vec![Arc::new(store.keep_layers(&chain))], used: Vec::new() })
    }

    /// The same with one more layer, or none when the step changed nothing.
    pub(crate) fn with(&self, key: Digest, added: Option<(Layer, Kept)>) -> Self {
        let mut next = Self { key, ..self.clone() };
        if let Some((layer, kept)) = added {
            next.layers.push(layer);
            next.kept.push(Arc::new(kept));
        }
        next
    }

    /// How many of these layers, from the lowest, are its own, too.
    pub(crate) fn shared(&self, layers: &[Layer]) -> usize {
        self.layers.iter().zip(layers).take_while(|(own, other)| own == other).count()
    }

    /// What a step made of it: layers, of which its own stay kept and the others are `kept`.
    pub(crate) fn replaced_by(&self, layers: Vec<Layer>, kept: Kept, key: Digest) -> Self {
        let kept = self.kept.iter().cloned().chain([Arc::new(kept)]).collect();
        Self { layers, key, kept, used: Vec::new() }
    }

    /// The same files in other layers.
    pub(crate) fn replaced(&self, layers: Vec<Layer>, kept: Vec<Kept>) -> Self {
        let kept = kept.into_iter().map(Arc::new).collect();
        Self { layers, kept, key: self.key.clone(), used: self.used.clone() }
    }

    /// The same files, made on `below` by the step with this lock, whose record is in use as long as they are.
    pub(crate) fn used(mut self, below: &Self, lock: &Lock) -> Self {
        self.used = below.used.iter().chain([lock]).cloned().collect();
        self
    }

    /// Chain ids, lowest first.
    pub(crate) fn chain(&self) -> Vec<Digest> {
        self.layers.iter().map(|layer| layer.chain_id.clone()).collect()
    }
}
