//! Pulling: manifest, configuration, layers, each layer unpacked while it comes.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use hyper::Method;
use hyper::header::{ACCEPT, CONTENT_TYPE};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;

use super::download::{self, blocking};
use super::in_flight::{InFlight, turn};
use super::session::{self, Ask, Session};
use super::{Choice, Options, Pulled, Remote, Report};
use crate::growth::{Follower, Growing, Growth};
use crate::manifest::{self, Descriptor, Document, Manifest};
use crate::progress::Pace;
use crate::{Digest, Error, ImageConfig, Platform, Progress, Reference, Result, Store, digest, unpack};

/// Layers unpacked at a time: each keeps two threads and the disk busy.
const UNPACKINGS: usize = 2;
/// Indexes within indexes; one is usual.
const DEPTH: usize = 3;

/// One pull under way.
pub(super) struct Pull<'a> {
    pub(super) session: Arc<Session>,
    pub(super) store: &'a Store,
    pub(super) reference: &'a Reference,
    pub(super) choice: Choice<'a>,
    pub(super) in_flight: &'a InFlight,
    pub(super) options: &'a Options,
    pub(super) report: Report<'a>,
}

/// A manifest with its bytes.
pub(super) struct Fetched {
    pub(super) json: Vec<u8>,
    digest: Digest,
    media_type: String,
    document: Document,
}

impl Pull<'_> {
    /// Runs the whole pull.
    pub(super) async fn run(&self) -> Result<Pulled> {
        let wanted = match (self.reference.digest(), self.reference.tag()) {
            (Some(digest), _) => digest.to_string(),
            (None, tag) => tag.unwrap_or(crate::DEFAULT_TAG).to_owned(),
        };
        let top = self.manifest(&wanted).await?;
        self.say(&wanted, format!("Pulling from {}", self.reference.path()));
        let top_digest = top.digest.clone();
        let _manifests = self.store.pin([top_digest.clone()]);
        self.store.blobs().put(&top.json)?;
        let manifest = self.image_manifest(top).await?;
        let _config = self.store.pin([manifest.config.digest.clone()]);
        let (config_json, config) = self.config_once(&manifest).await?;
        let blobs = self.layers(&manifest, &config.rootfs.diff_ids).await?;
        let (store, reference) = (self.store.clone(), self.reference.clone());
        let digest = top_digest.clone();
        let (image, is_new) =
            blocking("recording the image", move || record(&store, &reference, &digest, &config_json, blobs))
                .await?;
        self.say("", format!("Digest: {top_digest}"));
        Ok(Pulled { image, digest: top_digest, platform: config.platform(), is_new })
    }

    /// Reads the manifest, and of an image without choice the configuration, for its platform.
    pub(super) async fn look(&self) -> Result<Remote> {
        let wanted = match (self.reference.digest(), self.reference.tag()) {
            (Some(digest), _) => digest.to_string(),
            (None, tag) => tag.unwrap_or(crate::DEFAULT_TAG).to_owned(),
        };
        let Fetched { json, digest, media_type, document } = self.manifest(&wanted).await?;
        let platforms = match document {
            Document::Index(index) => index.platforms(),
            Document::Manifest(manifest) => vec![self.config(&manifest).await?.1.platform()],
        };
        Ok(Remote { media_type, digest, size: json.len(), platforms })
    }

    fn say(&self, id: &str, status: impl Into<String>) {
        (self.report)(Progress::say(id, status));
    }

    async fn manifest(&self, wanted: &str) -> Result<Fetched> {
        fetch_manifest(&self.session, self.reference, wanted).await
    }

    /// Follows indexes to the manifest for the wanted platform.
    async fn image_manifest(&self, mut fetched: Fetched) -> Result<Manifest> {
        for _ in 0..DEPTH {
            let index = match fetched.document {
                Document::Manifest(manifest) => return Ok(manifest),
                Document::Index(index) => index,
            };
            let platform = match self.choice {
                Choice::Local => Platform::local(),
                Choice::Prefer(platform) | Choice::Only(platform) => platform.clone(),
            };
            let chosen = index
                .choose(&platform)
                .ok_or_else(|| Error::NoPlatform { platform: platform.to_string() })?;
            fetched = self.manifest(&chosen.digest.to_string()).await?;
        }
        match fetched.document {
            Document::Manifest(manifest) => Ok(manifest),
            Document::Index(_) => {
                Err(Error::UnsupportedManifest("an index within too many others".to_owned()))
            }
        }
    }

    /// The same as [`Self::config`], kept for other pulls of it. It must be pinned.
    async fn config_once(&self, manifest: &Manifest) -> Result<(Vec<u8>, ImageConfig)> {
        let lock = self.in_flight.lock_of(&manifest.config.digest);
        let _alone = lock.lock().await;
        let found = self.config(manifest).await?;
        self.store.blobs().put(&found.0)?;
        Ok(found)
    }

    /// The image's configuration, with its bytes.
    async fn config(&self, manifest: &Manifest) -> Result<(Vec<u8>, ImageConfig)> {
        let wanted = &manifest.config;
        if wanted.size > manifest::MANIFEST_LARGEST as u64 {
            return Err(Error::UnsupportedManifest(wanted.media_type.clone()));
        }
        let json = match self.store.blobs().read(&wanted.digest) {
            Ok(json) => json,
            Err(_) => {
                let target = format!("/v2/{}/blobs/{}", self.reference.path(), wanted.digest);
                let response = self.session.ask(&Ask::new(Method::GET, &target)).await?;
                if !response.status().is_success() {
                    return Err(session::refusal(response).await.into_error(self.reference));
                }
                session::read(response, manifest::MANIFEST_LARGEST).await?.to_vec()
            }
        };
        let found = Digest::of(&json);
        if found != wanted.digest {
            let expected = wanted.digest.clone();
            return Err(Error::WrongDigest { subject: "image configuration", expected, found });
        }
        let config = ImageConfig::parse(&json)?;
        if let Choice::Only(wanted) = self.choice
            && let Some(other) = super::not_for(self.reference, &config.platform(), wanted)
        {
            return Err(other);
        }
        let (layers, diff_ids) = (manifest.layers.len(), config.rootfs.diff_ids.len());
        if layers != diff_ids {
            return Err(Error::LayerCount { layers, diff_ids });
        }
        Ok((json, config))
    }

    /// Brings every layer into the store and says which blobs they are there.
    async fn layers(&self, manifest: &Manifest, diff_ids: &[Digest]) -> Result<Vec<Descriptor>> {
        let chain = digest::chain_ids(diff_ids);
        let blobs = manifest.layers.iter().map(|layer| layer.digest.clone());
        let _pin = self.store.pin(chain.iter().cloned().chain(blobs));
        // Of an image that is here nothing is told but that it is.
        let is_here = self.store.image(&manifest.config.digest.to_string()).is_ok();
        let (sender, mut progress) = mpsc::unbounded_channel();
        let limits = Limits {
            downloads: Semaphore::new(self.options.downloads).into(),
            unpackings: Semaphore::new(UNPACKINGS).into(),
        };
        let mut tasks = JoinSet::new();
        let mut result: Vec<Descriptor> = manifest.layers.clone();
        for (index, (layer, diff_id)) in manifest.layers.iter().zip(diff_ids).enumerate() {
            let id = layer.digest.short().to_owned();
            if let Some(present) = self.present(&chain[index], layer) {
                if !is_here {
                    self.say(&id, "Already exists");
                }
                result[index] = present;
                continue;
            }
            self.say(&id, "Pulling fs layer");
            let task = LayerTask {
                id,
                layer: layer.clone(),
                diff_id: diff_id.clone(),
                parent: index.checked_sub(1).map(|below| chain[below].clone()),
                session: Arc::clone(&self.session),
                store: self.store.clone(),
                reference: self.reference.clone(),
                in_flight: self.in_flight.clone(),
                attempts: self.options.attempts,
                progress: sender.clone(),
            };
            let limits = limits.clone();
            tasks.spawn(async move { task.run(&limits).await });
        }
        drop(sender);
        // The channel ends with its last task.
        while let Some(line) = progress.recv().await {
            (self.report)(line);
        }
        while let Some(done) = tasks.join_next().await {
            done.map_err(|_| Error::Interrupted("pulling a layer"))??;
        }
        Ok(result)
    }

    /// The blob of a layer that is unpacked already, this or the one it came in.
    fn present(&self, chain_id: &Digest, layer: &Descriptor) -> Option<Descriptor> {
        self.store.layers().get(chain_id)?;
        if self.store.blobs().size(&layer.digest).is_some() {
            return Some(layer.clone());
        }
        self.store.blob_of_layer(chain_id)
    }
}

