//! A client's SSH agent, as a socket for a step: each connection is a stream of the session's.

use std::path::PathBuf;
use std::sync::Arc;

use futures_util::StreamExt as _;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, DuplexStream};
use tokio::net::UnixListener;
use tokio_util::task::AbortOnDropHandle;
use tonic::metadata::{AsciiMetadataValue, MetadataMap};

use super::messages::session::AgentRequest;
use super::messages::{BytesMessage, Empty};
use super::session::Session;
use crate::sources::Agent;
use crate::{Error, Result};

const CHECK: &str = "/moby.sshforward.v1.SSH/CheckAgent";
const FORWARD: &str = "/moby.sshforward.v1.SSH/ForwardAgent";
/// Read from the step at a time.
const CHUNK: usize = 32 << 10;

/// Opens the client's agent `id` at `socket`; none when the client has none.
pub(super) async fn open(session: &Arc<Session>, id: &str, socket: PathBuf) -> Result<Option<Agent>> {
    if !is_there(session, id).await {
        return Ok(None);
    }
    let listener = UnixListener::bind(&socket).map_err(Error::file("listen at", &socket))?;
    let (session, id) = (session.clone(), id.to_owned());
    let serving = tokio::spawn(async move {
        while let Ok((connection, _)) = listener.accept().await {
            tokio::spawn(forward(session.clone(), id.clone(), connection));
        }
    });
    Ok(Some(Agent { socket, serving: AbortOnDropHandle::new(serving) }))
}

/// A connection to the client's agent `id`; none when the client has none.
pub(super) async fn connect(session: Arc<Session>, id: &'static str) -> Option<DuplexStream> {
    if !is_there(&session, id).await {
        return None;
    }
    let (near, far) = tokio::io::duplex(CHUNK);
    tokio::spawn(forward(session, id.to_owned(), far));
    Some(near)
}

async fn is_there(session: &Session, id: &str) -> bool {
    let question = AgentRequest { id: id.to_owned() };
    session.serves(CHECK) && session.ask::<_, Empty>(CHECK, question).await.is_ok()
}

async fn forward(
    session: Arc<Session>,
    id: String,
    connection: impl AsyncRead + AsyncWrite + Send + 'static,
) {
    let (mut from_step, mut to_step) = tokio::io::split(connection);
    let mut metadata = MetadataMap::new();
    if let Ok(value) = AsciiMetadataValue::try_from(id) {
        metadata.insert("buildkit.ssh.id", value);
    }
    let (sender, receiver) = tokio::sync::mpsc::channel::<BytesMessage>(4);
    let reading = tokio::spawn(async move {
        let mut buffer = vec![0; CHUNK];
        while let Ok(count @ 1..) = from_step.read(&mut buffer).await {
            if sender.send(BytesMessage { data: buffer[..count].to_vec() }).await.is_err() {
                break;
            }
        }
    });
    let outgoing = tokio_stream::wrappers::ReceiverStream::new(receiver);
    let answers = session.converse::<BytesMessage, BytesMessage>(FORWARD, metadata, outgoing).await;
    if let Ok(mut answers) = answers {
        while let Some(Ok(message)) = answers.next().await {
            if to_step.write_all(&message.data).await.is_err() {
                break;
            }
        }
    }
    reading.abort();
}
