//! The file with the engine's process id.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

/// The file, there as long as the value.
pub(super) struct Pidfile(PathBuf);

impl Pidfile {
    /// Writes it; refuses when the process that it names runs.
    pub(super) fn write(path: PathBuf) -> anyhow::Result<Self> {
        let old = std::fs::read_to_string(&path).unwrap_or_default();
        if let Ok(process) = old.trim().parse::<u32>()
            && process != std::process::id()
            && Path::new("/proc").join(process.to_string()).exists()
        {
            bail!(
                "failed to start daemon, ensure docker is not running or delete {}: process with PID {process} is still \
                 running",
                path.display()
            );
        }
        let process = std::process::id().to_string();
        std::fs::write(&path, process).with_context(|| format!("write {}", path.display()))?;
        Ok(Self(path))
    }
}

impl Drop for Pidfile {
    fn drop(&mut self) {
        drop(std::fs::remove_file(&self.0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_a_process_that_runs_is_refused_and_a_stale_one_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("engine.pid");
        std::fs::write(&path, "1").unwrap();
        assert!(Pidfile::write(path.clone()).err().unwrap().to_string().contains("PID 1 is still running"));
        // Above the highest that Linux gives (4194304).
        std::fs::write(&path, "4999999").unwrap();
        let held = Pidfile::write(path.clone()).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), std::process::id().to_string());
        drop(held);
        assert!(!path.exists());
    }
}
