//! Streams to the guest's vsock ports, and copying between two streams with half-close.

use std::io;
use std::path::Path;
use std::time::Duration;

use protocol::frame;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, copy_bidirectional_with_sizes};
use tokio::net::UnixStream;

/// As long as a vsock packet.
const BLOCK: usize = 64 * 1024;
/// How long a client may take to notice the end.
const LINGER: Duration = Duration::from_secs(2);
/// Between two tries while the guest doesn't listen yet.
const PAUSE: Duration = Duration::from_millis(20);

/// Connects to a port of the guest as soon as it listens; the caller sets the deadline.
pub(crate) async fn dial(socket: &Path, port: u32) -> UnixStream {
    loop {
        match dial_once(socket, port).await {
            Ok(stream) => return stream,
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}

async fn dial_once(socket: &Path, port: u32) -> io::Result<UnixStream> {
    let mut stream = UnixStream::connect(socket).await?;
    stream.write_u32_le(port).await?;
    match stream.read_u8().await? {
        vmm::connect::CONNECTED => Ok(stream),
        _ => Err(io::ErrorKind::ConnectionRefused.into()),
    }
}

/// Copies both ways until both have ended; each side's end is passed on by itself.
pub(crate) async fn copy(
    mut one: impl AsyncRead + AsyncWrite + Unpin,
    mut other: impl AsyncRead + AsyncWrite + Unpin,
) -> io::Result<()> {
    copy_bidirectional_with_sizes(&mut one, &mut other, BLOCK, BLOCK).await.map(drop)
}

/// Ends a stream whose other side is gone: what was written is read to its end, and what the client still says, not
/// knowing yet, is no error of its own for a while.
pub(crate) async fn linger(mut client: impl AsyncRead + AsyncWrite + Unpin) {
    if client.shutdown().await.is_ok() {
        let _said = tokio::time::timeout(LINGER, tokio::io::copy(&mut client, &mut tokio::io::sink())).await;
    }
}

/// Reads one message. Not safe to cancel: a part of it may be lost.
pub(crate) async fn read<T: DeserializeOwned>(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<T> {
    let mut prefix = [0; frame::PREFIX];
    stream.read_exact(&mut prefix).await?;
    let length = frame::body_length(prefix).map_err(io::Error::other)?;
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    frame::decode(&body).map_err(io::Error::other)
}

/// Writes one message.
pub(crate) async fn write(
    stream: &mut (impl AsyncWrite + Unpin),
    message: &impl Serialize,
) -> io::Result<()> {
    stream.write_all(&frame::encode(message).map_err(io::Error::other)?).await
}