/// Fetches the manifest or index that `wanted`, a tag or digest, names in a repository.
pub(super) async fn fetch_manifest(
    session: &Session,
    reference: &Reference,
    wanted: &str,
) -> Result<Fetched> {
    let target = format!("/v2/{}/manifests/{wanted}", reference.path());
    let accept =
        [manifest::OCI_INDEX, manifest::DOCKER_LIST, manifest::OCI_MANIFEST, manifest::DOCKER_MANIFEST];
    let accept = accept.join(", ");
    let headers = [(ACCEPT, accept.as_str())];
    let response = session.ask(&Ask { method: Method::GET, target: &target, headers: &headers }).await?;
    if !response.status().is_success() {
        return Err(session::refusal(response).await.into_error(reference));
    }
    let media_type = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let media_type = media_type.unwrap_or_default().split(';').next().unwrap_or_default().trim().to_owned();
    let json = session::read(response, manifest::MANIFEST_LARGEST).await?.to_vec();
    let digest = Digest::of(&json);
    if let Ok(expected) = wanted.parse::<Digest>()
        && expected != digest
    {
        return Err(Error::WrongDigest { subject: "manifest", expected, found: digest });
    }
    let document = Document::parse(&json, &media_type)?;
    Ok(Fetched { json, digest, media_type, document })
}

