//! Pushing: layers that the registry lacks, the configuration, then the manifest.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use hyper::header::{CONTENT_RANGE, CONTENT_TYPE, HeaderName, LOCATION};
use hyper::{Method, StatusCode};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::connect::Body;
use super::in_flight::turn;
use super::refusal::Refusal;
use super::session::{self, Ask, Session};
use super::token::escape;
use super::{Pushed, Report};
use crate::compress::Packing;
use crate::manifest::{self, Descriptor, Document, Manifest};
use crate::progress::Pace;
use crate::store::Pin as Pinned;
use crate::{Digest, Error, Image, Outbound, Platform, Progress, Reference, Result, Store};

/// Says how large the chunks of an upload must be at least.
const CHUNK_LEAST: HeaderName = HeaderName::from_static("oci-chunk-min-length");
/// How large they are when that is less.
const CHUNK_USUAL: u64 = 16 << 20;
/// Read from the disk at a time.
const CHUNK: usize = 64 << 10;
/// How often a layer's upload is begun, as by dockerd.
const ATTEMPTS: u64 = 5;

/// One push under way.
pub(super) struct Push<'a> {
    pub(super) session: Arc<Session>,
    pub(super) store: &'a Store,
    pub(super) reference: &'a Reference,
    pub(super) outbound: &'a Outbound,
    /// Layers uploaded at a time.
    pub(super) uploads: usize,
    pub(super) report: Report<'a>,
}

