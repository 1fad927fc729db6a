//! Pushing: layers that the registry lacks, the configuration, then the manifest.

use std::fs::File;
use std::io::{self, Read};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use hyper::header::{CONTENT_TYPE, LOCATION};
use hyper::{Method, StatusCode};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;

use super::connect::Body;
use super::session::{self, Ask, Session};
use super::token::escape;
use super::{Pushed, Report};
use crate::manifest::{self, Descriptor, Document, Manifest};
use crate::{Digest, Error, Image, Progress, Reference, Result, Store};

/// Read from the disk at a time.
const CHUNK: usize = 64 << 10;

/// One push under way.
pub(super) struct Push<'a> {
    pub(super) session: Arc<Session>,
    pub(super) store: &'a Store,
    pub(super) reference: &'a Reference,
    /// Layers uploaded at a time.
    pub(super) uploads: usize,
    pub(super) report: Report<'a>,
}

impl Push<'_> {
    /// Pushes the image under its tag.
    pub(super) async fn run(&self, image: &Image) -> Result<Pushed> {
        self.say("", format!("The push refers to repository [{}]", self.reference.name()));
        let layers = self.store.blobs_of(&image.id)?;
        let _pin = self.store.pin(layers.iter().map(|layer| layer.digest.clone()).chain([image.id.clone()]));
        let (json, media_type) = self.manifest(image, &layers)?;
        self.layers(image, &layers).await?;
        let config = Descriptor::new(manifest::OCI_CONFIG, image.id.clone(), image.config_json.len() as u64);
        upload(&self.session, self.store, self.reference, &config, &[], |_| {}).await?;
        let pushed = self.put_manifest(json, &media_type).await?;
        let tag = self.reference.tag().unwrap_or(crate::DEFAULT_TAG);
        self.say("", format!("{tag}: digest: {} size: {}", pushed.digest, pushed.size));
        let mut state = self.store.state();
        self.store.set_name(&mut state, self.reference.with_digest(pushed.digest.clone()), &image.id)?;
        Ok(pushed)
    }

    fn say(&self, id: &str, status: impl Into<String>) {
        (self.report)(Progress::say(id, status));
    }

    /// The manifest it was pulled with, so that its digest stays, or one of our own.
    fn manifest(&self, image: &Image, layers: &[Descriptor]) -> Result<(Vec<u8>, String)> {
        let same = |manifest: &Manifest| {
            manifest.config.digest == image.id
                && manifest.layers.iter().map(|l| &l.digest).eq(layers.iter().map(|l| &l.digest))
        };
        for digest in image.digests.iter().filter_map(Reference::digest) {
            let Ok(json) = self.store.blobs().read(digest) else { continue };
            if let Ok(Document::Manifest(manifest)) = Document::parse(&json, manifest::OCI_MANIFEST)
                && same(&manifest)
            {
                let media_type = manifest.media_type.unwrap_or_else(|| manifest::OCI_MANIFEST.to_owned());
                return Ok((json, media_type));
            }
        }
        let in_oci_terms = |layer: &Descriptor| {
            let known = layer.media_type != manifest::DOCKER_LAYER;
            let media_type = if known { &layer.media_type } else { manifest::OCI_LAYER_GZIP };
            Descriptor::new(media_type, layer.digest.clone(), layer.size)
        };
        let manifest = Manifest {
            schema_version: 2,
            media_type: Some(manifest::OCI_MANIFEST.to_owned()),
            config: Descriptor::new(manifest::OCI_CONFIG, image.id.clone(), image.config_json.len() as u64),
            layers: layers.iter().map(in_oci_terms).collect(),
        };
        let json =
            serde_json::to_vec(&manifest).map_err(|source| Error::Json { subject: "manifest", source })?;
        Ok((json, manifest::OCI_MANIFEST.to_owned()))
    }

    async fn layers(&self, image: &Image, layers: &[Descriptor]) -> Result<()> {
        let (sender, mut progress) = mpsc::unbounded_channel();
        let permits = Arc::new(Semaphore::new(self.uploads));
        let mut tasks = JoinSet::new();
        for (layer, known) in layers.iter().zip(&image.layers) {
            let id = known.diff_id.short().to_owned();
            self.say(&id, "Preparing");
            let (session, store, reference) =
                (Arc::clone(&self.session), self.store.clone(), self.reference.clone());
            let (layer, sender, permits) = (layer.clone(), sender.clone(), Arc::clone(&permits));
            let sources = self.store.repositories_with(&layer.digest, &reference);
            tasks.spawn(async move {
                let _permit = permits.acquire().await.map_err(|_| Error::Interrupted("pushing a layer"))?;
                let (feeding, about, total) = (sender.clone(), id.clone(), layer.size);
                let moved = move |done| {
                    let _ = feeding.send(Progress::moved(&about, "Pushing", done, total));
                };
                let how = upload(&session, &store, &reference, &layer, &sources, moved).await?;
                let _ = sender.send(Progress::say(&id, how));
                Ok::<(), Error>(())
            });
        }
        drop(sender);
        while let Some(line) = progress.recv().await {
            (self.report)(line);
        }
        while let Some(done) = tasks.join_next().await {
            done.map_err(|_| Error::Interrupted("pushing a layer"))??;
        }
        Ok(())
    }

    async fn put_manifest(&self, json: Vec<u8>, media_type: &str) -> Result<Pushed> {
        let (digest, size) = (Digest::of(&json), json.len() as u64);
        let tag = self.reference.tag().unwrap_or(crate::DEFAULT_TAG);
        let target = format!("/v2/{}/manifests/{tag}", self.reference.path());
        let headers = [(CONTENT_TYPE, media_type)];
        let body = Bytes::from(json.clone());
        let ask = Ask { method: Method::PUT, target: &target, headers: &headers };
        let response = self.session.ask_with(&ask, &|| session::full(body.clone())).await?;
        if !response.status().is_success() {
            return Err(session::refusal(response).await.into_plain_error());
        }
        let _new = self.store.pin([digest.clone()]);
        self.store.blobs().put(&json)?;
        Ok(Pushed { digest, size })
    }
}

