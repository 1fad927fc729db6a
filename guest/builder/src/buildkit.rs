//! BuildKit's gRPC: what `docker build` speaks when the buildx plugin is there. The Dockerfile is read by our own
//! frontend; a graph of a client's own making is refused.
//!
//! A client opens two kinds of connections: one on which it asks us (`Control`, `LLBBridge`), and a session on which
//! we ask it: for files, secrets, credentials. A build is a [`job`](jobs): asked for by `Solve`, told by `Status`.

mod agents;
mod cache;
mod clip;
mod content;
mod export;
mod frontend;
mod history;
mod ignored;
mod inputs;
mod jobs;
mod layout;
mod messages;
mod progress;
mod receive;
mod send;
mod service;
mod session;
mod sync;

use std::sync::Arc;

use hyper::rt::{Read, Write};
use hyper_util::rt::TokioExecutor;
use tonic::body::Body;

pub use history::Memory;
pub use session::About;

use crate::Builder;

/// The largest message either way; clients' own limit is the same.
const LARGEST_MESSAGE: usize = 16 << 20;

/// BuildKit's services of one engine.
pub struct BuildKit {
    builder: Arc<Builder>,
    sessions: session::Sessions,
    jobs: jobs::Jobs,
    told: Told,
}

/// Called with the id and names of an image that was built.
pub type Told = Arc<dyn Fn(&str, &[berth_images::Reference]) + Send + Sync>;

impl std::fmt::Debug for BuildKit {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("BuildKit").finish_non_exhaustive()
    }
}

impl BuildKit {
    /// Services on top of a builder. `told` hears of every image that a build names. Blocks: it reads which builds there
    /// were.
    pub fn new(builder: Arc<Builder>, told: Told) -> Arc<Self> {
        let (sessions, jobs) = (session::Sessions::default(), jobs::Jobs::open(&builder));
        Arc::new(Self { builder, sessions, jobs, told })
    }

    /// Answers a client's calls until its connection ends.
    pub async fn serve(self: Arc<Self>, connection: impl Read + Write + Unpin + Send + 'static) {
        let service = hyper::service::service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
            service::answer(self.clone(), request.map(Body::new))
        });
        let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
        if let Err(error) = server.serve_connection(connection, service).await {
            tracing::debug!(error = &error as &dyn std::error::Error, "a BuildKit client left");
        }
    }

    /// Answers one call of a client that came by HTTP/2 already.
    pub async fn answer<B>(self: Arc<Self>, request: hyper::Request<B>) -> hyper::Response<Body>
    where
        B: hyper::body::Body<Data = bytes::Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let Ok(response) = service::answer(self, request.map(Body::new)).await;
        response
    }

    /// Keeps a client's session until its connection ends.
    pub async fn attach(&self, about: About, connection: impl Read + Write + Unpin + Send + 'static) {
        if let Err(error) = self.sessions.serve(about, connection).await {
            tracing::debug!(error = &error as &dyn std::error::Error, "a session ended");
        }
    }
}
