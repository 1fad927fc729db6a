//! Networks on disk: one self-describing file each, written whole or not at all.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::network::Network;

/// The format's version; it changes when a version before couldn't read the file.
const VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
struct Record<N> {
    version: u32,
    network: N,
}

/// The version alone, read before the rest is believed.
#[derive(Deserialize)]
struct Versioned {
    version: u32,
}

/// Reads every network in the folder, oldest first; makes the folder. A file that can't be read costs that network and
/// stays where it is.
pub(crate) fn read_all(folder: &Path) -> Result<Vec<Network>> {
    fs::create_dir_all(folder).map_err(|source| failed("create", folder, source))?;
    let entries = fs::read_dir(folder).map_err(|source| failed("list", folder, source))?;
    let mut networks = Vec::new();
    for entry in entries {
        let path = entry.map_err(|source| failed("list", folder, source))?.path();
        if path.extension().is_some_and(|extension| extension == "json") {
            match read(&path) {
                Ok(network) => networks.push(network),
                Err(error) => {
                    tracing::error!(error = &error as &dyn std::error::Error, "a network is left out")
                }
            }
        }
    }
    networks.sort_by_key(|network| network.created);
    Ok(networks)
}

fn read(path: &Path) -> Result<Network> {
    let wrong = |source| Error::Record { path: path.to_owned(), source };
    let text = fs::read(path).map_err(|source| failed("read", path, source))?;
    let Versioned { version } = serde_json::from_slice(&text).map_err(wrong)?;
    if version != VERSION {
        return Err(Error::RecordVersion { path: path.to_owned(), version });
    }
    let record: Record<Network> = serde_json::from_slice(&text).map_err(wrong)?;
    Ok(record.network)
}

/// Writes one network's file.
pub(crate) fn write(folder: &Path, network: &Network) -> Result<()> {
    let path = place(folder, &network.id);
    let text = serde_json::to_vec_pretty(&Record { version: VERSION, network })
        .map_err(|source| Error::Record { path: path.clone(), source })?;
    let temporary = path.with_extension("new");
    let store = || {
        let mut file = File::create(&temporary)?;
        file.write_all(&text)?;
        file.sync_all()?;
        fs::rename(&temporary, &path)?;
        File::open(folder)?.sync_all()
    };
    store().map_err(|source| failed("write", &path, source))
}

/// Removes one network's file; twice is fine.
pub(crate) fn remove(folder: &Path, id: &str) -> Result<()> {
    let path = place(folder, id);
    match fs::remove_file(&path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(failed("remove", &path, source)),
        _ => File::open(folder)
            .and_then(|folder| folder.sync_all())
            .map_err(|source| failed("sync", folder, source)),
    }
}

fn place(folder: &Path, id: &str) -> PathBuf {
    folder.join(format!("{id}.json"))
}

fn failed(operation: &'static str, path: &Path, source: io::Error) -> Error {
    Error::File { operation, path: path.to_owned(), source }
}
