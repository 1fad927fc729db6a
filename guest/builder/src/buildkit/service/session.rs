//! `Control/Session`: a client's session within a stream of a raw connection, where `/session` isn't at hand. The
//! stream's messages are the bytes of a connection of its own.

use std::sync::Arc;

use futures_util::{Stream, StreamExt as _};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWriteExt as _;
use tokio_util::io::ReaderStream;
use tonic::body::Body;
use tonic::metadata::MetadataMap;
use tonic::{Status, Streaming};

use super::{BytesMessage, grpc};
use crate::buildkit::{About, BuildKit};

/// Bytes that wait on either side.
const BACKLOG: usize = 256 << 10;

/// Keeps the session as long as the stream lasts.
pub(super) async fn open(kit: Arc<BuildKit>, request: Request<Body>) -> Response<Body> {
    let service = tower::service_fn(move |request: tonic::Request<Streaming<BytesMessage>>| {
        let kit = kit.clone();
        async move {
            let (metadata, _, messages) = request.into_parts();
            carry(kit, metadata, messages).map(tonic::Response::new)
        }
    });
    grpc::<BytesMessage, BytesMessage>().streaming(service, request).await
}

fn carry(
    kit: Arc<BuildKit>,
    metadata: MetadataMap,
    mut messages: Streaming<BytesMessage>,
) -> Result<impl Stream<Item = Result<BytesMessage, Status>>, Status> {
    let about = About::read(&metadata.into_headers()).map_err(Status::invalid_argument)?;
    let (ours, theirs) = tokio::io::duplex(BACKLOG);
    let (from_us, mut to_us) = tokio::io::split(theirs);
    tokio::spawn(async move { kit.attach(about, TokioIo::new(ours)).await });
    tokio::spawn(async move {
        while let Ok(Some(message)) = messages.message().await {
            if to_us.write_all(&message.data).await.is_err() {
                return;
            }
        }
        // The client has gone: the session ends with its connection.
        drop(to_us.shutdown().await);
    });
    let message = |bytes: std::io::Result<bytes::Bytes>| match bytes {
        Ok(bytes) => Ok(BytesMessage { data: bytes.into() }),
        Err(error) => Err(Status::unavailable(error.to_string())),
    };
    Ok(ReaderStream::with_capacity(from_us, 32 << 10).map(message))
}
