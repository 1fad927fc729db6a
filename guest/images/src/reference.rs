//! Image references: `domain/path:tag@digest` by the distribution grammar, with Docker's familiar short forms.
//!
//! `busybox` is `docker.io/library/busybox`; a first component is a registry only when it has a dot, a colon, an
//! upper-case letter or is `localhost`. The grammar is distribution/reference's; nothing here asks a registry.

use std::fmt::{self, Display, Formatter};
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{Digest, Error, Result};

/// The registry that a reference without one means.
pub const DEFAULT_DOMAIN: &str = "docker.io";
/// The tag that a reference without tag and digest means.
pub const DEFAULT_TAG: &str = "latest";
/// The grammar's limit of domain and path together.
const NAME_LONGEST: usize = 255;
/// The grammar's limit of a tag.
const TAG_LONGEST: usize = 128;

/// A named image: a repository with a tag, a digest, both or neither. Displays as the user would write it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Reference {
    domain: String,
    path: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

impl Reference {
    /// Parses a reference as a user writes it, filling in Docker's registry and `library/`, but no tag.
    ///
    /// # Errors
    /// In Docker's words, when the grammar doesn't match.
    pub fn parse(text: &str) -> Result<Self> {
        if Digest::from_hex(text).is_ok() {
            return Err(Error::HexadecimalName(text.to_owned()));
        }
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest.parse()?)),
            None => (text, None),
        };
        let (domain, rest) = split_domain(rest);
        let (path, tag) = match rest.split_once(':') {
            Some((path, tag)) => (path, Some(tag)),
            None => (rest, None),
        };
        let path = if domain == DEFAULT_DOMAIN && !path.contains('/') && !path.is_empty() {
            format!("library/{path}")
        } else {
            path.to_owned()
        };
        if path.chars().any(char::is_uppercase) {
            return Err(Error::UppercaseName(path));
        }
        let valid = is_domain(domain) && path.split('/').all(is_component) && tag.is_none_or(is_tag);
        if !valid {
            return Err(Error::InvalidReference);
        }
        if domain.len() + 1 + path.len() > NAME_LONGEST {
            return Err(Error::LongName);
        }
        Ok(Self { domain: domain.to_owned(), path, tag: tag.map(str::to_owned), digest })
    }

    /// The same with the tag `latest` when it has neither tag nor digest.
    #[must_use]
    pub fn or_latest(mut self) -> Self {
        if self.tag.is_none() && self.digest.is_none() {
            self.tag = Some(DEFAULT_TAG.to_owned());
        }
        self
    }

    /// The same repository with this tag and no digest.
    ///
    /// # Errors
    /// When it isn't a tag.
    pub fn with_tag(&self, tag: &str) -> Result<Self> {
        if !is_tag(tag) {
            return Err(Error::InvalidTag);
        }
        Ok(Self { tag: Some(tag.to_owned()), digest: None, ..self.clone() })
    }

    /// The same repository with this digest and no tag.
    #[must_use]
    pub fn with_digest(&self, digest: Digest) -> Self {
        Self { tag: None, digest: Some(digest), ..self.clone() }
    }

    /// The registry's host and port.
    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// The repository's path in the registry, `library/busybox`.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The tag, if it names one.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest, if it names one.
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// The repository in full, `docker.io/library/busybox`.
    pub fn name(&self) -> String {
        format!("{}/{}", self.domain, self.path)
    }

    /// The repository as a user writes it, `busybox`.
    pub fn familiar_name(&self) -> String {
        if self.domain != DEFAULT_DOMAIN {
            return self.name();
        }
        match self.path.strip_prefix("library/") {
            Some(rest) if !rest.contains('/') => rest.to_owned(),
            // What begins like a registry would be read as one.
            _ if split_domain(&self.path) != (DEFAULT_DOMAIN, &self.path) => self.name(),
            _ => self.path.clone(),
        }
    }

    /// The whole reference in full, `docker.io/library/busybox:latest`.
    pub fn canonical(&self) -> String {
        self.name() + &self.suffix()
    }

    /// Whether both name one repository.
    pub fn same_repository(&self, other: &Self) -> bool {
        self.domain == other.domain && self.path == other.path
    }

    fn suffix(&self) -> String {
        let tag = self.tag.as_ref().map(|tag| format!(":{tag}")).unwrap_or_default();
        let digest = self.digest.as_ref().map(|digest| format!("@{digest}")).unwrap_or_default();
        tag + &digest
    }
}

impl Display for Reference {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.familiar_name())?;
        formatter.write_str(&self.suffix())
    }
}

impl FromStr for Reference {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::parse(text)
    }
}

impl Serialize for Reference {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.canonical())
    }
}

impl<'de> Deserialize<'de> for Reference {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

/// The registry and the rest, with Docker's rule of what looks like a registry.
fn split_domain(text: &str) -> (&str, &str) {
    match text.split_once('/') {
        Some(("index.docker.io", rest)) => (DEFAULT_DOMAIN, rest),
        Some((first, rest))
            if first.contains(['.', ':'])
                || first == "localhost"
                || first.chars().any(char::is_uppercase) =>
        {
            (first, rest)
        }
        _ => (DEFAULT_DOMAIN, text),
    }
}

/// `host`, `host:port` or `[address]:port`.
fn is_domain(text: &str) -> bool {
    let is_port = |port: &str| !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
    if let Some(rest) = text.strip_prefix('[') {
        return rest.split_once(']').is_some_and(|(address, port)| {
            !address.is_empty()
                && address.bytes().all(|b| b.is_ascii_hexdigit() || b == b':')
                && (port.is_empty() || port.strip_prefix(':').is_some_and(is_port))
        });
    }
    let (host, port) = text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port)));
    let is_label = |label: &str| {
        let inner = label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        !label.is_empty() && inner && !label.starts_with('-') && !label.ends_with('-')
    };
    host.split('.').all(is_label) && port.is_none_or(is_port)
}

/// Lower-case letters and digits, parted by one dot, one or two underscores, or any dashes.
fn is_component(text: &str) -> bool {
    let is_word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let ends_well = text.starts_with(is_word) && text.ends_with(is_word);
    ends_well
        && text.split(is_word).all(|separator| {
            matches!(separator, "" | "." | "_" | "__") || separator.bytes().all(|b| b == b'-')
        })
}

fn is_tag(text: &str) -> bool {
    let is_word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    let inner = text.bytes().all(|b| is_word(b) || b == b'.' || b == b'-');
    text.bytes().next().is_some_and(is_word) && inner && text.len() <= TAG_LONGEST
}

#[cfg(test)]
mod tests;
