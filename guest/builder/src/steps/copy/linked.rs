//! `--link`: a layer that is the same on whatever it lies, so that a changed base doesn't have it made again.

use berth_images::Digest;
use jiff::Timestamp;

use super::Plan;
use crate::files::Files;
use crate::{Builder, Result};

/// Whether the layer depends on nothing below: linked, and without an owner whose name stands in a file there.
pub(super) fn is_independent(plan: &Plan) -> bool {
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    plan.link && plan.chown.as_ref().is_none_or(|owner| owner.split(':').all(is_number))
}

/// The layer that the same linked copy made on other files, on these; none when it isn't here any more. Blocks.
pub(super) fn again(
    builder: &Builder,
    below: &Files,
    key: Digest,
    linked: Digest,
    text: &str,
) -> Result<Option<(Files, Timestamp)>> {
    let Some((layer, _kept)) = builder.cache.find_linked(&linked) else { return Ok(None) };
    let Some((_, blob)) = builder.store.known_layer(&layer.chain_id) else { return Ok(None) };
    let added = builder.store.unpack_layer(below.chain().last(), &layer.diff_id, &blob.digest)?;
    let files = below.with(key, Some(added));
    let created = builder.cache.put_linked(&files, below, layer.size, text, Some(linked))?;
    Ok(Some((files, created)))
}