impl Push<'_> {
    /// Pushes the image under its tag.
    pub(super) async fn run(&self, image: &Image) -> Result<Pushed> {
        let descriptor = self.send(image, None).await?;
        let pushed = Pushed { digest: descriptor.digest, size: descriptor.size };
        self.say_pushed(&pushed);
        Ok(pushed)
    }

    /// Pushes images for several platforms by their digests, and under the tag an index of them.
    pub(super) async fn run_index(&self, images: &[Image]) -> Result<Pushed> {
        let mut manifests = Vec::with_capacity(images.len());
        for image in images {
            manifests.push(self.send(image, Some(image.config.platform())).await?);
        }
        let (json, media_type) = self.outbound.index(manifests.clone())?;
        let dockers = |docker: &Outbound| docker.index(manifests);
        let by_digest = self.outbound.by_digest;
        let (json, _) = self.put((json, media_type.to_owned()), by_digest, dockers).await?;
        let pushed = Pushed { digest: Digest::of(&json), size: json.len() as u64 };
        self.say_pushed(&pushed);
        Ok(pushed)
    }

    /// Sends all of an image: its manifest by digest when it is one of several platforms', else under the tag.
    async fn send(&self, image: &Image, platform: Option<Platform>) -> Result<Descriptor> {
        let stored = self.store.blobs_of(&image.id)?;
        let _pin = self.store.pin(stored.iter().map(|layer| layer.digest.clone()).chain([image.id.clone()]));
        let pulled = self.outbound.takes_any_manifest().then(|| self.pulled_with(image, &stored)).flatten();
        let packing = pulled.is_none().then_some(self.outbound.packing);
        let (layers, _packed) = self.layers(image, &stored, packing).await?;
        let new = |outbound: &Outbound| {
            let size = image.config_json.len() as u64;
            outbound.manifest(&image.config.platform(), &image.id, size, &layers)
        };
        let manifest = match pulled {
            Some(pulled) => pulled,
            None => new(self.outbound).map(|(json, media_type)| (json, media_type.to_owned()))?,
        };
        let config = Descriptor::new(manifest::OCI_CONFIG, image.id.clone(), image.config_json.len() as u64);
        upload(&self.session, self.store, self.reference, &config, &[], |_| {}).await?;
        let is_by_digest = platform.is_some() || self.outbound.by_digest;
        let (json, media_type) = self.put(manifest, is_by_digest, new).await?;
        let digest = Digest::of(&json);
        let by_digest = self.reference.with_digest(digest.clone());
        let _new = self.store.pin([digest.clone()]);
        self.store.blobs().put(&json)?;
        let mut state = self.store.state();
        self.store.set_name(&mut state, by_digest, &image.id)?;
        let named = self.outbound.named(&image.config.platform(), &media_type, digest, json.len() as u64);
        Ok(Descriptor { platform, ..named })
    }

    /// Puts a manifest or an index, with its media type, under its digest or the tag. Registries older than OCI's media
    /// types get what `dockers` makes of it in Docker's terms. What was taken.
    async fn put(
        &self,
        (json, media_type): (Vec<u8>, String),
        by_digest: bool,
        dockers: impl FnOnce(&Outbound) -> Result<(Vec<u8>, &'static str)>,
    ) -> Result<(Vec<u8>, String)> {
        let place = |json: &[u8]| match by_digest {
            true => self.reference.with_digest(Digest::of(json)),
            false => self.reference.clone(),
        };
        let Some(refusal) = offer(&self.session, &place(&json), &media_type, json.clone()).await? else {
            return Ok((json, media_type));
        };
        let is_oci = [manifest::OCI_MANIFEST, manifest::OCI_INDEX].contains(&media_type.as_str());
        let docker = self.outbound.in_dockers_terms();
        let Some(docker) = docker.filter(|_| is_oci && refusal.is_of_media_type()) else {
            return Err(refusal.into_plain_error());
        };
        let (json, media_type) = dockers(&docker)?;
        put_manifest(&self.session, &place(&json), media_type, json.clone()).await?;
        Ok((json, media_type.to_owned()))
    }

    fn say_pushed(&self, pushed: &Pushed) {
        let tag = self.reference.tag().unwrap_or(crate::DEFAULT_TAG);
        self.say("", format!("{tag}: digest: {} size: {}", pushed.digest, pushed.size));
    }

    fn say(&self, id: &str, status: impl Into<String>) {
        (self.report)(Progress::say(id, status));
    }

    /// The manifest it was pulled with, so that its digest stays.
    fn pulled_with(&self, image: &Image, layers: &[Descriptor]) -> Option<(Vec<u8>, String)> {
        let same = |manifest: &Manifest| {
            manifest.config.digest == image.id
                && manifest.layers.iter().map(|l| &l.digest).eq(layers.iter().map(|l| &l.digest))
        };
        image.digests.iter().filter_map(Reference::digest).find_map(|digest| {
            let json = self.store.blobs().read(digest).ok()?;
            match Document::parse(&json, manifest::OCI_MANIFEST) {
                Ok(Document::Manifest(manifest)) if same(&manifest) => {
                    let media_type = manifest.media_type.unwrap_or_else(|| manifest::OCI_MANIFEST.to_owned());
                    Some((json, media_type))
                }
                _ => None,
            }
        })
    }

    /// Sends layers, compressed where `packing` wants that; what was sent, which stays as long as the pins.
    async fn layers(
        &self,
        image: &Image,
        layers: &[Descriptor],
        packing: Option<Packing>,
    ) -> Result<(Vec<Descriptor>, Vec<Pinned>)> {
        let (sender, mut progress) = mpsc::unbounded_channel();
        let sending = Arc::new(Layers {
            session: Arc::clone(&self.session),
            store: self.store.clone(),
            reference: self.reference.clone(),
            packing,
            permits: Semaphore::new(self.uploads),
            progress: sender,
        });
        let mut tasks = JoinSet::new();
        for (number, (blob, layer)) in layers.iter().zip(&image.layers).enumerate() {
            self.say(layer.diff_id.short(), "Preparing");
            let (sending, blob, layer) = (Arc::clone(&sending), blob.clone(), layer.diff_id.clone());
            tasks.spawn(async move { sending.send(&layer, blob).await.map(|sent| (number, sent)) });
        }
        drop(sending);
        while let Some(line) = progress.recv().await {
            (self.report)(line);
        }
        let mut sent = Vec::with_capacity(layers.len());
        while let Some(done) = tasks.join_next().await {
            sent.push(done.map_err(|_| Error::Interrupted("pushing a layer"))??);
        }
        sent.sort_by_key(|(number, _)| *number);
        let (layers, pins): (Vec<_>, Vec<_>) = sent.into_iter().map(|(_, sent)| sent).unzip();
        Ok((layers, pins.into_iter().flatten().collect()))
    }
}

/// An image's layers on their way to a registry.
struct Layers {
    session: Arc<Session>,
    store: Store,
    reference: Reference,
    packing: Option<Packing>,
    permits: Semaphore,
    progress: mpsc::UnboundedSender<Progress>,
}

