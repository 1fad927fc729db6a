//! Files of containers on the wire (API 1.51, `ContainerPathStat`, `FilesystemChange`).

use serde::{Deserialize, Serialize};

use super::query::flag;
use crate::error::Failure;

/// `/containers/{id}/archive`'s query.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct ArchiveQuery {
    path: String,
    #[serde(rename = "noOverwriteDirNonDir", deserialize_with = "flag")]
    pub(crate) no_overwrite_dir_non_dir: bool,
    #[serde(rename = "copyUIDGID", deserialize_with = "flag")]
    pub(crate) copy_uid_gid: bool,
}

impl ArchiveQuery {
    /// The path, which must be there.
    pub(crate) fn path(&self) -> Result<&str, Failure> {
        if self.path.is_empty() {
            return Err(Failure::bad_request("bad parameter: 'path' cannot be empty"));
        }
        Ok(&self.path)
    }
}

/// What is at a path.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PathStat {
    name: String,
    size: i64,
    mode: u32,
    mtime: String,
    link_target: String,
}

impl From<berth_engine::PathStat> for PathStat {
    fn from(stat: berth_engine::PathStat) -> Self {
        Self {
            name: stat.name,
            size: stat.size,
            mode: go_mode(stat.mode),
            mtime: stat.modified.to_string(),
            link_target: stat.link_target,
        }
    }
}

/// Go's `os.FileMode` of the kernel's mode.
fn go_mode(mode: u32) -> u32 {
    let kind = match mode & 0o170_000 {
        0o040_000 => 1 << 31,
        0o120_000 => 1 << 27,
        0o060_000 => 1 << 26,
        0o020_000 => 1 << 26 | 1 << 21,
        0o010_000 => 1 << 25,
        0o140_000 => 1 << 24,
        _ => 0,
    };
    let bits = [(0o4000, 1 << 23), (0o2000, 1 << 22), (0o1000, 1 << 20)];
    let special: u32 = bits.into_iter().filter(|(bit, _)| mode & bit != 0).map(|(_, go)| go).sum();
    kind | special | mode & 0o777
}

/// One change of `docker diff`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Change {
    path: String,
    kind: u8,
}

impl From<berth_engine::images::Change> for Change {
    fn from(change: berth_engine::images::Change) -> Self {
        Self { path: change.path.to_string_lossy().into_owned(), kind: change.kind as u8 }
    }
}

/// `POST /commit`'s query. `changes` may come several times.
#[derive(Debug, Default)]
pub(crate) struct CommitQuery {
    pub(crate) container: String,
    pub(crate) repo: String,
    pub(crate) tag: String,
    pub(crate) comment: String,
    pub(crate) author: String,
    pub(crate) pause: bool,
    pub(crate) changes: Vec<String>,
}

impl CommitQuery {
    /// The query, decoded.
    pub(crate) fn parse(query: &str) -> Self {
        let mut found = Self { pause: true, ..Self::default() };
        for (key, value) in form_urlencoded::parse(query.as_bytes()) {
            let value = value.into_owned();
            match key.as_ref() {
                "container" => found.container = value,
                "repo" => found.repo = value,
                "tag" => found.tag = value,
                "comment" => found.comment = value,
                "author" => found.author = value,
                "pause" => {
                    found.pause =
                        !matches!(value.to_ascii_lowercase().as_str(), "" | "0" | "no" | "false" | "none");
                }
                "changes" => found.changes.push(value),
                _ => {}
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_gos() {
        assert_eq!(go_mode(0o100_644), 0o644);
        assert_eq!(go_mode(0o040_755), 1 << 31 | 0o755);
        assert_eq!(go_mode(0o041_777), 1 << 31 | 1 << 20 | 0o777);
        assert_eq!(go_mode(0o104_755), 1 << 23 | 0o755);
    }

    #[test]
    fn a_commit_pauses_unless_told_otherwise() {
        assert!(CommitQuery::parse("container=a").pause);
        let query = CommitQuery::parse("pause=0&changes=CMD+a&changes=ENV+b%3Dc");
        assert!(!query.pause);
        assert_eq!(query.changes, ["CMD a", "ENV b=c"]);
    }
}
