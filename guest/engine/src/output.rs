//! A process's output, fanned out to every client that is attached.
//!
//! A slow client slows the process down, as in Docker, but not for ever: one that takes nothing for
//! [`PATIENCE`] is cut off, since the container's exit comes through the same stream.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc;

/// How long a client may take nothing.
const PATIENCE: Duration = Duration::from_secs(60);
/// How many chunks wait for a client; a chunk is at most 64 KiB.
const BACKLOG: usize = 16;

/// Which of a process's streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Standard output, or the terminal.
    Stdout,
    /// Standard error.
    Stderr,
}

/// Some output.
#[derive(Debug, Clone)]
pub struct Chunk {
    /// Where it came out.
    pub stream: Stream,
    /// What came out; shared between clients.
    pub bytes: bytes::Bytes,
}

/// Everybody who is attached to one process.
#[derive(Debug, Default)]
pub(crate) struct Fanout(Mutex<Vec<mpsc::Sender<Chunk>>>);

impl Fanout {
    /// Attaches a client: it gets all output from now on, and then the end.
    pub(crate) fn attach(&self) -> mpsc::Receiver<Chunk> {
        let (sender, receiver) = mpsc::channel(BACKLOG);
        self.clients().push(sender);
        receiver
    }

    /// Gives `chunk` to every client, waiting for slow ones.
    pub(crate) async fn send(&self, chunk: Chunk) {
        let clients = self.clients().clone();
        let mut gone = false;
        for client in clients {
            gone |= client.send_timeout(chunk.clone(), PATIENCE).await.is_err();
        }
        if gone {
            self.clients().retain(|client| !client.is_closed() && client.capacity() > 0);
        }
    }

    /// Ends the output of every client.
    pub(crate) fn end(&self) {
        self.clients().clear();
    }

    fn clients(&self) -> std::sync::MutexGuard<'_, Vec<mpsc::Sender<Chunk>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
