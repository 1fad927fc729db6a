//! TLS in front of another listener. A handshake is a task of its own with a deadline: a client that is slow, or speaks
//! something else, keeps nobody waiting.

use std::sync::Arc;
use std::time::Duration;

use axum::serve::Listener;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::server::TlsStream;

/// How long a handshake may take; it is two round trips.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Handshakes at a time; further clients are turned away at once.
const MOST_HANDSHAKES: usize = 512;

/// Clients whose handshake is done.
pub(crate) struct Secure<Io> {
    clients: mpsc::Receiver<TlsStream<Io>>,
    accepting: JoinHandle<()>,
}

impl<Io: Send + Unpin + tokio::io::AsyncRead + tokio::io::AsyncWrite + 'static> Secure<Io> {
    /// Accepts from `listener` from now on.
    pub(crate) fn new(listener: impl Listener<Io = Io>, config: Arc<ServerConfig>) -> Self {
        let (sender, clients) = mpsc::channel(16);
        let accepting = tokio::spawn(accept_all(listener, TlsAcceptor::from(config), sender));
        Self { clients, accepting }
    }
}

async fn accept_all<Io: Send + Unpin + tokio::io::AsyncRead + tokio::io::AsyncWrite + 'static>(
    mut listener: impl Listener<Io = Io>,
    acceptor: TlsAcceptor,
    sender: mpsc::Sender<TlsStream<Io>>,
) {
    let handshakes = Arc::new(Semaphore::new(MOST_HANDSHAKES));
    loop {
        let (client, _) = listener.accept().await;
        let Ok(permit) = Arc::clone(&handshakes).try_acquire_owned() else {
            tracing::warn!("too many clients are in the middle of a TLS handshake: one is turned away");
            continue;
        };
        let (acceptor, sender) = (acceptor.clone(), sender.clone());
        tokio::spawn(async move {
            let shaken = tokio::time::timeout(HANDSHAKE, acceptor.accept(client)).await;
            drop(permit);
            match shaken {
                Ok(Ok(client)) => drop(sender.send(client).await),
                Ok(Err(error)) => tracing::info!(%error, "TLS handshake error"),
                Err(_) => tracing::info!("TLS handshake error: it took too long"),
            }
        });
    }
}

impl<Io: Send + Unpin + tokio::io::AsyncRead + tokio::io::AsyncWrite + 'static> Listener for Secure<Io> {
    type Io = TlsStream<Io>;
    type Addr = ();

    async fn accept(&mut self) -> (TlsStream<Io>, ()) {
        match self.clients.recv().await {
            Some(client) => (client, ()),
            // Whoever accepts ended, which it does with this value alone.
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<Io> Drop for Secure<Io> {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}
