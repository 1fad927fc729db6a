//! How a process ended, and the file that tells it after the guard is gone.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::EXIT_FILE;

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExitRecord {
    /// As a shell gives it: the program's own, or 128 plus the signal.
    pub code: i32,
    /// The signal that ended it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<i32>,
    /// Whether the out-of-memory killer struck in its cgroup.
    #[serde(default)]
    pub oom_killed: bool,
    /// When, in nanoseconds since 1970.
    pub at: u64,
}

impl ExitRecord {
    /// Reads the record that a guard left in its folder; `None` if it left none.
    pub fn read(folder: &Path) -> io::Result<Option<Self>> {
        match std::fs::read(folder.join(EXIT_FILE)) {
            Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes)?)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Writes it so that it is either wholly there or not at all, whenever the power goes.
    pub fn write(&self, folder: &Path) -> io::Result<()> {
        let fresh = folder.join(".exit.json.new");
        let mut file = File::create(&fresh)?;
        file.write_all(&serde_json::to_vec(self)?)?;
        file.sync_all()?;
        std::fs::rename(&fresh, folder.join(EXIT_FILE))?;
        File::open(folder)?.sync_all()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_comes_back() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(ExitRecord::read(folder.path()).unwrap(), None);
        let record = ExitRecord { code: 137, signal: Some(9), oom_killed: true, at: 7 };
        record.write(folder.path()).unwrap();
        assert_eq!(ExitRecord::read(folder.path()).unwrap(), Some(record));
    }
}
