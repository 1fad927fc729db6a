//! What becomes of a result: an image here, a push, an archive or a folder at the client.

pub(super) mod wishes;

use std::collections::HashMap;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::Arc;

use base64::Engine as _;
use berth_images::{Digest, ImageConfig, Outbound, Platform, Reference, RemoveOptions, Store};

use self::wishes::Wishes;
use super::content::ClientFolder;
use super::frontend::{options, session_of};
use super::jobs::{Built, Job};
use super::messages::control::{Exporter, SolveRequest};
use super::{BuildKit, send, sync};
use crate::depot::Depot as _;
use crate::steps::blocking;
use crate::workspace::Workspace;
use crate::{Builder, Error, Result};

/// What clients call the folder that takes an image's content.
const FOLDER: &str = "export";

/// What the client is told of the result.
type Response = HashMap<String, String>;

/// The exporters that a request names.
fn exporters(request: &SolveRequest) -> Vec<Exporter> {
    let all = match request.exporters.as_slice() {
        [] => vec![Exporter { kind: request.exporter.clone(), attrs: request.exporter_attrs.clone() }],
        several => several.to_vec(),
    };
    all.into_iter().filter(|exporter| !exporter.kind.is_empty()).collect()
}

/// Refuses what can't be exported before anything is built; how many platforms there are is known later.
pub(super) fn check(request: &SolveRequest) -> Result<()> {
    exporters(request).iter().try_for_each(|exporter| Wishes::read(exporter, 2).map(drop))
}

/// Exports a result in every way that was asked for.
pub(super) async fn export(
    kit: &Arc<BuildKit>,
    job: &Arc<Job>,
    request: &SolveRequest,
    built: &[Built],
) -> Result<Response> {
    let mut response = Response::new();
    if built.is_empty() {
        return Ok(response);
    }
    for exporter in &exporters(request) {
        let wishes = Wishes::read(exporter, built.len())?;
        check_platforms(&wishes, built)?;
        let one = match exporter.kind.as_str() {
            "moby" | "image" => image(kit, job, &wishes, &dated(kit, exporter, built).await?).await?,
            "docker" if built.len() > 1 => {
                let message = "docker exporter does not currently support exporting manifest lists";
                return Err(Error::Unsupported(message.to_owned()));
            }
            "docker" | "oci" if wishes.as_folder => {
                layout(kit, job, &exporter.kind, wishes, &dated(kit, exporter, built).await?).await?
            }
            "docker" | "oci" => {
                archive(kit, job, &exporter.kind, wishes, &dated(kit, exporter, built).await?).await?
            }
            "local" => folder(kit, job, built).await?,
            "tar" => tar(kit, job, built).await?,
            other => return Err(wishes::unknown(other)),
        };
        response.extend(one);
    }
    Ok(response)
}

/// Refuses what is said of platforms that aren't built.
fn check_platforms(wishes: &Wishes, built: &[Built]) -> Result<()> {
    let is_built = |platform: &Platform| built.iter().any(|one| one.state.config.platform() == *platform);
    let mut platforms = wishes.outbound.annotations.iter().filter_map(|one| one.platform.as_ref());
    match platforms.find(|platform| !is_built(platform)) {
        Some(platform) => {
            Err(Error::Invalid(format!("invalid annotation: no platform {platform} found in source")))
        }
        None => Ok(()),
    }
}

fn is_on(exporter: &Exporter, key: &str) -> bool {
    exporter.attrs.get(key).is_some_and(|value| matches!(value.as_str(), "" | "1" | "true"))
}

/// The results with the times that the exporter asks for; `rewrite-timestamp` is about the files that the build made.
async fn dated(kit: &Arc<BuildKit>, exporter: &Exporter, built: &[Built]) -> Result<Vec<Built>> {
    let mut all = Vec::with_capacity(built.len());
    for one in built {
        all.push(dated_one(kit, exporter, one.clone()).await?);
    }
    Ok(all)
}

async fn dated_one(kit: &Arc<BuildKit>, exporter: &Exporter, mut built: Built) -> Result<Built> {
    let asked = exporter.attrs.get("source-date-epoch").map(String::as_str).unwrap_or_default();
    built.state.epoch = options::epoch(asked)?.or(built.state.epoch);
    if !is_on(exporter, "rewrite-timestamp") {
        return Ok(built);
    }
    let Some(epoch) = built.state.epoch else {
        let message = "rewrite-timestamp=true needs a time: give --build-arg SOURCE_DATE_EPOCH=…";
        return Err(Error::Invalid(message.to_owned()));
    };
    let (store, unchanged) = (kit.builder.store.clone(), built.state.inherited.layers);
    blocking(move || {
        let (layers, kept) = store.redate(&built.state.files.layers, unchanged, epoch.as_second())?;
        built.state.files = built.state.files.replaced(layers, kept);
        Ok(built)
    })
    .await
}