impl Layers {
    /// Sends the layer of this diff id, which is stored as `blob`; what was sent, which stays as long as the pin.
    async fn send(&self, layer: &Digest, blob: Descriptor) -> Result<(Descriptor, Option<Pinned>)> {
        let _turn = turn(&self.permits, "pushing a layer", || self.say(layer, "Waiting")).await?;
        if let Some(sent) = self.sent_before(layer).await? {
            self.say(layer, "Layer already exists");
            return Ok((sent, None));
        }
        let (blob, pin) = match self.packing {
            None => (blob, None),
            Some(packing) => {
                let store = self.store.clone();
                let packed = tokio::task::spawn_blocking(move || store.packed(&blob, &packing));
                let (blob, pin) = packed.await.map_err(|_| Error::Interrupted("compressing a layer"))??;
                (blob, Some(pin))
            }
        };
        let how = self.upload(layer, &blob).await?;
        self.say(layer, how);
        Ok((blob, pin))
    }

    /// The layer as the registry got it once and still has it: it needn't be compressed to find that out.
    async fn sent_before(&self, layer: &Digest) -> Result<Option<Descriptor>> {
        let sent = self.packing.and_then(|packing| self.store.sent_before(layer, &packing, &self.reference));
        let Some(sent) = sent else { return Ok(None) };
        let is_there = exists(&self.session, &self.reference, &sent.digest).await?;
        Ok(is_there.then_some(sent))
    }

    async fn upload(&self, layer: &Digest, blob: &Descriptor) -> Result<String> {
        let sources = self.store.repositories_with(&blob.digest, &self.reference);
        let (progress, id, total) = (self.progress.clone(), layer.short().to_owned(), blob.size);
        let pace = Arc::new(Pace::default());
        let moved = move |done| {
            if done == total || pace.is_due() {
                let _ = progress.send(Progress::moved(&id, "Pushing", done, total));
            }
        };
        let mut attempt = 1;
        loop {
            let sent =
                upload(&self.session, &self.store, &self.reference, blob, &sources, moved.clone()).await;
            match sent {
                Err(error) if attempt < ATTEMPTS && may_pass(&error) => {
                    tracing::debug!(%error, digest = %blob.digest, "an upload is tried again");
                    self.say(
                        layer,
                        format!("Retrying in {attempt} second{}", if attempt == 1 { "" } else { "s" }),
                    );
                    sleep(Duration::from_secs(attempt)).await;
                    attempt += 1;
                }
                sent => return sent,
            }
        }
    }

    fn say(&self, layer: &Digest, status: impl Into<String>) {
        let _ = self.progress.send(Progress::say(layer.short(), status));
    }
}

/// Whether a network that comes back or a registry that starts again may take what failed.
fn may_pass(error: &Error) -> bool {
    matches!(error, Error::Unreachable { .. } | Error::Registry { status: 500.., .. })
}

/// Puts a manifest under a reference's digest or tag.
pub(super) async fn put_manifest(
    session: &Session,
    reference: &Reference,
    media_type: &str,
    json: Vec<u8>,
) -> Result<()> {
    match offer(session, reference, media_type, json).await? {
        None => Ok(()),
        Some(refusal) => Err(refusal.into_plain_error()),
    }
}

/// The same; what the registry says when it doesn't take it.
async fn offer(
    session: &Session,
    reference: &Reference,
    media_type: &str,
    json: Vec<u8>,
) -> Result<Option<Refusal>> {
    let digest = reference.digest().map(Digest::to_string);
    let place = digest.as_deref().or(reference.tag()).unwrap_or(crate::DEFAULT_TAG);
    let target = format!("/v2/{}/manifests/{place}", reference.path());
    let headers = [(CONTENT_TYPE, media_type)];
    let body = Bytes::from(json);
    let ask = Ask { method: Method::PUT, target: &target, headers: &headers };
    let response = session.ask_with(&ask, &|| session::full(body.clone())).await?;
    match response.status().is_success() {
        true => Ok(None),
        false => Ok(Some(session::refusal(response).await)),
    }
}

