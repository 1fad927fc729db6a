//! The daemon's lock and its sockets, which only their owner may open.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use rustix::fs::{FlockOperation, flock};
use tokio::net::UnixListener;

use crate::Error;

fn failed(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    move |source| Error::Prepare { doing, path: path.to_path_buf(), source }
}

/// Takes the lock of this user's daemon.
pub(crate) fn lock(run_dir: &Path) -> Result<File, Error> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(run_dir);
    made.map_err(failed("make", run_dir))?;
    let path = run_dir.join("hostd.lock");
    let file = hold(&path)?.ok_or(Error::AlreadyRunning)?;
    // For whoever looks which process it is: tests and benches measure its memory.
    let named = file.set_len(0).and_then(|()| writeln!(&file, "{}", std::process::id()));
    named.map_err(failed("write", &path))?;
    Ok(file)
}

/// Locks a file; none when somebody else holds it. It is free again when the file is closed, however that process
/// ends.
pub(crate) fn hold(path: &Path) -> Result<Option<File>, Error> {
    let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path);
    let file = file.map_err(failed("open", path))?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(file)),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
        Err(error) => Err(failed("lock", path)(error.into())),
    }
}

/// Listens at `path`. Whoever holds the lock may replace a socket that lies there.
pub(crate) fn listen(path: &Path) -> Result<UnixListener, Error> {
    drop(fs::remove_file(path));
    let listener = UnixListener::bind(path).map_err(failed("listen on", path))?;
    fs::set_permissions(path, Permissions::from_mode(0o600)).map_err(failed("restrict", path))?;
    Ok(listener)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_daemon_is_refused_until_the_first_ends() {
        let folder = tempfile::tempdir().unwrap();
        let first = lock(folder.path()).unwrap();
        assert!(matches!(lock(folder.path()), Err(Error::AlreadyRunning)));
        drop(first);
        lock(folder.path()).unwrap();
    }
}