/// Brings a blob to the registry unless it has it; says how, in Docker's words. `sources` are repositories of the
/// same registry that have it.
async fn upload(
    session: &Session,
    store: &Store,
    reference: &Reference,
    blob: &Descriptor,
    sources: &[String],
    moved: impl Fn(u64) + Send + Sync + 'static + Clone,
) -> Result<String> {
    let target = format!("/v2/{}/blobs/{}", reference.path(), blob.digest);
    let found = session.ask(&Ask::new(Method::HEAD, &target)).await?;
    if found.status().is_success() {
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
    let separator = if location.contains('?') { '&' } else { '?' };
    let place = format!("{location}{separator}digest={}", escape(&blob.digest.to_string()));
    let headers = [(CONTENT_TYPE, "application/octet-stream")];
    let ask = Ask { method: Method::PUT, target: &place, headers: &headers };
    let (store, digest, size) = (store.clone(), blob.digest.clone(), blob.size);
    let body = move || feed(store.blobs().open_blob(&digest), size, moved.clone());
    let response = session.ask_with(&ask, &body).await?;
    if !response.status().is_success() {
        return Err(session::refusal(response).await.into_plain_error());
    }
    Ok("Pushed".to_owned())
}

/// A file as a request's body, read by a thread that may block.
fn feed(file: Result<File>, size: u64, moved: impl Fn(u64) + Send + 'static) -> Body {
    let (sender, chunks) = mpsc::channel(4);
    tokio::task::spawn_blocking(move || {
        let mut file = match file {
            Ok(file) => file,
            Err(error) => return drop(sender.blocking_send(Err(io::Error::other(error)))),
        };
        let mut done = 0;
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
    Feed { chunks, left: size }.boxed_unsync()
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
