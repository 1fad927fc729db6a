//! Platforms: `os/architecture/variant`, normalised as containerd does, and which of several fits best.

use std::fmt::{self, Display, Formatter};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// What an image runs on.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Platform {
    /// `linux`.
    pub os: String,
    /// `amd64`, `arm64`, `arm`, …
    pub architecture: String,
    /// `v7`, `v8`; empty when the architecture has none or any will do.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub variant: String,
}

impl Platform {
    /// The platform of this machine.
    pub fn local() -> Self {
        Self::normalised("linux", std::env::consts::ARCH, "")
    }

    /// A platform under its usual names (`x86_64` is `amd64`, `aarch64` is `arm64`, `arm` is `arm/v7`).
    pub fn normalised(os: &str, architecture: &str, variant: &str) -> Self {
        let (architecture, variant) =
            match (architecture.to_lowercase().as_str(), variant.to_lowercase().as_str()) {
                ("x86_64" | "x86-64" | "amd64", "v1" | "") => ("amd64".to_owned(), String::new()),
                ("x86_64" | "x86-64", variant) => ("amd64".to_owned(), variant.to_owned()),
                ("aarch64" | "arm64", "8" | "v8" | "") => ("arm64".to_owned(), String::new()),
                ("aarch64", variant) => ("arm64".to_owned(), variant.to_owned()),
                ("armhf", _) => ("arm".to_owned(), "v7".to_owned()),
                ("armel", _) => ("arm".to_owned(), "v6".to_owned()),
                ("arm", "" | "7") => ("arm".to_owned(), "v7".to_owned()),
                ("arm", variant @ ("5" | "6" | "8")) => ("arm".to_owned(), format!("v{variant}")),
                ("i386" | "i486" | "i586" | "i686" | "x86", _) => ("386".to_owned(), String::new()),
                (architecture, variant) => (architecture.to_owned(), variant.to_owned()),
            };
        Self { os: os.to_lowercase(), architecture, variant }
    }

    /// How well an image of platform `offered` serves here: none is not at all, lower is better.
    pub fn distance(&self, offered: &Self) -> Option<u32> {
        let offered = Self::normalised(&offered.os, &offered.architecture, &offered.variant);
        if self.os != offered.os {
            return None;
        }
        if self.architecture == offered.architecture {
            return match (level(&self.variant), level(&offered.variant)) {
                (ours, theirs) if ours == theirs => Some(0),
                // An older variant runs on a newer machine.
                (Some(ours), Some(theirs)) if theirs < ours => Some(ours - theirs),
                (Some(ours), None) if self.architecture != "arm" => Some(ours),
                _ => None,
            };
        }
        None
    }
}

/// Whether an architecture may be named alone: one that Go has, under any of its names.
fn is_known(architecture: &str) -> bool {
    let platform = Platform::normalised("", architecture, "");
    matches!(
        platform.architecture.as_str(),
        "386"
            | "amd64"
            | "arm"
            | "arm64"
            | "loong64"
            | "mips"
            | "mips64"
            | "mips64le"
            | "mipsle"
            | "ppc64"
            | "ppc64le"
            | "riscv64"
            | "s390x"
            | "wasm"
    )
}

/// The number in `v7`.
fn level(variant: &str) -> Option<u32> {
    variant.strip_prefix('v').unwrap_or(variant).parse().ok()
}

impl Display for Platform {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.os, self.architecture)?;
        if self.variant.is_empty() { Ok(()) } else { write!(formatter, "/{}", self.variant) }
    }
}

impl FromStr for Platform {
    type Err = Error;

    /// `linux/arm64/v8`, `linux/amd64`, or an architecture or an OS alone.
    fn from_str(text: &str) -> Result<Self> {
        let parts: Vec<&str> = text.split('/').collect();
        let is_word = |part: &&str| {
            !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b))
        };
        if !parts.iter().all(is_word) {
            return Err(Error::InvalidPlatform(text.to_owned()));
        }
        match parts.as_slice() {
            ["linux" | "windows" | "darwin" | "freebsd"] => {
                Ok(Self::normalised(parts[0], std::env::consts::ARCH, ""))
            }
            [architecture] if is_known(architecture) => Ok(Self::normalised("linux", architecture, "")),
            [_] => Err(Error::UnknownPlatform(text.to_owned())),
            [os, architecture] => Ok(Self::normalised(os, architecture, "")),
            [os, architecture, variant] => Ok(Self::normalised(os, architecture, variant)),
            _ => Err(Error::InvalidPlatform(text.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn platform(text: &str) -> Platform {
        text.parse().unwrap()
    }

    #[test]
    fn names_are_normalised() {
        assert_eq!(platform("linux/x86_64"), platform("amd64"));
        assert_eq!(platform("linux/arm64/v8").to_string(), "linux/arm64");
        assert_eq!(platform("linux/arm").to_string(), "linux/arm/v7");
    }

    #[test]
    fn an_older_variant_serves_and_a_newer_does_not() {
        assert_eq!(platform("linux/arm/v7").distance(&platform("linux/arm/v6")), Some(1));
        assert_eq!(platform("linux/arm/v6").distance(&platform("linux/arm/v7")), None);
        assert_eq!(platform("linux/amd64").distance(&platform("linux/arm64")), None);
        assert_eq!(platform("linux/amd64").distance(&platform("windows/amd64")), None);
    }

    #[test]
    fn nonsense_is_refused() {
        assert!("linux/amd64/v2/x".parse::<Platform>().is_err());
        assert!("".parse::<Platform>().is_err());
        assert!("linux//".parse::<Platform>().is_err());
        let error = "nonsense".parse::<Platform>().unwrap_err().to_string();
        assert_eq!(error, "\"nonsense\": unknown operating system or architecture: invalid argument");
    }
}
