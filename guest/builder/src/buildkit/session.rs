//! Sessions: a client's own gRPC server, reached over the connection that it opened to us.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::body::Incoming;
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper::http::HeaderMap;
use hyper::http::uri::{PathAndQuery, Uri};
use hyper::rt::{Read, Write};
use hyper_util::rt::TokioExecutor;
use tokio::sync::Notify;
use tonic::body::Body;
use tonic::client::Grpc;
use tonic::metadata::MetadataMap;
use tonic::{Request, Status, Streaming};
use tonic_prost::ProstCodec;

use super::LARGEST_MESSAGE;

/// How long a build waits for the session that it names.
const PATIENCE: Duration = Duration::from_secs(30);
/// Bytes that a client may send ahead. A folder's files are described in small frames, of which HTTP/2 lets no more wait
/// than are in proportion to it.
const WINDOW: u32 = 32 << 20;
/// How long an answer may take that needs no user.
const ANSWER: Duration = Duration::from_secs(60);

/// What a client said of its session.
#[derive(Debug, Clone, Default)]
pub struct About {
    /// Its id.
    pub id: String,
    /// What sessions from the same folder have in common.
    pub shared_key: String,
    /// The methods that it serves.
    pub methods: Vec<String>,
}

impl About {
    /// What a session's headers say of it.
    ///
    /// # Errors
    /// Without an id.
    pub fn read(headers: &HeaderMap) -> Result<Self, &'static str> {
        let all = |name: &str| -> Vec<String> {
            let values = headers.get_all(name).iter();
            values.filter_map(|value| Some(value.to_str().ok()?.to_owned())).collect()
        };
        let first = |name: &str| all(name).into_iter().next().unwrap_or_default();
        let id = first("x-docker-expose-session-uuid");
        if id.is_empty() {
            return Err("the session has no id: X-Docker-Expose-Session-Uuid is missing");
        }
        let shared_key = first("x-docker-expose-session-sharedkey");
        Ok(Self { id, shared_key, methods: all("x-docker-expose-session-grpc-method") })
    }
}

/// Every open session.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    open: Mutex<HashMap<String, Arc<Session>>>,
    changed: Notify,
}

/// One client's services.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) about: About,
    channel: Channel,
}

impl Sessions {
    fn open(&self) -> MutexGuard<'_, HashMap<String, Arc<Session>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps a session until its connection ends.
    pub(super) async fn serve(
        &self,
        about: About,
        connection: impl Read + Write + Unpin + Send + 'static,
    ) -> Result<(), hyper::Error> {
        let mut builder = Builder::new(TokioExecutor::new());
        builder.initial_connection_window_size(WINDOW);
        let (sender, driver) = builder.handshake(connection).await?;
        let id = about.id.clone();
        let session = Arc::new(Session { about, channel: Channel(sender) });
        self.open().insert(id.clone(), session.clone());
        self.changed.notify_waiters();
        let ended = driver.await;
        let mut open = self.open();
        if open.get(&id).is_some_and(|known| Arc::ptr_eq(known, &session)) {
            open.remove(&id);
        }
        ended
    }

    /// The session with this id, which may be about to open.
    pub(super) async fn find(&self, id: &str) -> Result<Arc<Session>, Status> {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let changed = self.changed.notified();
            if let Some(session) = self.open().get(id) {
                return Ok(session.clone());
            }
            if tokio::time::timeout_at(deadline, changed).await.is_err() {
                return Err(Status::not_found(format!("no active session for {id}")));
            }
        }
    }
}

impl Session {
    /// Whether the client serves a method (`/service/method`).
    pub(super) fn serves(&self, method: &str) -> bool {
        self.about.methods.iter().any(|known| known.eq_ignore_ascii_case(method))
    }

    fn grpc(&self) -> Grpc<Channel> {
        // The origin is never dialled: the connection is there.
        let origin = Uri::from_static("http://session");
        Grpc::with_origin(self.channel.clone(), origin)
            .max_decoding_message_size(LARGEST_MESSAGE)
            .max_encoding_message_size(LARGEST_MESSAGE)
    }

    /// Asks one question.
    pub(super) async fn ask<Q, A>(&self, method: &'static str, question: Q) -> Result<A, Status>
    where
        Q: prost::Message + Default + 'static,
        A: prost::Message + Default + 'static,
    {
        let mut grpc = self.grpc();
        ready(&mut grpc).await?;
        let codec = ProstCodec::<Q, A>::default();
        let asked = grpc.unary(Request::new(question), PathAndQuery::from_static(method), codec);
        match tokio::time::timeout(ANSWER, asked).await {
            Ok(answered) => Ok(answered?.into_inner()),
            Err(_) => Err(Status::deadline_exceeded(format!("{method}: the client doesn't answer"))),
        }
    }

    /// Opens a stream both ways.
    pub(super) async fn converse<Q, A>(
        &self,
        method: &'static str,
        metadata: MetadataMap,
        questions: impl futures_util::Stream<Item = Q> + Send + 'static,
    ) -> Result<Streaming<A>, Status>
    where
        Q: prost::Message + Default + 'static,
        A: prost::Message + Default + 'static,
    {
        let mut grpc = self.grpc();
        ready(&mut grpc).await?;
        let mut request = Request::new(questions);
        *request.metadata_mut() = metadata;
        let codec = ProstCodec::<Q, A>::default();
        Ok(grpc.streaming(request, PathAndQuery::from_static(method), codec).await?.into_inner())
    }
}

async fn ready(grpc: &mut Grpc<Channel>) -> Result<(), Status> {
    grpc.ready().await.map_err(|error| Status::unavailable(format!("the session has ended: {error}")))
}

/// The connection, as gRPC wants it.
#[derive(Debug, Clone)]
struct Channel(SendRequest<Body>);

impl tower_service::Service<hyper::Request<Body>> for Channel {
    type Response = hyper::Response<Incoming>;
    type Error = hyper::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: hyper::Request<Body>) -> Self::Future {
        Box::pin(self.0.send_request(request))
    }
}
