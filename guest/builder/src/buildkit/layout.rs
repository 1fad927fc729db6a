//! Images in OCI layouts at the client (`--build-context name=oci-layout://…`), read through its session.

use std::sync::Arc;

use berth_images::{Blob, Digest, ImageConfig, Parts, Platform};

use super::content::ClientFolder;
use super::progress::Work;
use super::session::Session;
use crate::files::Files;
use crate::{Builder, Error, Result, depot};

/// Indexes within indexes; one is usual.
const DEPTH: usize = 3;

/// Where an image lies: `oci-layout://STORE[:TAG]@DIGEST`. The client has looked up what the tag means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Address {
    store: String,
    digest: Digest,
}

impl Address {
    /// Reads what follows `oci-layout:`.
    pub(super) fn parse(text: &str) -> Result<Self> {
        let text = text.trim_start_matches("//");
        let (name, digest) = text
            .rsplit_once('@')
            .ok_or_else(|| Error::Invalid(format!("oci-layout reference {text:?} has no digest")))?;
        let store = name.split(':').next().unwrap_or_default().to_owned();
        match digest.parse() {
            Ok(digest) if !store.is_empty() => Ok(Self { store, digest }),
            _ => Err(Error::Invalid(format!("could not parse oci-layout reference {text:?}"))),
        }
    }
}

/// Brings the image of the context `name` here: the one for the platform, where there are several.
pub(super) async fn load(
    builder: &Arc<Builder>,
    session: &Arc<Session>,
    name: &str,
    address: &Address,
    platform: &Platform,
    work: &Work,
) -> Result<(Files, Arc<ImageConfig>)> {
    let folder = ClientFolder::new(
        session.clone(),
        &format!("oci:{}", address.store),
        format!("context {name}"),
        None,
    )?;
    let (config, layers) = manifest(&folder, &address.digest, platform).await?;
    let config = ImageConfig::parse(&folder.document(&config.digest).await?)?;
    let diff_ids = &config.rootfs.diff_ids;
    if layers.len() != diff_ids.len() {
        let (layers, diff_ids) = (layers.len(), diff_ids.len());
        return Err(berth_images::Error::LayerCount { layers, diff_ids }.into());
    }
    let chain = |below: Option<Digest>, diff_id| Some(berth_images::chain_id(below.as_ref(), diff_id));
    // As of every image: what its files are is how they came to be.
    let Some(key) = diff_ids.iter().fold(None, chain) else { return Ok((Files::empty(), Arc::new(config))) };
    let lock = builder.lock_for(key.hex());
    let _alone = lock.lock().await;
    let wanted = layers.into_iter().zip(diff_ids.iter().cloned()).collect();
    let told = |blob: &Blob| work.transfer(&blob.digest.to_string(), blob.size, blob.size, true);
    let brought = depot::bring(&folder, &builder.store, wanted, &told).await?;
    let (created, text) =
        (config.created.clone().unwrap_or_default(), format!("pulled from {name}@{}", address.digest));
    let files = brought.adopted(builder, key, created, text).await?;
    Ok((files.used(&Files::empty(), &lock), Arc::new(config)))
}

/// Follows indexes to an image's configuration and layers.
async fn manifest(folder: &ClientFolder, top: &Digest, platform: &Platform) -> Result<(Blob, Vec<Blob>)> {
    let mut digest = top.clone();
    for _ in 0..=DEPTH {
        match berth_images::parts(&folder.document(&digest).await?, platform)? {
            Parts::Manifest(next) => digest = next.digest,
            Parts::Image { config, layers } => return Ok((config, layers)),
        }
    }
    Err(Error::Invalid(format!("{top}: an index within too many others")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_names_a_store_and_a_digest() {
        let digest = Digest::of(b"x");
        for text in [format!("//abc:v1@{digest}"), format!("//abc@{digest}"), format!("abc@{digest}")] {
            let expected = Address { store: "abc".to_owned(), digest: digest.clone() };
            assert_eq!(Address::parse(&text).unwrap(), expected, "{text}");
        }
        let said = |text: &str| Address::parse(text).unwrap_err().to_string();
        assert_eq!(said("//abc:v1"), "oci-layout reference \"abc:v1\" has no digest");
        assert_eq!(said("//abc@x"), "could not parse oci-layout reference \"abc@x\"");
        assert!(Address::parse(&format!("//@{digest}")).is_err());
    }
}
