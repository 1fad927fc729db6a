//! Deletes what was taken away from its name, while whoever wanted that goes on: where freed space is discarded at once,
//! each file takes milliseconds.
//!
//! A crash leaves the rest under unfinished names, which the next start removes.

use std::collections::VecDeque;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::{Error, Result};

/// With less free space than this, somebody may wait for it: then it is deleted before anyone goes on.
const SCARCE: u64 = 4 << 30;
/// The longest that is waited for so.
const PATIENCE: Duration = Duration::from_secs(120);

/// What is to be deleted.
#[derive(Debug)]
pub(crate) struct Trash {
    /// Tells how much space is free.
    root: PathBuf,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    waiting: Mutex<Waiting>,
    emptied: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    paths: VecDeque<PathBuf>,
    /// Whether a thread deletes.
    is_worked_on: bool,
}

impl Trash {
    /// For what lies beneath `root`.
    pub(crate) fn new(root: &Path) -> Self {
        Self { root: root.to_owned(), shared: Arc::default() }
    }

    /// Deletes files and folders that have unfinished names.
    pub(crate) fn throw(&self, paths: Vec<PathBuf>) -> Result<()> {
        if paths.is_empty() {
            return Ok(());
        }
        let mut waiting = self.shared.waiting();
        waiting.paths.extend(paths);
        if !waiting.is_worked_on {
            let shared = Arc::clone(&self.shared);
            let worker = std::thread::Builder::new().name("trash".to_owned()).spawn(move || shared.work());
            worker.map_err(Error::stream("start deleting"))?;
            waiting.is_worked_on = true;
        }
        drop(waiting);
        if self.is_scarce() {
            self.shared.wait();
        }
        Ok(())
    }

    fn is_scarce(&self) -> bool {
        let free = rustix::fs::statvfs(&self.root).map(|disk| disk.f_bavail.saturating_mul(disk.f_frsize));
        free.is_ok_and(|free| free < SCARCE)
    }
}

impl Shared {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Deletes until nothing is left to delete.
    fn work(&self) {
        while let Some(path) = self.next() {
            let removed = match fs::remove_file(&path) {
                Err(error) if error.kind() == io::ErrorKind::IsADirectory => fs::remove_dir_all(&path),
                other => other,
            };
            if let Err(error) = removed {
                tracing::warn!(path = %path.display(), %error, "what was removed stays until the next start");
            }
        }
    }

    fn next(&self) -> Option<PathBuf> {
        let mut waiting = self.waiting();
        let path = waiting.paths.pop_front();
        if path.is_none() {
            waiting.is_worked_on = false;
            self.emptied.notify_all();
        }
        path
    }

    fn wait(&self) {
        let is_busy = |waiting: &mut Waiting| waiting.is_worked_on;
        let waited = self.emptied.wait_timeout_while(self.waiting(), PATIENCE, is_busy);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_and_folders_are_gone_once_it_is_empty() {
        let folder = tempfile::tempdir().unwrap();
        let (file, full) = (folder.path().join("file"), folder.path().join("full"));
        fs::write(&file, "1").unwrap();
        fs::create_dir_all(full.join("a/b")).unwrap();
        fs::write(full.join("a/b/c"), "2").unwrap();
        let trash = Trash::new(folder.path());
        trash.throw(vec![file, folder.path().join("gone already"), full]).unwrap();
        trash.shared.wait();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
