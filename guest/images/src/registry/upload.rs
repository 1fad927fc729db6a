//! Bringing a blob to a registry (OCI distribution specification, "Pushing blobs").

use std::io::{self, Read, Seek as _, SeekFrom};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use hyper::header::{CONTENT_RANGE, CONTENT_TYPE, HeaderName, LOCATION};
use hyper::{Method, Response, StatusCode};
use tokio::sync::mpsc;

use super::connect::Body;
use super::session::{self, Ask, Session};
use super::token::escape;
use crate::growth::Follower;
use crate::manifest::Descriptor;
use crate::{Digest, Error, Reference, Result, Store};

/// Says how large the chunks of an upload must be at least.
const CHUNK_LEAST: HeaderName = HeaderName::from_static("oci-chunk-min-length");
/// How large they are when that is less.
const CHUNK_USUAL: u64 = 16 << 20;
/// What a blob's bytes are said to be.
const OCTETS: &str = "application/octet-stream";
/// That it was sent, in Docker's words.
pub(super) const PUSHED: &str = "Pushed";
/// Read from the disk at a time.
const CHUNK: usize = 64 << 10;

/// Whether the registry has a blob in this repository.
pub(super) async fn exists(session: &Session, reference: &Reference, blob: &Digest) -> Result<bool> {
    let target = format!("/v2/{}/blobs/{blob}", reference.path());
    Ok(session.ask(&Ask::new(Method::HEAD, &target)).await?.status().is_success())
}

/// Brings a blob to the registry unless it has it; says how, in Docker's words. `sources` are repositories of the
/// same registry that have it.
pub(super) async fn upload(
    session: &Session,
    store: &Store,
    reference: &Reference,
    blob: &Descriptor,
    sources: &[String],
    moved: impl Fn(u64) + Send + Sync + 'static + Clone,
) -> Result<String> {
    if exists(session, reference, &blob.digest).await? {
        return Ok("Layer already exists".to_owned());
    }
    let source = sources.first();
    let mount = source.map(|source| (&blob.digest, source.as_str()));
    let Some(Begun { location, least }) = begin(session, reference, mount).await? else {
        return Ok(mounted(source.map_or("", |source| source)));
    };
    let sending = Sending { session, store, blob, moved };
    let rest = match least.filter(|least| *least < blob.size) {
        Some(least) => sending.chunks(location, least.max(CHUNK_USUAL)).await?,
        None => (location, 0),
    };
    sending.finish(rest).await?;
    Ok(PUSHED.to_owned())
}

/// An upload that a registry waits for.
pub(super) struct Begun {
    location: String,
    /// How long its chunks must be at least, where the registry wants several of known lengths.
    least: Option<u64>,
}

impl Begun {
    /// Whether it may be of a length that nobody knows yet.
    pub(super) fn takes_stream(&self) -> bool {
        self.least.is_none()
    }
}

/// Begins an upload; none when the registry has the blob to `mount` from another repository of its own.
pub(super) async fn begin(
    session: &Session,
    reference: &Reference,
    mount: Option<(&Digest, &str)>,
) -> Result<Option<Begun>> {
    let mut target = format!("/v2/{}/blobs/uploads/", reference.path());
    if let Some((digest, source)) = mount {
        target += &format!("?mount={digest}&from={}", escape(source));
    }
    let started = session.ask(&Ask::new(Method::POST, &target)).await?;
    let bad = |problem| Error::BadAnswer { url: session.base().to_owned(), problem };
    match started.status() {
        StatusCode::CREATED if mount.is_some() => return Ok(None),
        StatusCode::ACCEPTED => {}
        StatusCode::CREATED => return Err(bad("it has a blob that nobody named")),
        _ => return Err(session::refusal(started).await.into_plain_error()),
    }
    let least = started.headers().get(CHUNK_LEAST).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    let location = place(session, &started).ok_or_else(|| bad("it doesn't say where to upload"))?;
    Ok(Some(Begun { location, least }))
}

/// How a blob came that the registry had in another repository, in Docker's words.
pub(super) fn mounted(source: &str) -> String {
    format!("Mounted from {source}")
}

/// Sends a blob while it is written; says where to [`end`].
pub(super) async fn stream(
    session: &Session,
    Begun { location, .. }: Begun,
    blob: &Follower,
) -> Result<String> {
    let ask = Ask { method: Method::PATCH, target: &location, headers: &[(CONTENT_TYPE, OCTETS)] };
    let body = || {
        let blob = blob.clone();
        feed(move || Ok(blob), None, |_| {})
    };
    let response = session.ask_with(&ask, &body).await?;
    taken(session, response, location).await
}

/// Ends the upload of a blob that was sent, and is this.
pub(super) async fn end(session: &Session, location: &str, blob: &Digest) -> Result<()> {
    let place = ending(location, blob);
    let ask = Ask { method: Method::PUT, target: &place, headers: &[(CONTENT_TYPE, OCTETS)] };
    ended(session.ask(&ask).await?).await
}