/// Records the image under its names; says whether the name meant another before.
fn record(
    store: &Store,
    reference: &Reference,
    digest: &Digest,
    config_json: &[u8],
    blobs: Vec<Descriptor>,
) -> Result<(Digest, bool)> {
    let _config = store.pin([Digest::of(config_json)]);
    let id = store.add_image(config_json, blobs, None)?;
    let mut state = store.state();
    let by_digest = reference.with_digest(digest.clone());
    let name = if reference.digest().is_some() { by_digest.clone() } else { reference.clone().or_latest() };
    let is_new = state.names.get(&name) != Some(&id);
    store.set_name(&mut state, by_digest, &id)?;
    store.set_name(&mut state, name, &id)?;
    Ok((id, is_new))
}

#[derive(Clone)]
struct Limits {
    downloads: Arc<Semaphore>,
    unpackings: Arc<Semaphore>,
}

/// One layer under way, in a task of its own.
struct LayerTask {
    id: String,
    layer: Descriptor,
    diff_id: Digest,
    parent: Option<Digest>,
    session: Arc<Session>,
    store: Store,
    reference: Reference,
    in_flight: InFlight,
    attempts: u32,
    progress: mpsc::UnboundedSender<Progress>,
}

impl LayerTask {
    async fn run(self, limits: &Limits) -> Result<()> {
        let closed = |_| Error::Interrupted("pulling a layer");
        let lock = self.in_flight.lock_of(&self.layer.digest);
        let task = Arc::new(self);
        let brought = {
            let _alone = lock.lock().await;
            if task.store.blobs().size(&task.layer.digest) == Some(task.layer.size) {
                Ok(false)
            } else {
                let stream = || task.clone().stream(limits);
                download::begun_or_afresh(&task.store, &task.layer.digest, stream).await.map(|()| true)
            }
        };
        if !brought? {
            task.say("Download complete");
            let _permit = limits.unpackings.acquire().await.map_err(closed)?;
            let blob = task.store.blobs().open_blob(&task.layer.digest)?;
            task.clone().unpack(blob, Arc::new(Growth::ended())).await?;
        }
        task.say("Pull complete");
        Ok(())
    }

    /// Downloads the layer, and unpacks it meanwhile as soon as that is its turn.
    async fn stream(self: Arc<Self>, limits: &Limits) -> Result<()> {
        let closed = |_| Error::Interrupted("pulling a layer");
        let turn = turn(&limits.downloads, "pulling a layer", || self.say("Waiting")).await?;
        let growth = Arc::<Growth>::default();
        let partial = self.store.blobs().partial_path(&self.layer.digest);
        let open = File::options().read(true).append(true).create(true).open(&partial);
        let file = open.map_err(Error::file("open", partial))?;
        let follower = Follower::new(file, growth.clone());
        let (downloading, growing) = (self.clone(), Growing(growth.clone()));
        let download = async move {
            downloading.download(&growing.0).await?;
            growing.finish();
            drop(turn);
            downloading.say("Download complete");
            Ok::<(), Error>(())
        };
        let unpacking = async {
            let _permit = limits.unpackings.acquire().await.map_err(closed)?;
            self.clone().unpack(follower, growth.clone()).await
        };
        let (downloaded, unpacked) = tokio::join!(download, unpacking);
        // A layer that was cut off can't be unpacked either: the first reason counts.
        downloaded.and(unpacked)
    }

    async fn download(&self, growth: &Arc<Growth>) -> Result<()> {
        let pace = Pace::default();
        let moved = |done: u64| {
            if pace.is_due() {
                self.moved("Downloading", done);
            }
        };
        let Self { session, store, reference, layer, attempts, .. } = self;
        download::blob(session, store, reference, layer, *attempts, growth, &moved).await?;
        self.say("Verifying Checksum");
        Ok(())
    }

    /// Unpacks the layer from its blob; tells how far that is once all of the blob is there.
    async fn unpack(self: Arc<Self>, blob: impl Read + Send + 'static, growth: Arc<Growth>) -> Result<()> {
        blocking("unpacking a layer", move || {
            let blob = Watched { inner: blob, done: 0, pace: Pace::default(), growth, task: &self };
            let unpack = |folder: &Path| unpack::unpack(blob, folder, &unpack::Limits::default());
            self.store.layers().ensure(self.parent.as_ref(), &self.diff_id, unpack).map(drop)
        })
        .await
    }

    fn say(&self, status: &str) {
        // Nobody listening any more is fine.
        let _ = self.progress.send(Progress::say(&self.id, status));
    }

    fn moved(&self, status: &str, done: u64) {
        let _ = self.progress.send(Progress::moved(&self.id, status, done, self.layer.size));
    }
}

/// Tells how far unpacking has read.
struct Watched<'a, R> {
    inner: R,
    done: u64,
    pace: Pace,
    growth: Arc<Growth>,
    task: &'a LayerTask,
}

impl<R: Read> Read for Watched<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.done += count as u64;
        // Until then the download has the line.
        if self.growth.is_whole() && self.pace.is_due() {
            self.task.moved("Extracting", self.done);
        }
        Ok(count)
    }
}
