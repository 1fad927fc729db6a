//! Unix: a socket in the user's own folder.

use std::io;
use std::path::Path;

use tokio::net::UnixStream;

/// Connects to the daemon's socket.
pub(crate) async fn connect(path: &Path) -> io::Result<UnixStream> {
    UnixStream::connect(path).await
}
