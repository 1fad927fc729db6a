//! Everything that reads what a registry or a token server says, in one place for fuzzing.

use crate::manifest::Document;
use crate::registry::refusal::Refusal;
use crate::registry::{challenge, tags, token};
use crate::{ImageConfig, Platform, digest};

/// Decodes `bytes` as each kind of a registry's answer: a manifest, an image's configuration, a header, a token, a
/// refusal. What doesn't fit is an error of the pull, never more; nothing is kept.
pub fn decode(bytes: &[u8]) {
    for media_type in [crate::manifest::OCI_MANIFEST, crate::manifest::OCI_INDEX, ""] {
        if let Ok(Document::Index(index)) = Document::parse(bytes, media_type) {
            drop(index.platforms());
            index.choose(&Platform::local());
        }
    }
    if let Ok(config) = ImageConfig::parse(bytes) {
        drop(config.platform());
        drop(digest::chain_ids(&config.rootfs.diff_ids));
    }
    drop(token::granted(bytes, "https://auth.example/token"));
    for status in [401, 404, 502] {
        drop(Refusal::read(status, bytes).into_plain_error());
    }
    let header = String::from_utf8_lossy(bytes);
    drop(challenge::parse(&header));
    tags::next_page(&header);
}
