//! What a manifest or an index leads to, for those who fetch content by ways of their own.

use crate::manifest::Document;
use crate::{Blob, Error, Platform, Result};

/// What is to be fetched next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Parts {
    /// The manifest or index for the wanted platform, among several.
    Manifest(Blob),
    /// An image's own content.
    Image {
        /// Its configuration.
        config: Blob,
        /// Its layers, lowest first.
        layers: Vec<Blob>,
    },
}

/// Reads a manifest or an index of images.
///
/// # Errors
/// When it is neither, or has nothing for the platform.
pub fn parts(json: &[u8], platform: &Platform) -> Result<Parts> {
    match Document::parse(json, "a manifest without a media type")? {
        Document::Index(index) => {
            let chosen = index.choose(platform);
            let chosen = chosen.ok_or_else(|| Error::NoPlatform { platform: platform.to_string() })?;
            Ok(Parts::Manifest(chosen.clone().into()))
        }
        Document::Manifest(manifest) => {
            let layers = manifest.layers.into_iter().map(Into::into).collect();
            Ok(Parts::Image { config: manifest.config.into(), layers })
        }
    }
}
