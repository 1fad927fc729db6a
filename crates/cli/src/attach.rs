//! The streams of a process: what it prints to ours, what we type to its.

use std::io;

use bollard::query_parameters::{ResizeContainerTTYOptionsBuilder, ResizeExecOptionsBuilder};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinHandle;

use crate::detach_keys::DetachKeys;
use crate::engine::Engine;
use crate::terminal;

/// Bytes carried at once.
const BLOCK: usize = 32 << 10;
/// The length of a frame's head: the stream, three zeros, the payload's big-endian length.
const HEAD: usize = 8;
/// The stream number of standard error.
const STDERR: u8 = 2;

/// How a conversation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// The process closed its output.
    Closed,
    /// The user typed the detach keys.
    Detached,
}

/// What of a conversation there is.
pub(crate) struct Wishes {
    /// The process has a terminal: its output isn't multiplexed.
    pub(crate) terminal: bool,
    /// Our standard input goes to it.
    pub(crate) input: bool,
    /// With a terminal, the keys that leave it.
    pub(crate) keys: DetachKeys,
}

/// Carries both ways until the process's output ends or the user detaches.
pub(crate) async fn converse(
    stream: impl AsyncRead + AsyncWrite + Send + 'static,
    wishes: Wishes,
) -> io::Result<End> {
    let (reader, writer) = tokio::io::split(stream);
    let raw = if wishes.terminal && wishes.input { terminal::Raw::enter() } else { None };
    let typing = async {
        if wishes.input {
            let keys = wishes.terminal.then_some(wishes.keys);
            if type_into(writer, keys).await {
                return;
            }
        } else {
            // The other side of the connection stays open, or an engine may take us for gone.
            let _writer = writer;
            std::future::pending::<()>().await;
        }
        std::future::pending().await
    };
    let ended = tokio::select! {
        printed = print(reader, wishes.terminal) => printed.map(|()| End::Closed),
        () = typing => Ok(End::Detached),
    };
    drop(raw);
    ended
}

/// Copies standard input; true when the user typed the detach keys. Its end is passed on.
async fn type_into(mut writer: impl AsyncWrite + Unpin, mut keys: Option<DetachKeys>) -> bool {
    let mut input = tokio::io::stdin();
    let mut buffer = vec![0; BLOCK];
    while let Ok(length @ 1..) = input.read(&mut buffer).await {
        let (typed, detach) = match &mut keys {
            Some(keys) => keys.filter(&buffer[..length]),
            None => (buffer[..length].to_vec(), false),
        };
        let sent = writer.write_all(&typed).await.and(writer.flush().await);
        if detach {
            return true;
        }
        if sent.is_err() {
            return false;
        }
    }
    drop(writer.shutdown().await);
    // What isn't dropped stays half open: the process may still print.
    std::future::pending().await
}

/// Prints what a process prints, each stream to ours of the same name.
pub(crate) async fn print(mut reader: impl AsyncRead + Unpin, terminal: bool) -> io::Result<()> {
    let (mut stdout, mut stderr) = (tokio::io::stdout(), tokio::io::stderr());
    let mut buffer = vec![0; BLOCK];
    if terminal {
        loop {
            let length = reader.read(&mut buffer).await?;
            if length == 0 {
                return Ok(());
            }
            stdout.write_all(&buffer[..length]).await?;
            stdout.flush().await?;
        }
    }
    let mut head = [0; HEAD];
    while reader.read_exact(&mut head).await.is_ok() {
        let mut left = u32::from_be_bytes([head[4], head[5], head[6], head[7]]) as usize;
        while left > 0 {
            let most = left.min(BLOCK);
            let length = reader.read(&mut buffer[..most]).await?;
            if length == 0 {
                return Ok(());
            }
            if head[0] == STDERR {
                stderr.write_all(&buffer[..length]).await?;
                stderr.flush().await?;
            } else {
                stdout.write_all(&buffer[..length]).await?;
                stdout.flush().await?;
            }
            left -= length;
        }
    }
    Ok(())
}

/// Whose terminal follows the size of ours.
#[derive(Clone)]
pub(crate) enum Sized {
    /// A container's.
    Container(String),
    /// An exec's.
    Exec(String),
}

/// Tells the size of our terminal now and whenever it changes, until the task is aborted.
pub(crate) fn follow_size(engine: &Engine, of: Sized) -> JoinHandle<()> {
    let docker = engine.docker.clone();
    tokio::spawn(async move {
        let Ok(mut changes) = signal(SignalKind::window_change()) else { return };
        loop {
            if let Some((rows, columns)) = terminal::size() {
                let (h, w) = (i32::from(rows), i32::from(columns));
                // A process that ended has no terminal any more, which is no news here.
                let _ = match &of {
                    Sized::Container(id) => {
                        let size = ResizeContainerTTYOptionsBuilder::new().h(h).w(w).build();
                        docker.resize_container_tty(id, size).await
                    }
                    Sized::Exec(id) => {
                        docker.resize_exec(id, ResizeExecOptionsBuilder::new().h(h).w(w).build()).await
                    }
                };
            }
            if changes.recv().await.is_none() {
                return;
            }
        }
    })
}
