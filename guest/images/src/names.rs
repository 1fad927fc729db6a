//! Finding images by what users type, listing, tagging.

use crate::store::State;
use crate::{Digest, Error, Image, Reference, Result, Store};

impl Store {
    /// The image called so: a name (`latest` when it has no tag), `name@digest`, an id, or an id's first digits.
    ///
    /// # Errors
    /// In Docker's words when there is none, or several ids start so.
    pub fn image(&self, name_or_id: &str) -> Result<Image> {
        let state = self.state();
        let id = find(&state, name_or_id)?;
        let stored = state.images.get(&id).ok_or_else(|| Error::NoSuchImage(name_or_id.to_owned()))?;
        Ok(Self::view(&state, stored))
    }

    /// Every image, by id.
    pub fn list(&self) -> Vec<Image> {
        let state = self.state();
        state.images.values().map(|stored| Self::view(&state, stored)).collect()
    }

    /// Gives the image `source` the name `target` (`latest` when it has no tag).
    ///
    /// # Errors
    /// When there is no such image or the target has a digest.
    pub fn tag(&self, source: &str, target: &Reference) -> Result<Image> {
        if target.digest().is_some() {
            return Err(Error::TagWithDigest);
        }
        let mut state = self.state();
        let id = find(&state, source)?;
        self.set_name(&mut state, target.clone().or_latest(), &id)?;
        let stored = state.images.get(&id).ok_or_else(|| Error::NoSuchImage(source.to_owned()))?;
        Ok(Self::view(&state, stored))
    }

    /// The bytes that only this image's layers hold, shared by no other image; in the order of `list`.
    pub fn unique_sizes(&self) -> Vec<(Digest, u64)> {
        let state = self.state();
        let mut uses = std::collections::HashMap::<&Digest, usize>::new();
        for layer in state.images.values().flat_map(|stored| &stored.layers) {
            *uses.entry(&layer.chain_id).or_default() += 1;
        }
        let unique = |stored: &crate::store::Stored| {
            stored.layers.iter().filter(|layer| uses[&layer.chain_id] == 1).map(|layer| layer.size).sum()
        };
        state.images.iter().map(|(id, stored)| (id.clone(), unique(stored))).collect()
    }

    /// The size of all layers, each counted once, as `docker system df` shows it.
    pub fn layers_size(&self) -> u64 {
        let state = self.state();
        let layers = state.images.values().flat_map(|stored| &stored.layers);
        let sizes: std::collections::HashMap<_, _> =
            layers.map(|layer| (&layer.chain_id, layer.size)).collect();
        sizes.values().sum()
    }
}

/// Whether the text is an id of this image or the first digits of it, so that it can't be one of its names.
pub(crate) fn is_id_prefix(id: &Digest, text: &str) -> bool {
    let hex = text.strip_prefix("sha256:").unwrap_or(text);
    !hex.is_empty() && id.hex().starts_with(hex)
}

/// Names come first, then ids: an image called `cafe` is found although another's id starts so.
pub(crate) fn find(state: &State, text: &str) -> Result<Digest> {
    let hex = text.strip_prefix("sha256:").unwrap_or(text);
    if let Ok(id) = Digest::from_hex(hex) {
        return match state.images.contains_key(&id) {
            true => Ok(id),
            false => Err(Error::NoSuchImage(text.to_owned())),
        };
    }
    let reference = if hex.len() == text.len() { Some(Reference::parse(text)) } else { None };
    if let Some(Ok(reference)) = &reference
        && let Some(id) = find_name(state, reference)
    {
        return Ok(id);
    }
    let is_hex = !hex.is_empty() && hex.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    let mut matches = state.images.keys().filter(|id| is_hex && id.hex().starts_with(hex));
    match (matches.next(), matches.next(), reference) {
        (Some(id), None, _) => Ok(id.clone()),
        (Some(_), Some(_), _) => Err(Error::AmbiguousId(text.to_owned())),
        (None, _, Some(Ok(reference))) => Err(Error::NoSuchImage(reference.or_latest().to_string())),
        (None, _, Some(Err(error))) => Err(error),
        (None, _, None) => Err(Error::NoSuchImage(text.to_owned())),
    }
}

fn find_name(state: &State, reference: &Reference) -> Option<Digest> {
    let wanted = match reference.digest() {
        // With both, the digest says which image it is.
        Some(digest) => reference.with_digest(digest.clone()),
        None => reference.clone().or_latest(),
    };
    state.names.get(&wanted).cloned()
}
