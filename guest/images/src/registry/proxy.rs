//! The way to a registry through the user's proxy: HTTPS goes through a tunnel (RFC 9110, 9.3.6), plain HTTP is asked of
//! the proxy itself.

use std::error::Error;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use hyper::Uri;
use hyper::http::uri::Scheme;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use hyper_util::client::proxy::matcher::Matcher;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tower_service::Service;

use super::Proxies;
use super::connect::Names;
use super::session::destination;

/// What no proxy stands before, as in Docker.
const THIS_MACHINE: &str = "localhost,127.0.0.0/8,::1/128";

/// Connects, through a proxy where one stands before the destination.
#[derive(Clone)]
pub(super) struct Proxied {
    direct: HttpConnector<Names>,
    proxies: Arc<Matcher>,
}

impl Proxied {
    pub(super) fn new(direct: HttpConnector<Names>, proxies: &Proxies) -> Self {
        let Proxies { http, https, none } = proxies;
        let none = format!("{THIS_MACHINE},{none}");
        let matcher = Matcher::builder().http(http.as_str()).https(https.as_str()).no(none).build();
        Self { direct, proxies: Arc::new(matcher) }
    }
}

impl Service<Uri> for Proxied {
    type Response = Carried;
    type Error = Box<dyn Error + Send + Sync>;
    type Future = Pin<Box<dyn Future<Output = Result<Carried, Self::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.direct.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, destination: Uri) -> Self::Future {
        let mut direct = self.direct.clone();
        let proxy = self.proxies.intercept(&destination);
        Box::pin(async move {
            let Some(proxy) = proxy else {
                return Ok(Carried { stream: direct.call(destination).await?, by_proxy: false });
            };
            let proof = proxy.basic_auth().cloned();
            let mut to_proxy = ToProxy(direct);
            if destination.scheme() != Some(&Scheme::HTTPS) && proof.is_none() {
                return Ok(Carried { stream: to_proxy.call(proxy.uri().clone()).await?, by_proxy: true });
            }
            let mut tunnel = Tunnel::new(proxy.uri().clone(), to_proxy);
            if let Some(proof) = proof {
                tunnel = tunnel.with_auth(proof);
            }
            Ok(Carried { stream: tunnel.call(destination).await?, by_proxy: false })
        })
    }
}

/// Connects to a proxy, and says so when that fails: otherwise the registry would seem to be what isn't there.
struct ToProxy(HttpConnector<Names>);

/// A proxy that can't be reached.
#[derive(Debug, thiserror::Error)]
#[error("proxyconnect tcp")]
pub(super) struct Unreached {
    /// Its host and port.
    pub(super) proxy: String,
    #[source]
    pub(super) source: Box<dyn Error + Send + Sync>,
}

impl Service<Uri> for ToProxy {
    type Response = TokioIo<TcpStream>;
    type Error = Unreached;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Unreached>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Unreached>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, proxy: Uri) -> Self::Future {
        let connecting = self.0.call(proxy.clone());
        Box::pin(async move {
            connecting
                .await
                .map_err(|source| Unreached { proxy: destination(&proxy.to_string()), source: source.into() })
        })
    }
}

/// A connection, which the client above asks whether a proxy reads its requests.
pub(super) struct Carried {
    stream: TokioIo<TcpStream>,
    by_proxy: bool,
}

impl Connection for Carried {
    fn connected(&self) -> Connected {
        self.stream.connected().proxy(self.by_proxy)
    }
}

impl Read for Carried {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl Write for Carried {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
