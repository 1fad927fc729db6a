//! Archives on their way: written while a client reads them, read while it writes them. A client that stands still for
//! a minute is given up, since a container may be held meanwhile.

use std::io::{self, Read, Write};
use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use axum::http::HeaderValue;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use berth_engine::Error;
use bytes::Bytes;
use futures_util::stream::{self, StreamExt};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};
use tokio_util::io::{StreamReader, SyncIoBridge};

/// Chunks of an archive that wait for a slow client.
const BACKLOG: usize = 16;
/// Bytes that are read of a body that nobody needs any more, as in Go's servers.
const LONGEST_LEFTOVER: usize = 256 << 10;
/// How long what is left beyond that is held, so that the client reads the answer before its own writing breaks (as in
/// Go's servers, too).
const LINGERS: Duration = Duration::from_millis(500);
/// How long a client may stand still.
const PATIENCE: Duration = Duration::from_secs(60);

/// An answer that `work` writes in a thread that may block. A failure cuts it off.
pub(crate) fn download(
    media_type: &'static str,
    work: impl FnOnce(&mut dyn Write) -> Result<(), Error> + Send + 'static,
) -> Response {
    let (sender, chunks) = mpsc::channel::<io::Result<Bytes>>(BACKLOG);
    let handle = Handle::current();
    tokio::task::spawn_blocking(move || {
        let mut writer = io::BufWriter::with_capacity(64 << 10, Sender { chunks: sender.clone(), handle });
        let written = work(&mut writer);
        let flushed = writer.flush();
        if let Err(error) = written.and(flushed.map_err(|source| Error::Log { source })) {
            tracing::warn!(error = &error as &dyn std::error::Error, "an archive was cut off");
            drop(sender.try_send(Err(io::Error::other("the archive is incomplete"))));
        }
    });
    let chunks = stream::unfold(chunks, |mut chunks| async move { Some((chunks.recv().await?, chunks)) });
    let kind = HeaderValue::from_static(media_type);
    ([(CONTENT_TYPE, kind)], Body::from_stream(chunks)).into_response()
}

/// A request's body, for a thread that may block, and what an early failure leaves unread of it. That is read for a
/// while, so that the client comes to hear of the failure instead of a broken connection.
pub(crate) fn upload(body: Body) -> (impl Read + Send + 'static, Leftover) {
    let (sender, chunks) = mpsc::channel(BACKLOG);
    let (pumping, pumped) = oneshot::channel();
    tokio::spawn(async move {
        let rest = pump(body, sender).await;
        drop::<oneshot::Sender<()>>(pumping);
        if rest.is_some() {
            tokio::time::sleep(LINGERS).await;
        }
    });
    let chunks = stream::unfold(chunks, |mut chunks| async move { Some((chunks.recv().await?, chunks)) });
    (SyncIoBridge::new(StreamReader::new(Box::pin(chunks))), Leftover(pumped))
}

/// What nobody needs of a body.
#[derive(Debug)]
pub(crate) struct Leftover(oneshot::Receiver<()>);

impl Leftover {
    /// Waits until it was read, or for a second: a client that still writes when the answer comes complains of its
    /// own broken pipe beside it.
    pub(crate) async fn drained(self) {
        drop(tokio::time::timeout(Duration::from_secs(1), self.0).await);
    }
}

/// Passes a body on; what there is more of it than anybody needs.
async fn pump(body: Body, reader: mpsc::Sender<io::Result<Bytes>>) -> Option<BodyDataStream> {
    let (mut body, mut leftover) = (body.into_data_stream(), 0);
    while leftover < LONGEST_LEFTOVER {
        let next = match tokio::time::timeout(PATIENCE, body.next()).await {
            Ok(Some(next)) => next.map_err(io::Error::other),
            Ok(None) => return None,
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        };
        let (length, failed) = (next.as_ref().map_or(0, Bytes::len), next.is_err());
        if reader.send(next).await.is_err() {
            leftover += length;
        }
        if failed {
            return None;
        }
    }
    Some(body)
}

/// Hands bytes from a thread that blocks to a response.
struct Sender {
    chunks: mpsc::Sender<io::Result<Bytes>>,
    handle: Handle,
}

impl Write for Sender {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let sent = self.chunks.send_timeout(Ok(Bytes::copy_from_slice(bytes)), PATIENCE);
        let sent = self.handle.block_on(sent);
        sent.map(|()| bytes.len()).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