/// Images here, of which the one for this machine, else the first, gets the names; an index is a registry's alone.
async fn image(kit: &Arc<BuildKit>, job: &Arc<Job>, wishes: &Wishes, built: &[Built]) -> Result<Response> {
    let Wishes { names, dangling, push: is_pushed, passing, outbound, .. } = wishes;
    let work = job.progress.start("exporting to image");
    // What is pushed by its digest has no tag here either.
    let tags = if outbound.by_digest || *passing { Vec::new() } else { names.clone() };
    let dangling = dangling.clone().filter(|_| names.is_empty() && !*passing);
    let store = kit.builder.store.clone();
    let known: Vec<Digest> = store.list().into_iter().map(|image| image.id).collect();
    let configs: Vec<ImageConfig> = built.iter().map(|one| one.state.finished()).collect();
    let made = blocking(move || {
        let ids = configs.iter().map(|config| store.compose(config, None)).collect::<Result<Vec<_>, _>>()?;
        let local = Platform::local();
        let own = configs.iter().position(|config| local.distance(&config.platform()).is_some());
        let named = ids[own.unwrap_or(0)].clone();
        for tag in &tags {
            store.tag(&named.to_string(), tag)?;
        }
        let dangling = dangling.map(|prefix| store.name_by_digest(&named, &prefix)).transpose()?;
        Ok((named, ids, dangling))
    })
    .await;
    if let Ok((id, ids, _)) = &made {
        for id in ids {
            work.transfer(&format!("writing image {id}"), 0, 0, true);
        }
        for name in names {
            work.transfer(&format!("naming to {}", name.canonical()), 0, 0, true);
        }
        if !passing {
            (kit.told)(&id.to_string(), names);
        }
    }
    work.end(made.as_ref().err().map(Error::describe).as_deref());
    let (id, ids, dangling) = made?;
    let _gone = passing.then(|| Passing { store: kit.builder.store.clone(), images: fresh(&ids, &known) });
    let mut response = told(&id, dangling.as_ref().map_or(names.as_slice(), std::slice::from_ref));
    // Since buildx 0.22 also the exporter that it calls "moby" pushes, where a worker names its snapshotter; earlier
    // ones push once more through Docker's API, and find all there.
    if *is_pushed {
        for name in names {
            let digest = push(kit, job, name, &ids, outbound).await?;
            response.insert("containerimage.digest".to_owned(), digest);
        }
    }
    Ok(response)
}

/// Images that are in the store for a push alone. Dropped, they are gone.
struct Passing {
    store: Store,
    images: Vec<Digest>,
}

/// Those that weren't there before.
fn fresh(images: &[Digest], known: &[Digest]) -> Vec<Digest> {
    images.iter().filter(|id| !known.contains(id)).cloned().collect()
}

impl Drop for Passing {
    fn drop(&mut self) {
        for id in self.images.iter().map(Digest::to_string) {
            // Another build may have made the same image meanwhile, and named it.
            let is_nameless = self.store.image(&id).is_ok_and(|image| image.names.is_empty());
            if is_nameless && let Err(error) = self.store.remove(&id, RemoveOptions::default(), &|_| None) {
                tracing::warn!(error = &error as &dyn std::error::Error, "an image that isn't wanted stays");
            }
        }
    }
}

async fn push(
    kit: &Arc<BuildKit>,
    job: &Arc<Job>,
    name: &Reference,
    images: &[Digest],
    outbound: &Outbound,
) -> Result<String> {
    let work = job.progress.start(&format!("pushing {name}"));
    let session = session_of(kit, job).await?;
    let credentials = sync::credentials(&session, name.domain()).await;
    work.transfer("pushing layers", 0, 0, false);
    let report = |progress: berth_images::Progress| {
        if let Some(detail) = progress.detail {
            work.transfer(
                &format!("{} {}", progress.status, progress.id),
                detail.current,
                detail.total,
                false,
            );
        }
    };
    let (store, registries, credentials) =
        (&kit.builder.store, &kit.builder.registries, credentials.as_ref());
    let pushed = registries.push_images(store, name, images, outbound, credentials, &report).await;
    let pushed = pushed.map_err(Error::from);
    work.transfer("pushing layers", 0, 0, pushed.is_ok());
    work.end(pushed.as_ref().err().map(Error::describe).as_deref());
    Ok(pushed?.digest.to_string())
}

fn told(id: &Digest, names: &[Reference]) -> Response {
    let mut response = Response::from([
        ("containerimage.digest".to_owned(), id.to_string()),
        ("containerimage.config.digest".to_owned(), id.to_string()),
    ]);
    if !names.is_empty() {
        let names: Vec<String> = names.iter().map(Reference::canonical).collect();
        response.insert("image.name".to_owned(), names.join(","));
    }
    response
}

