//! Paths of the user's machine, as a bind mount names them, and where they are here.
//!
//! Natively that is the identity. In a VM the host shares some folders; a bind mount follows the host's rules
//! (`C:\Users\x:/src`), and a path outside the shared folders is refused.

use std::path::{Path, PathBuf};

/// Whose path rules a bind mount follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HostOs {
    /// Absolute paths start with `/`.
    Linux,
    /// As Linux.
    Macos,
    /// `C:\path` or `C:/path`; upper and lower case are one.
    Windows,
}

/// One host folder and its place here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Share {
    /// The folder as the host names it.
    pub host: String,
    /// Where it is mounted here.
    pub mounted_at: PathBuf,
}

/// How paths of the user's machine look from here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostPaths {
    /// The engine runs on the user's machine itself.
    Native,
    /// The engine runs in a VM.
    Shared {
        /// The host's rules.
        os: HostOs,
        /// What it shares.
        shares: Vec<Share>,
    },
}

/// The host path isn't beneath any shared folder.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "Mounts denied: the path {0} is not shared from the host and is not known to Berth: add it, or a folder above it, to \"shares\" in Berth's settings.json"
)]
pub struct NotShared(pub String);

impl HostPaths {
    /// Whether `path` is absolute by the host's rules.
    pub fn is_absolute(&self, path: &str) -> bool {
        match self {
            Self::Shared { os: HostOs::Windows, .. } => drive(path).is_some(),
            _ => path.starts_with('/'),
        }
    }

    /// Where the host's `path` is here.
    ///
    /// # Errors
    /// When the path isn't shared.
    pub fn resolve(&self, path: &str) -> Result<PathBuf, NotShared> {
        match self {
            Self::Native => Ok(PathBuf::from(path)),
            Self::Shared { os, shares } => shares
                .iter()
                .find_map(|share| beneath(*os, &share.host, path).map(|rest| share.mounted_at.join(rest)))
                .ok_or_else(|| NotShared(path.to_owned())),
        }
    }
}

/// The drive letter of a Windows path, when it is absolute.
fn drive(path: &str) -> Option<char> {
    let mut chars = path.chars();
    let letter = chars.next().filter(char::is_ascii_alphabetic)?;
    (chars.next() == Some(':') && matches!(chars.next(), Some('/' | '\\'))).then_some(letter)
}

/// The rest of `path` beneath `folder`, as a relative path here; none when it is elsewhere or climbs out.
fn beneath(os: HostOs, folder: &str, path: &str) -> Option<PathBuf> {
    let split = |text: &str| -> Vec<String> {
        let parts = text.split(move |c| c == '/' || (os == HostOs::Windows && c == '\\'));
        parts.filter(|part| !part.is_empty() && *part != ".").map(str::to_owned).collect()
    };
    let same = |a: &str, b: &str| if os == HostOs::Windows { a.eq_ignore_ascii_case(b) } else { a == b };
    let (folder, path) = (split(folder), split(path));
    let inside = path.len() >= folder.len() && folder.iter().zip(&path).all(|(a, b)| same(a, b));
    let rest = path.get(folder.len()..)?;
    let climbs = rest.iter().any(|part| Path::new(part) == Path::new(".."));
    (inside && !climbs).then(|| rest.iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn windows() -> HostPaths {
        let share = Share { host: r"C:\Users\ann".to_owned(), mounted_at: "/shares/0".into() };
        HostPaths::Shared { os: HostOs::Windows, shares: vec![share] }
    }

    #[test]
    fn a_windows_path_is_found_whatever_its_case_and_slashes() {
        assert_eq!(windows().resolve(r"c:\users\Ann\src\App").unwrap(), Path::new("/shares/0/src/App"));
        assert_eq!(windows().resolve("C:/Users/ann").unwrap(), Path::new("/shares/0"));
    }

    #[test]
    fn a_path_that_climbs_out_is_not_shared() {
        assert!(windows().resolve(r"C:\Users\ann\..\bob").is_err());
    }

    #[test]
    fn an_unshared_path_is_refused_by_name() {
        let error = windows().resolve(r"D:\data").unwrap_err();
        assert!(error.to_string().contains(r"D:\data"), "{error}");
    }

    #[test]
    fn absolute_follows_the_hosts_rules() {
        assert!(windows().is_absolute(r"C:\x"));
        assert!(!windows().is_absolute("/x"));
        assert!(HostPaths::Native.is_absolute("/x"));
    }
}