/// Whether the registry has a blob in this repository.
async fn exists(session: &Session, reference: &Reference, blob: &Digest) -> Result<bool> {
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
    let mut target = format!("/v2/{}/blobs/uploads/", reference.path());
    if let Some(source) = sources.first() {
        target += &format!("?mount={}&from={}", blob.digest, escape(source));
    }
    let started = session.ask(&Ask::new(Method::POST, &target)).await?;
    match started.status() {
        StatusCode::CREATED => return Ok(format!("Mounted from {}", sources.first().map_or("", |s| s))),
        StatusCode::ACCEPTED => {}
        _ => return Err(session::refusal(started).await.into_plain_error()),
    }
    let lost =
        || Error::BadAnswer { url: session.base().to_owned(), problem: "it doesn't say where to upload" };
    let location = started.headers().get(LOCATION).and_then(|value| value.to_str().ok()).ok_or_else(lost)?;
    let location = session::absolute(session.base(), location).ok_or_else(lost)?;
    let sending = Sending { session, store, blob, moved };
    let least = started.headers().get(CHUNK_LEAST).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    let rest = match least.filter(|least| *least < blob.size) {
        Some(least) => sending.chunks(location, least.max(CHUNK_USUAL)).await?,
        None => (location, 0),
    };
    sending.finish(rest).await?;
    Ok("Pushed".to_owned())
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
        move || feed(store.blobs().open_blob(&digest), start, end, moved.clone())
    }

    /// Sends all but the last chunk of a registry that wants them so large at least (OCI distribution specification,
    /// "Pushing a blob in chunks"); where the upload goes on, and from which byte.
    async fn chunks(&self, mut location: String, size: u64) -> Result<(String, u64)> {
        let mut start = 0;
        while self.blob.size - start > size {
            let range = format!("{start}-{}", start + size - 1);
            let headers = [(CONTENT_TYPE, "application/octet-stream"), (CONTENT_RANGE, range.as_str())];
            let ask = Ask { method: Method::PATCH, target: &location, headers: &headers };
            let response = self.session.ask_with(&ask, &self.body(start, start + size)).await?;
            if response.status() != StatusCode::ACCEPTED {
                return Err(session::refusal(response).await.into_plain_error());
            }
            let next = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
            if let Some(next) = next.and_then(|next| session::absolute(self.session.base(), next)) {
                location = next;
            }
            start += size;
        }
        Ok((location, start))
    }

    /// Sends what is left, and says what all of it is.
    async fn finish(&self, (location, start): (String, u64)) -> Result<()> {
        let separator = if location.contains('?') { '&' } else { '?' };
        let place = format!("{location}{separator}digest={}", escape(&self.blob.digest.to_string()));
        let range = format!("{start}-{}", self.blob.size.saturating_sub(1));
        let headers = [(CONTENT_TYPE, "application/octet-stream"), (CONTENT_RANGE, range.as_str())];
        let headers = if start > 0 { headers.as_slice() } else { &headers[..1] };
        let ask = Ask { method: Method::PUT, target: &place, headers };
        let response = self.session.ask_with(&ask, &self.body(start, self.blob.size)).await?;
        match response.status().is_success() {
            true => Ok(()),
            false => Err(session::refusal(response).await.into_plain_error()),
        }
    }
}

/// The bytes of a file from `start` to `end` as a request's body, read by a thread that may block.
fn feed(file: Result<File>, start: u64, end: u64, moved: impl Fn(u64) + Send + 'static) -> Body {
    let (sender, chunks) = mpsc::channel(4);
    tokio::task::spawn_blocking(move || {
        let file = file.and_then(|mut file| {
            file.seek(SeekFrom::Start(start)).map_err(Error::stream("read a layer"))?;
            Ok(file.take(end - start))
        });
        let mut file = match file {
            Ok(file) => file,
            Err(error) => return drop(sender.blocking_send(Err(io::Error::other(error)))),
        };
        let mut done = start;
        loop {
            let mut chunk = vec![0; CHUNK];
            let chunk = file.read(&mut chunk).map(|count| {
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
    Feed { chunks, left: end - start }.boxed_unsync()
}

struct Feed {
    chunks: mpsc::Receiver<io::Result<Bytes>>,
    left: u64,
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
            self.left = self.left.saturating_sub(chunk.len() as u64);
            Ok(Frame::data(chunk))
        }))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