/// An archive of the image, which isn't kept here.
async fn archive(
    kit: &Arc<BuildKit>,
    job: &Arc<Job>,
    kind: &str,
    Wishes { names, outbound, .. }: Wishes,
    built: &[Built],
) -> Result<Response> {
    let session = session_of(kit, job).await?;
    let work = job.progress.start(&format!("exporting to {kind} image format"));
    let (store, tags) = (kit.builder.store.clone(), names.clone());
    let configs: Vec<ImageConfig> = built.iter().map(|one| one.state.finished()).collect();
    let json = serde_json::to_vec(&configs[0]).map_err(|error| Error::Description(error.to_string()))?;
    let id = Digest::of(&json);
    let sent =
        send::file(&session, &[], move |writer| Ok(store.save_composed(&configs, &tags, &outbound, writer)?))
            .await;
    work.transfer("sending tarball", 0, 0, sent.is_ok());
    work.end(sent.as_ref().err().map(Error::describe).as_deref());
    sent.map(|()| told(&id, &names))
}

/// The content of an image, into a folder of the client's, which notes it in its index.
async fn layout(
    kit: &Arc<BuildKit>,
    job: &Arc<Job>,
    kind: &str,
    Wishes { names, outbound, .. }: Wishes,
    built: &[Built],
) -> Result<Response> {
    let session = session_of(kit, job).await?;
    let folder = ClientFolder::new(session, FOLDER, FOLDER.to_owned(), None)?;
    let work = job.progress.start(&format!("exporting to {kind} image format"));
    let configs: Vec<ImageConfig> = built.iter().map(|one| one.state.finished()).collect();
    let store = kit.builder.store.clone();
    let sending = async {
        let made = store.clone();
        let layout = blocking(move || Ok(made.layout(&configs, &outbound)?)).await?;
        for blob in &layout.blobs {
            folder.send(&store, blob).await?;
        }
        Ok::<_, Error>((layout.digest().clone(), layout.descriptor()?))
    };
    let sent = sending.await;
    work.transfer("sending content", 0, 0, sent.is_ok());
    work.end(sent.as_ref().err().map(Error::describe).as_deref());
    let (digest, descriptor) = sent?;
    let mut response = told(&digest, &names);
    let descriptor = base64::engine::general_purpose::STANDARD.encode(descriptor);
    response.insert("containerimage.descriptor".to_owned(), descriptor);
    Ok(response)
}

/// The files, mounted as long as they are sent: of one build all, of several each below its platform's name.
struct Mounted {
    folder: PathBuf,
    workspaces: Vec<Workspace>,
}

impl Mounted {
    /// Blocks.
    fn open(builder: &Arc<Builder>, built: &[Built]) -> Result<Self> {
        let folder = builder.exec_root.join(format!("export-{}", crate::identity::fresh()?));
        let mut mounted = Self { folder, workspaces: Vec::new() };
        for one in built {
            let workspace = Workspace::open(builder, &one.state.files)?;
            if built.len() > 1 {
                let place = mounted.folder.join(one.state.config.platform().to_string().replace('/', "_"));
                std::fs::create_dir_all(&place).map_err(Error::file("make folder", &place))?;
                let bound = rustix::mount::mount_bind(workspace.root(), &place);
                bound.map_err(|error| Error::file("bind to", &place)(error.into()))?;
            }
            mounted.workspaces.push(workspace);
        }
        Ok(mounted)
    }

    fn root(&self) -> PathBuf {
        match self.workspaces.as_slice() {
            [one] => one.root().to_owned(),
            _ => self.folder.clone(),
        }
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        for place in std::fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            let _ = rustix::mount::unmount(place.path(), rustix::mount::UnmountFlags::DETACH);
            // Empty, or still mounted: then it stays.
            drop(std::fs::remove_dir(place.path()));
        }
        drop(std::fs::remove_dir(&self.folder));
    }
}

async fn mounted(kit: &Arc<BuildKit>, built: &[Built]) -> Result<Mounted> {
    let (builder, built) = (kit.builder.clone(), built.to_vec());
    blocking(move || Mounted::open(&builder, &built)).await
}

async fn folder(kit: &Arc<BuildKit>, job: &Arc<Job>, built: &[Built]) -> Result<Response> {
    let session = session_of(kit, job).await?;
    let work = job.progress.start("exporting to client directory");
    let mounted = mounted(kit, built).await?;
    let sent = send::folder(&session, mounted.root()).await;
    blocking(move || {
        drop(mounted);
        Ok(())
    })
    .await?;
    work.end(sent.as_ref().err().map(Error::describe).as_deref());
    sent.map(|()| Response::new())
}

async fn tar(kit: &Arc<BuildKit>, job: &Arc<Job>, built: &[Built]) -> Result<Response> {
    let session = session_of(kit, job).await?;
    let work = job.progress.start("exporting to client tarball");
    let mounted = mounted(kit, built).await?;
    let root = mounted.root();
    let sent = send::file(&session, &[], move |writer| {
        let folder = std::fs::File::open(&root).map_err(Error::file("open", &root))?;
        berth_images::export(folder.as_fd(), writer)?;
        drop(mounted);
        Ok(())
    })
    .await;
    work.end(sent.as_ref().err().map(Error::describe).as_deref());
    sent.map(|()| Response::new())
}
