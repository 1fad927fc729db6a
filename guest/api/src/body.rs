//! Request bodies as JSON, whatever the client calls them, with Docker's errors.

use axum::body::Bytes;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::error::Failure;

/// Decodes a body that must be there.
pub(crate) fn json<T: DeserializeOwned>(body: &Bytes) -> Result<T, Failure> {
    if body.is_empty() {
        return Err(Failure::bad_request("invalid JSON: got EOF while reading request body"));
    }
    serde_json::from_slice(body).map_err(invalid)
}

/// Decodes what a body has.
pub(crate) fn from_value<T: DeserializeOwned>(value: Value) -> Result<T, Failure> {
    serde_json::from_value(value).map_err(invalid)
}

fn invalid(error: serde_json::Error) -> Failure {
    Failure::bad_request(format!("invalid JSON: {error}"))
}

/// Decodes a body that may be missing.
pub(crate) fn json_or_default<T: DeserializeOwned + Default>(body: &Bytes) -> Result<T, Failure> {
    if body.is_empty() { Ok(T::default()) } else { json(body) }
}

/// The longest JSON body, in bytes.
pub(crate) const LONGEST: usize = 4 << 20;
