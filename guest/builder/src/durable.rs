//! Files that are there wholly or not at all: written beside, synced, renamed, the folder synced.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;

use serde::Serialize;

use crate::{Error, Result};

/// Makes `path` hold `record` as JSON.
pub(crate) fn write_json(path: &Path, record: &impl Serialize) -> Result<()> {
    let json = serde_json::to_vec(record).map_err(|error| Error::file("encode", path)(error.into()))?;
    let beside = path.with_extension("tmp");
    let folder = path.parent().unwrap_or(Path::new("/"));
    let written = File::create(&beside)
        .and_then(|mut file| {
            file.write_all(&json)?;
            file.sync_all()
        })
        .and_then(|()| std::fs::rename(&beside, path))
        .and_then(|()| File::open(folder)?.sync_all());
    written.map_err(Error::file("write", path))
}
