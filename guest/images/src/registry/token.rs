//! Bearer tokens from a token server (distribution's token and OAuth 2 specifications).

use bytes::Bytes;
use hyper::Method;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use serde::Deserialize;

use super::Credentials;
use super::session::{self, Ask, Session};
use crate::{Error, Result};

/// Who asks, as token servers see it.
const CLIENT: &str = "docker";
/// Tokens are a few kilobytes.
const LARGEST: usize = 1 << 20;

/// What a challenge asks for.
pub(super) struct Wanted {
    pub(super) realm: String,
    pub(super) service: String,
    pub(super) scope: String,
    /// Whether to ask for an identity token too.
    pub(super) offline: bool,
}

/// What the server gave.
pub(super) struct Granted {
    pub(super) token: String,
    pub(super) identity: Option<String>,
}

#[derive(Deserialize)]
struct Answer {
    token: Option<String>,
    access_token: Option<String>,
    refresh_token: Option<String>,
}

/// Gets a token, as whoever the credentials say.
pub(super) async fn fetch(
    session: &Session,
    wanted: &Wanted,
    credentials: Option<&Credentials>,
) -> Result<Granted> {
    let response = match credentials {
        Some(credentials) if !credentials.identity_token.is_empty() => {
            let form = form(&[
                ("grant_type", "refresh_token"),
                ("service", &wanted.service),
                ("client_id", CLIENT),
                ("scope", &wanted.scope),
                ("refresh_token", &credentials.identity_token),
            ]);
            let headers = [(CONTENT_TYPE, "application/x-www-form-urlencoded")];
            let ask = Ask { method: Method::POST, target: &wanted.realm, headers: &headers };
            session.send_elsewhere(&ask, session::full(Bytes::from(form)), None).await?
        }
        _ => {
            let named = credentials.filter(|credentials| !credentials.username.is_empty());
            let mut query = vec![("service", wanted.service.as_str()), ("scope", wanted.scope.as_str())];
            if let Some(credentials) = named {
                query.push(("account", &credentials.username));
            }
            if wanted.offline {
                query.extend([("offline_token", "true"), ("client_id", CLIENT)]);
            }
            query.retain(|(_, value)| !value.is_empty());
            let separator = if wanted.realm.contains('?') { '&' } else { '?' };
            let url = format!("{}{separator}{}", wanted.realm, form(&query));
            let proof = named
                .map(|credentials| HeaderValue::from_str(&session::basic(credentials)))
                .transpose()
                .map_err(|_| Error::Unauthorized { said: "unauthorized: unusable user name".to_owned() })?;
            session.send_elsewhere(&Ask::new(Method::GET, &url), session::empty(), proof).await?
        }
    };
    if !response.status().is_success() {
        return Err(session::refusal(response).await.into_plain_error());
    }
    granted(&session::read(response, LARGEST).await?, &wanted.realm)
}

/// What an answer of the server at `realm` holds.
pub(super) fn granted(body: &[u8], realm: &str) -> Result<Granted> {
    let answer: Answer =
        serde_json::from_slice(body).map_err(|source| Error::Json { subject: "token answer", source })?;
    let token = answer.token.or(answer.access_token).filter(|token| !token.is_empty());
    let token = token
        .ok_or_else(|| Error::BadAnswer { url: realm.to_owned(), problem: "there is no token in it" })?;
    Ok(Granted { token, identity: answer.refresh_token })
}

/// `key=value&key=value`, escaped.
fn form(fields: &[(&str, &str)]) -> String {
    let pairs: Vec<String> = fields.iter().map(|(key, value)| format!("{key}={}", escape(value))).collect();
    pairs.join("&")
}

/// Percent-encodes all but RFC 3986's unreserved characters.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => escaped.push(byte.into()),
            _ => escaped.push_str(&format!("%{byte:02X}")),
        }
    }
    escaped
}
