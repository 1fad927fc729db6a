//! Windows: a named pipe.

use std::io;
use std::path::Path;

use tokio::net::windows::named_pipe::{ClientOptions, NamedPipeClient};

/// Connects to the daemon's pipe.
pub(crate) async fn connect(path: &Path) -> io::Result<NamedPipeClient> {
    ClientOptions::new().open(path)
}