/// Where the upload goes on of which a registry has taken a part.
async fn taken(session: &Session, response: Response<Incoming>, location: String) -> Result<String> {
    match response.status() {
        StatusCode::ACCEPTED => Ok(place(session, &response).unwrap_or(location)),
        _ => Err(session::refusal(response).await.into_plain_error()),
    }
}

async fn ended(response: Response<Incoming>) -> Result<()> {
    match response.status().is_success() {
        true => Ok(()),
        false => Err(session::refusal(response).await.into_plain_error()),
    }
}

/// Where an answer says that the upload is.
fn place(session: &Session, response: &Response<Incoming>) -> Option<String> {
    let location = response.headers().get(LOCATION)?.to_str().ok()?;
    session::absolute(session.base(), location)
}

/// Where an upload ends.
fn ending(location: &str, blob: &Digest) -> String {
    let separator = if location.contains('?') { '&' } else { '?' };
    format!("{location}{separator}digest={}", escape(&blob.to_string()))
}

/// A blob on its way to an upload's place.
struct Sending<'a, F> {
    session: &'a Session,
    store: &'a Store,
    blob: &'a Descriptor,
    moved: F,
}

impl<F: Fn(u64) + Send + Sync + 'static + Clone> Sending<'_, F> {
    fn body(&self, start: u64, end: u64) -> impl Fn() -> Body + Send + Sync + use<F> {
        let (store, digest, moved) = (self.store.clone(), self.blob.digest.clone(), self.moved.clone());
        move || {
            let (store, digest, moved) = (store.clone(), digest.clone(), moved.clone());
            let part = move || part(&store, &digest, start, end);
            feed(part, Some(end - start), move |done| moved(start + done))
        }
    }

    /// Sends all but the last chunk of a registry that wants them so large at least (OCI distribution specification,
    /// "Pushing a blob in chunks"); where the upload goes on, and from which byte.
    async fn chunks(&self, mut location: String, size: u64) -> Result<(String, u64)> {
        let mut start = 0;
        while self.blob.size - start > size {
            let range = format!("{start}-{}", start + size - 1);
            let headers = [(CONTENT_TYPE, OCTETS), (CONTENT_RANGE, range.as_str())];
            let ask = Ask { method: Method::PATCH, target: &location, headers: &headers };
            let response = self.session.ask_with(&ask, &self.body(start, start + size)).await?;
            location = taken(self.session, response, location).await?;
            start += size;
        }
        Ok((location, start))
    }

    /// Sends what is left, and says what all of it is.
    async fn finish(&self, (location, start): (String, u64)) -> Result<()> {
        let place = ending(&location, &self.blob.digest);
        let range = format!("{start}-{}", self.blob.size.saturating_sub(1));
        let headers = [(CONTENT_TYPE, OCTETS), (CONTENT_RANGE, range.as_str())];
        let headers = if start > 0 { headers.as_slice() } else { &headers[..1] };
        let ask = Ask { method: Method::PUT, target: &place, headers };
        ended(self.session.ask_with(&ask, &self.body(start, self.blob.size)).await?).await
    }
}

/// A blob's bytes from `start` to `end`.
fn part(store: &Store, blob: &Digest, start: u64, end: u64) -> Result<impl Read + use<>> {
    let mut file = store.blobs().open_blob(blob)?;
    file.seek(SeekFrom::Start(start)).map_err(Error::stream("read a layer"))?;
    Ok(file.take(end - start))
}

/// What there is to read as a request's body, of this length if that is known, opened and read by a thread that may block.
fn feed<R: Read>(
    source: impl FnOnce() -> Result<R> + Send + 'static,
    length: Option<u64>,
    moved: impl Fn(u64) + Send + 'static,
) -> Body {
    let (sender, chunks) = mpsc::channel(4);
    tokio::task::spawn_blocking(move || {
        let mut source = match source() {
            Ok(source) => source,
            Err(error) => return drop(sender.blocking_send(Err(io::Error::other(error)))),
        };
        let mut done = 0;
        loop {
            let mut chunk = vec![0; CHUNK];
            let chunk = source.read(&mut chunk).map(|count| {
                chunk.truncate(count);
                Bytes::from(chunk)
            });
            let count = chunk.as_ref().map_or(0, Bytes::len);
            if count == 0 && chunk.is_ok() || sender.blocking_send(chunk).is_err() {
                return;
            }
            done += count as u64;
            moved(done);
        }
    });
    Feed { chunks, left: length }.boxed_unsync()
}

struct Feed {
    chunks: mpsc::Receiver<io::Result<Bytes>>,
    /// None when nobody knows.
    left: Option<u64>,
}

impl HttpBody for Feed {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let chunk = std::task::ready!(self.chunks.poll_recv(context));
        Poll::Ready(chunk.map(|chunk| {
            let chunk = chunk?;
            self.left = self.left.map(|left| left.saturating_sub(chunk.len() as u64));
            Ok(Frame::data(chunk))
        }))
    }

    fn size_hint(&self) -> SizeHint {
        self.left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
