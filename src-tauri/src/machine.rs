//! The host daemon's control protocol: follows the machine's status, for ever.

pub(crate) mod status;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use protocol::control::{Reply, Request, Wish};
use protocol::frame;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::desk::Desk;
use crate::failure::{Failure, FailureCode};
use crate::sys;
use status::Daemon;

/// How soon an absent daemon is looked for again. It is one `connect` to a socket that usually isn't there.
const AGAIN: Duration = Duration::from_millis(500);

/// Follows the daemon; one that goes away is looked for again.
pub(crate) async fn follow(desk: Arc<Desk>) {
    let path = control_socket();
    loop {
        match listen(&desk, &path).await {
            Ok(Some(refusal)) => desk.lay_daemon(Daemon::Refusing { failure: refusal }),
            Ok(None) => desk.lay_daemon(Daemon::Absent),
            Err(error) => {
                tracing::debug!(%error, "the host daemon isn't there");
                desk.lay_daemon(Daemon::Absent);
            }
        }
        tokio::time::sleep(AGAIN).await;
    }
}

/// `$BERTH_CONTROL_SOCKET`, else where the daemon of this user listens.
fn control_socket() -> PathBuf {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let of_session = || set("XDG_RUNTIME_DIR").map(|folder| folder.join("berth/control.sock"));
    let of_home = || set("HOME").unwrap_or_default().join(".berth/run/control.sock");
    set("BERTH_CONTROL_SOCKET").or_else(of_session).unwrap_or_else(of_home)
}

/// Lays every status on the desk until the daemon ends the conversation; returns its refusal, if it refused.
async fn listen(desk: &Desk, path: &Path) -> io::Result<Option<Failure>> {
    let mut stream = sys::connect(path).await?;
    let request = Request { version: protocol::VERSION, wish: Wish::Follow };
    stream.write_all(&frame::encode(&request).map_err(io::Error::other)?).await?;
    loop {
        let mut prefix = [0; frame::PREFIX];
        stream.read_exact(&mut prefix).await?;
        let mut body = vec![0; frame::body_length(prefix).map_err(io::Error::other)?];
        stream.read_exact(&mut body).await?;
        match frame::decode(&body).map_err(io::Error::other)? {
            Reply::Status(status) => desk.lay_daemon(Daemon::from(status)),
            Reply::Refused { message } => return Ok(Some(Failure::new(FailureCode::Version, message))),
        }
    }
}
