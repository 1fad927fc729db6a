//! A registry's errors, `{"errors":[{"code","message"}]}`, in its own words (OCI distribution specification, "Error
//! codes") as Docker passes them on.

use hyper::StatusCode;
use serde::Deserialize;

use crate::{Error, Kind, Reference};

/// What a registry said instead of doing as asked.
#[derive(Debug)]
pub(super) struct Refusal {
    status: u16,
    code: String,
    said: String,
}

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    errors: Vec<Item>,
    /// Token servers and proxies speak so.
    details: Option<String>,
}

#[derive(Deserialize)]
struct Item {
    #[serde(default)]
    code: String,
    #[serde(default)]
    message: String,
}

impl Refusal {
    pub(super) fn read(status: u16, body: &[u8]) -> Self {
        let answer = serde_json::from_slice::<Answer>(body).ok();
        let first = answer.as_ref().and_then(|answer| answer.errors.first());
        let code = match (first, status) {
            (Some(item), _) if !item.code.is_empty() => item.code.clone(),
            (_, 401) => "UNAUTHORIZED".to_owned(),
            (_, 403) => "DENIED".to_owned(),
            (_, 429) => "TOOMANYREQUESTS".to_owned(),
            _ => String::new(),
        };
        let word = code.to_lowercase().replace('_', " ");
        let said = match (first, answer.as_ref().and_then(|answer| answer.details.as_ref())) {
            (Some(item), _) if !item.message.is_empty() => format!("{word}: {}", item.message),
            (_, Some(details)) => format!("{word}: {details}"),
            _ if word.is_empty() => {
                let reason = StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason());
                format!("received unexpected HTTP status: {status} {}", reason.unwrap_or_default())
            }
            _ => format!("{word}: {}", plain_words(&code)),
        };
        Self { status, code, said }
    }

    /// Whether it may be that the registry doesn't know a manifest's media type.
    pub(super) fn is_of_media_type(&self) -> bool {
        self.status == 415 || matches!(self.code.as_str(), "MANIFEST_INVALID" | "UNSUPPORTED")
    }

    /// As an error of an operation on this image.
    pub(super) fn into_error(self, reference: &Reference) -> Error {
        let (repository, said) = (reference.familiar_name(), self.said.clone());
        match (self.code.as_str(), self.status) {
            ("MANIFEST_UNKNOWN", _) | ("", 404) => {
                Error::ManifestNotFound { reference: reference.to_string(), said }
            }
            ("DENIED", _) => Error::PullDenied { repository, said },
            ("NAME_UNKNOWN", _) => Error::RepositoryNotFound { repository, said },
            _ => self.into_plain_error(),
        }
    }

    /// As an error where pulling isn't the matter.
    pub(super) fn into_plain_error(self) -> Error {
        match self.code.as_str() {
            "UNAUTHORIZED" => Error::Unauthorized { said: self.said },
            "DENIED" => Error::Denied { said: self.said },
            code => match kind_of(code) {
                Some(kind) => Error::Refused { kind, said: self.said },
                None => Error::Registry { status: self.status, said: self.said },
            },
        }
    }
}

/// What a code is about, whatever status it came with; none for those that tell nothing more of it.
fn kind_of(code: &str) -> Option<Kind> {
    match code {
        "TOOMANYREQUESTS" => Some(Kind::TooManyRequests),
        "MANIFEST_BLOB_UNKNOWN" | "MANIFEST_UNVERIFIED" => Some(Kind::InvalidParameter),
        code if code.ends_with("_UNKNOWN") => Some(Kind::NotFound),
        code if code.ends_with("_INVALID") => Some(Kind::InvalidParameter),
        _ => None,
    }
}

/// What Docker says for a code that came without a message.
fn plain_words(code: &str) -> &'static str {
    match code {
        "UNAUTHORIZED" => "authentication required",
        "DENIED" => "requested access to the resource is denied",
        "TOOMANYREQUESTS" => "too many requests",
        _ => "unknown error",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(status: u16, body: &str) -> String {
        Refusal::read(status, body.as_bytes()).into_error(&"a:1".parse().unwrap()).to_string()
    }

    #[test]
    fn the_registrys_words_stand_behind_dockers() {
        let body =
            r#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown","detail":{"Tag":"1"}}]}"#;
        assert_eq!(error(404, body), "manifest for a:1 not found: manifest unknown: manifest unknown");
        let body = r#"{"errors":[{"code":"DENIED","message":"requested access to the resource is denied"}]}"#;
        assert_eq!(
            error(401, body),
            "pull access denied for a, repository does not exist or may require 'docker login': \
             denied: requested access to the resource is denied"
        );
        let body =
            r#"{"errors":[{"code":"TOOMANYREQUESTS","message":"You have reached your pull rate limit."}]}"#;
        assert_eq!(error(429, body), "toomanyrequests: You have reached your pull rate limit.");
        assert_eq!(error(401, ""), "unauthorized: authentication required");
        assert_eq!(error(502, "<html>"), "received unexpected HTTP status: 502 Bad Gateway");
    }

    #[test]
    fn a_code_tells_what_it_is_about_whatever_its_status() {
        for (code, expected) in [
            ("NAME_INVALID", Kind::InvalidParameter),
            ("BLOB_UNKNOWN", Kind::NotFound),
            ("TOOMANYREQUESTS", Kind::TooManyRequests),
            ("UNAUTHORIZED", Kind::Unauthorized),
            ("UNAVAILABLE", Kind::Unavailable),
            ("UNKNOWN", Kind::Unavailable),
        ] {
            let body = format!(r#"{{"errors":[{{"code":"{code}","message":"words"}}]}}"#);
            let refusal = || Refusal::read(418, body.as_bytes());
            assert_eq!(refusal().into_error(&"a:1".parse().unwrap()).kind(), expected, "{code}");
            assert_eq!(refusal().into_plain_error().kind(), expected, "{code}");
        }
    }
}
