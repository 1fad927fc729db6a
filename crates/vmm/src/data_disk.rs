//! The data disk's file: sparse, made on the first start, grown when a larger one is asked for, never shrunk and
//! never replaced. Its file system is the guest's business, its format version lies in there.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;

use crate::Error;
use crate::config::Config;

/// Space that must be free to start at all: a guest that runs into a full host disk loses what it was writing.
const LEAST_FREE: u64 = 256 << 20;

/// Makes or grows the file.
pub(crate) fn prepare(config: &Config) -> Result<(), Error> {
    let path = &config.data_disk;
    let full = |source: io::Error| match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Error::DiskFull(path.clone()),
        _ => Error::Os { doing: format!("prepare {}", path.display()), source },
    };
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(full)?;
    }
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path);
    let file = file.map_err(full)?;
    if free(&file).map_err(full)? < LEAST_FREE {
        return Err(Error::DiskFull(path.clone()));
    }
    let length = file.metadata().map_err(full)?.len();
    if length < config.data_disk_bytes {
        file.set_len(config.data_disk_bytes).map_err(full)?;
    }
    Ok(())
}

/// Bytes that this user may still write where `file` lies.
fn free(file: &File) -> io::Result<u64> {
    let space = rustix::fs::fstatvfs(file)?;
    Ok(space.f_bavail.saturating_mul(space.f_frsize))
}
