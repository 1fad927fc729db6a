//! Pushing: layers that the registry lacks, the configuration, then the manifest.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper::Method;
use hyper::header::CONTENT_TYPE;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::in_flight::turn;
use super::refusal::Refusal;
use super::session::{self, Ask, Session};
use super::upload::{self, Begun, exists, upload};
use super::{Pushed, Report};
use crate::compress::Packing;
use crate::manifest::{self, Descriptor, Document, Manifest};
use crate::progress::Pace;
use crate::store::Pin as Pinned;
use crate::{Digest, Error, Image, Outbound, Platform, Progress, Reference, Result, Store};

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
        let (layers, pins): (Vec<_>, Vec<_>) =
            sent.into_iter().map(|(_, Sent { blob, pin, .. })| (blob, pin)).unzip();
        Ok((layers, pins.into_iter().flatten().collect()))
    }
}

/// A layer that the registry has.
struct Sent {
    blob: Descriptor,
    /// What it was compressed into stays here as long as this.
    pin: Option<Pinned>,
    /// How it came there, in Docker's words.
    how: String,
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
    /// Sends the layer of this diff id, which is stored as `blob`.
    async fn send(&self, layer: &Digest, blob: Descriptor) -> Result<Sent> {
        let _turn = turn(&self.permits, "pushing a layer", || self.say(layer, "Waiting")).await?;
        let sent = match self.sent_before(layer).await? {
            Some(blob) => Sent { blob, pin: None, how: "Layer already exists".to_owned() },
            None => self.bring(layer, blob).await?,
        };
        self.say(layer, &sent.how);
        Ok(sent)
    }

    /// The same when no manifest tells that the registry has it.
    async fn bring(&self, layer: &Digest, blob: Descriptor) -> Result<Sent> {
        let Some(packing) = self.packing else {
            let how = self.upload(layer, &blob).await?;
            return Ok(Sent { blob, pin: None, how });
        };
        match self.store.packed_before(&blob, &packing) {
            Some((blob, pin)) => {
                let how = self.upload(layer, &blob).await?;
                Ok(Sent { blob, pin: Some(pin), how })
            }
            None => self.pack(layer, blob, packing).await,
        }
    }

    /// Sends a layer while it is compressed, unless another repository of the registry has it.
    async fn pack(&self, layer: &Digest, blob: Descriptor, packing: Packing) -> Result<Sent> {
        let elsewhere = self.known(layer, packing, Store::sent_elsewhere).await?;
        let mount = elsewhere.as_ref().map(|(sent, path)| (&sent.digest, path.as_str()));
        let begun = upload::begin(&self.session, &self.reference, mount).await;
        let begun = match (begun, elsewhere) {
            (Ok(None), Some((blob, path))) => {
                return Ok(Sent { blob, pin: None, how: upload::mounted(&path) });
            }
            (Ok(begun), _) => begun.filter(Begun::takes_stream),
            // Tried again once there is something to send.
            (Err(error), _) if may_pass(&error) => None,
            (Err(error), _) => return Err(error),
        };
        let mut writer = self.store.blobs().writer()?;
        let written = writer.follow()?;
        let (store, moved) = (self.store.clone(), self.moved(layer, blob.size));
        let packing = tokio::task::spawn_blocking(move || store.pack(&blob, &packing, writer, moved));
        let place = match begun {
            Some(begun) => usable(upload::stream(&self.session, begun, &written).await),
            None => None,
        };
        // Why it can't be compressed is also why what was to be sent broke off.
        let (packed, pin) = packing.await.map_err(|_| Error::Interrupted("compressing a layer"))??;
        let ended = match place {
            Some(place) => usable(upload::end(&self.session, &place, &packed.digest).await),
            None => None,
        };
        let how = match ended {
            Some(()) => upload::PUSHED.to_owned(),
            None => self.upload(layer, &packed).await?,
        };
        Ok(Sent { blob: packed, pin: Some(pin), how })
    }

    /// The layer as the registry got it once and still has it: it needn't be compressed to find that out.
    async fn sent_before(&self, layer: &Digest) -> Result<Option<Descriptor>> {
        let Some(packing) = self.packing else { return Ok(None) };
        let Some(sent) = self.known(layer, packing, Store::sent_before).await? else { return Ok(None) };
        let is_there = exists(&self.session, &self.reference, &sent.digest).await?;
        Ok(is_there.then_some(sent))
    }

    /// What manifests here, which are read by a thread that may block, tell of a layer.
    async fn known<T: Send + 'static>(
        &self,
        layer: &Digest,
        packing: Packing,
        ask: fn(&Store, &Digest, &Packing, &Reference) -> Option<T>,
    ) -> Result<Option<T>> {
        let (store, layer, to) = (self.store.clone(), layer.clone(), self.reference.clone());
        let told = tokio::task::spawn_blocking(move || ask(&store, &layer, &packing, &to));
        told.await.map_err(|_| Error::Interrupted("looking for a layer"))
    }

    async fn upload(&self, layer: &Digest, blob: &Descriptor) -> Result<String> {
        let sources = self.store.repositories_with(&blob.digest, &self.reference);
        let moved = self.moved(layer, blob.size);
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

    /// What tells, now and then, how much of `total` has moved.
    fn moved(&self, layer: &Digest, total: u64) -> impl Fn(u64) + Send + Sync + Clone + use<> {
        let (progress, id) = (self.progress.clone(), layer.short().to_owned());
        let pace = Arc::new(Pace::default());
        move |done| {
            if done == total || pace.is_due() {
                let _ = progress.send(Progress::moved(&id, "Pushing", done, total));
            }
        }
    }

    fn say(&self, layer: &Digest, status: impl Into<String>) {
        let _ = self.progress.send(Progress::say(layer.short(), status));
    }
}

/// What came of a stream; when it failed, the layer is sent in another way.
fn usable<T>(streamed: Result<T>) -> Option<T> {
    streamed.inspect_err(|error| tracing::debug!(%error, "a layer isn't streamed")).ok()
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
