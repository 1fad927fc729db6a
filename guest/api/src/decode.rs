//! The decoders of request bodies and queries in one call, for whoever feeds them hostile bytes.

use axum::body::Bytes;

use crate::wire::{container, exec, network, query, volume};
use crate::{body, older};

/// Decodes `bytes` as each body and query value that a client may send. What doesn't fit is an error answered to the
/// client, never more; nothing is kept.
pub fn decode(bytes: &[u8]) {
    let request = Bytes::copy_from_slice(bytes);
    if let Ok(request) = body::json::<container::CreateRequest>(&request) {
        request.warnings();
    }
    if let (Ok(mut body), Ok(oldest)) = (body::json(&request), "1.24".parse()) {
        drop(older::creation(oldest, &mut body));
    }
    drop(body::json::<exec::CreateRequest>(&request));
    drop(body::json::<exec::StartRequest>(&request));
    drop(body::json::<network::CreateRequest>(&request));
    drop(body::json::<network::ConnectRequest>(&request));
    drop(body::json::<network::DisconnectRequest>(&request));
    drop(body::json::<volume::CreateRequest>(&request));
    let text = String::from_utf8_lossy(bytes);
    drop(query::filters(Some(&text)));
    drop(query::moment(Some(&text)));
    drop(query::age("until", &text));
    query::all(&text, "names");
}
