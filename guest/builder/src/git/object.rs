//! Objects' names, and what commits and trees say.

use std::fmt;

use sha1::{Digest as _, Sha1};

use super::wrong;
use crate::Result;

/// An object's name: the SHA-1 of its kind, length and content.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Id([u8; 20]);

impl Id {
    /// The name of an object with this content.
    pub(super) fn of(kind: &str, content: &[u8]) -> Self {
        let mut hash = Self::hash(kind, content.len() as u64);
        hash.update(content);
        Self(hash.finalize().into())
    }

    /// The beginning of a name's computation, for content that comes in parts.
    pub(super) fn hash(kind: &str, length: u64) -> Sha1 {
        let mut hash = Sha1::new();
        hash.update(format!("{kind} {length}\0"));
        hash
    }

    pub(super) fn from_hash(hash: Sha1) -> Self {
        Self(hash.finalize().into())
    }

    pub(super) fn bytes(&self) -> &[u8; 20] {
        &self.0
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// Forty hexadecimal digits.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        let mut bytes = [0; 20];
        if text.len() != 40 {
            return None;
        }
        for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
            *byte = digit(pair[0])? << 4 | digit(pair[1])?;
        }
        Some(Self(bytes))
    }
}

impl fmt::Display for Id {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(formatter, "{byte:02x}"))
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// What a commit says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Commit {
    pub(super) tree: Id,
    /// When it was made, in seconds since 1970.
    pub(super) time: i64,
}

impl Commit {
    pub(super) fn parse(content: &[u8]) -> Result<Self> {
        let text = String::from_utf8_lossy(content);
        let head = text.split("\n\n").next().unwrap_or_default();
        let field = |name: &str| head.lines().find_map(|line| line.strip_prefix(name));
        let tree = field("tree ").and_then(Id::parse).ok_or_else(|| wrong("a commit names no tree"))?;
        let time = field("committer ").and_then(|line| line.rsplit(' ').nth(1)?.parse().ok());
        Ok(Self { tree, time: time.unwrap_or(0) })
    }
}

/// The object that an annotated tag is about.
pub(super) fn tagged(content: &[u8]) -> Result<Id> {
    let text = String::from_utf8_lossy(content);
    let object = text.lines().find_map(|line| line.strip_prefix("object "));
    object.and_then(Id::parse).ok_or_else(|| wrong("a tag names no object"))
}

/// What an entry of a tree is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Folder,
    File { executable: bool },
    Link,
    Module,
}

impl Kind {
    /// As git's index has it, where folders have no place.
    pub(super) fn mode(self) -> Option<u32> {
        match self {
            Self::Folder => None,
            Self::File { executable: false } => Some(0o100_644),
            Self::File { executable: true } => Some(0o100_755),
            Self::Link => Some(0o120_000),
            Self::Module => Some(0o160_000),
        }
    }
}

/// One entry of a tree.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Entry<'a> {
    pub(super) kind: Kind,
    pub(super) name: &'a str,
    pub(super) id: Id,
}

/// The entries of a tree, whose names are names of files and nothing else.
pub(super) fn entries(mut content: &[u8]) -> Result<Vec<Entry<'_>>> {
    let malformed = || wrong("a tree makes no sense");
    let mut entries = Vec::new();
    while !content.is_empty() {
        let end = content.iter().position(|byte| *byte == 0).ok_or_else(malformed)?;
        let (head, rest) = (&content[..end], &content[end + 1..]);
        let id = rest.get(..20).and_then(Id::from_bytes).ok_or_else(malformed)?;
        content = &rest[20..];
        let head = str::from_utf8(head).map_err(|_| wrong("a file's name isn't UTF-8"))?;
        let (mode, name) = head.split_once(' ').ok_or_else(malformed)?;
        let kind = match mode.trim_start_matches('0') {
            "40000" => Kind::Folder,
            "100755" => Kind::File { executable: true },
            mode if mode.starts_with("100") => Kind::File { executable: false },
            "120000" => Kind::Link,
            "160000" => Kind::Module,
            _ => return Err(malformed()),
        };
        let is_name = !matches!(name, "" | "." | "..") && !name.contains('/');
        if !is_name || name.eq_ignore_ascii_case(".git") {
            return Err(wrong(format!("{name:?} can't be a file's name")));
        }
        entries.push(Entry { kind, name, id });
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_gits_own() {
        assert_eq!(Id::of("blob", b"").to_string(), "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391");
        assert_eq!(Id::parse("e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"), Some(Id::of("blob", b"")));
        assert!(Id::parse("e69de29").is_none() && Id::parse(&"g".repeat(40)).is_none());
    }

    #[test]
    fn a_tree_names_files_and_nothing_else() {
        let tree = |name: &str| [format!("100644 {name}\0").as_bytes(), &[7; 20]].concat();
        assert_eq!(entries(&tree("a.txt")).unwrap()[0].name, "a.txt");
        for name in ["..", ".", "", "a/b", ".git", ".GIT"] {
            assert!(entries(&tree(name)).is_err(), "{name}");
        }
        assert!(entries(b"100644 a").is_err() && entries(b"100644 a\0short").is_err());
    }

    #[test]
    fn a_commit_has_a_tree_and_a_time() {
        let id = Id::of("tree", b"");
        let text = format!("tree {id}\nauthor A <a> 1 +0000\ncommitter B <b> 1000000000 +0200\n\ntree x\n");
        assert_eq!(Commit::parse(text.as_bytes()).unwrap(), Commit { tree: id, time: 1_000_000_000 });
        assert!(Commit::parse(b"author A\n\n").is_err());
    }
}
