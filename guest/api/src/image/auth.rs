//! `X-Registry-Auth`: who the client is to a registry, as base64 of JSON. `POST /auth` asks the registry.

use std::collections::BTreeMap;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderMap;
use base64::Engine;
use base64::alphabet::URL_SAFE;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use berth_engine::images::Credentials;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::body;
use crate::error::Failure;
use crate::routes::Shared;

/// With or without padding: clients do either.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

#[derive(Deserialize, Default)]
#[serde(default)]
struct AuthConfig {
    username: String,
    password: String,
    auth: String,
    identitytoken: String,
    registrytoken: String,
    serveraddress: String,
}

/// `POST /auth`: whether a registry takes these credentials.
pub(super) async fn login(State(engine): State<Shared>, body: Bytes) -> Result<Json<Value>, Failure> {
    let config: AuthConfig = body::json(&body)?;
    let registry = config.serveraddress.clone();
    let invalid = || Failure::bad_request("invalid credentials: auth must be base64 of user:password");
    let credentials = config.credentials().ok_or_else(invalid)?.unwrap_or_default();
    let identity = engine.login(&registry, &credentials).await?;
    Ok(Json(json!({ "Status": "Login Succeeded", "IdentityToken": identity.unwrap_or_default() })))
}

/// The client's credentials; none when it sent none. The text of an error never repeats them.
pub(super) fn credentials(headers: &HeaderMap) -> Result<Option<Credentials>, Failure> {
    let Some(value) = headers.get("x-registry-auth").filter(|value| !value.is_empty()) else {
        return Ok(None);
    };
    let invalid =
        || Failure::bad_request("invalid X-Registry-Auth header: expected base64url of a JSON object");
    let json = BASE64.decode(value.as_bytes()).map_err(|_| invalid())?;
    let config: AuthConfig = serde_json::from_slice(&json).map_err(|_| invalid())?;
    config.credentials().ok_or_else(invalid)
}

/// The client's credentials for every registry that it knows (`X-Registry-Config`), by registry.
pub(crate) fn all_credentials(headers: &HeaderMap) -> Result<BTreeMap<String, Credentials>, Failure> {
    let Some(value) = headers.get("x-registry-config").filter(|value| !value.is_empty()) else {
        return Ok(BTreeMap::new());
    };
    let invalid =
        || Failure::bad_request("invalid X-Registry-Config header: expected base64url of a JSON object");
    let json = BASE64.decode(value.as_bytes()).map_err(|_| invalid())?;
    let configs: Option<BTreeMap<String, AuthConfig>> =
        serde_json::from_slice(&json).map_err(|_| invalid())?;
    let mut all = BTreeMap::new();
    for (registry, config) in configs.unwrap_or_default() {
        if let Some(credentials) = config.credentials().ok_or_else(invalid)? {
            all.insert(registry, credentials);
        }
    }
    Ok(all)
}

impl AuthConfig {
    /// Who this is; `Some(None)` is nobody, `None` can't be read.
    fn credentials(self) -> Option<Option<Credentials>> {
        let (mut username, mut password) = (self.username, self.password);
        if username.is_empty() && !self.auth.is_empty() {
            let pair = base64::engine::general_purpose::STANDARD.decode(&self.auth).ok()?;
            let pair = String::from_utf8(pair).ok()?;
            let (name, secret) = pair.split_once(':')?;
            (username, password) = (name.to_owned(), secret.to_owned());
        }
        let credentials = Credentials {
            username,
            password,
            identity_token: self.identitytoken,
            registry_token: self.registrytoken,
        };
        let empty = [&credentials.username, &credentials.identity_token, &credentials.registry_token]
            .iter()
            .all(|text| text.is_empty());
        Some((!empty).then_some(credentials))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(json: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert("x-registry-auth", BASE64.encode(json).parse().unwrap());
        headers
    }

    #[test]
    fn an_empty_object_is_nobody() {
        assert!(credentials(&header("{}")).unwrap().is_none());
    }

    #[test]
    fn a_user_is_found_and_never_shown() {
        let found = credentials(&header(r#"{"username":"ann","password":"secret"}"#)).unwrap().unwrap();
        assert_eq!(found.username, "ann");
        assert!(!format!("{found:?}").contains("secret"));
    }
}
