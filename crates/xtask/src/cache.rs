//! `~/.cache/berth/<kind>/<hash of inputs>/`: one finished file beside its SHA-256.
//!
//! The folder appears by rename when it is complete. What it holds is never trusted blindly: a file that doesn't
//! match its recorded hash is thrown away and made again.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::digest;

const SUM: &str = "sha256";

/// The file `name` made from inputs of this hash; `make` builds it in the folder it is given when it isn't there.
pub(crate) fn file(
    kind: &str,
    hash: &str,
    name: &str,
    make: impl FnOnce(&Path) -> anyhow::Result<PathBuf>,
) -> anyhow::Result<PathBuf> {
    let folder = root()?.join(kind).join(hash);
    let wanted = folder.join(name);
    if is_intact(&folder, &wanted) {
        return Ok(wanted);
    }
    drop(fs::remove_dir_all(&folder));
    let kinds = root()?.join(kind);
    fs::create_dir_all(&kinds).with_context(|| format!("make {}", kinds.display()))?;
    let work = tempfile::tempdir_in(&kinds).context("make a folder to build in")?;
    let made = make(work.path())?;
    let finished = work.path().join("finished");
    fs::create_dir(&finished)?;
    fs::rename(&made, finished.join(name)).with_context(|| format!("keep {}", made.display()))?;
    fs::write(finished.join(SUM), digest::of_file(&finished.join(name))?)?;
    match fs::rename(&finished, &folder) {
        // Another build of the same inputs was faster: its bytes are ours.
        Err(_) if is_intact(&folder, &wanted) => Ok(wanted),
        renamed => renamed.map(|()| wanted).with_context(|| format!("keep {}", folder.display())),
    }
}

fn is_intact(folder: &Path, file: &Path) -> bool {
    match (fs::read_to_string(folder.join(SUM)), digest::of_file(file)) {
        (Ok(recorded), Ok(found)) => recorded == found,
        _ => false,
    }
}

fn root() -> anyhow::Result<PathBuf> {
    let home = std::env::var_os("HOME").context("HOME isn't set: there is no place for the cache")?;
    Ok(PathBuf::from(home).join(".cache/berth"))
}
