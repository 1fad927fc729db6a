//! What becomes of a result: an image here, a push, an archive or a folder at the client.

use std::collections::HashMap;
use std::os::fd::AsFd;
use std::sync::Arc;

use berth_images::{Digest, Reference};

use super::frontend::{options, session_of};
use super::jobs::{Built, Job};
use super::messages::control::{Exporter, SolveRequest};
use super::{BuildKit, send, sync};
use crate::steps::blocking;
use crate::workspace::Workspace;
use crate::{Error, Result};

/// What the client is told of the result.
type Response = HashMap<String, String>;

/// Exports a result in every way that was asked for.
pub(super) async fn export(
    kit: &Arc<BuildKit>,
    job: &Arc<Job>,
    request: &SolveRequest,
    built: Option<&Built>,
) -> Result<Response> {
    let deprecated = Exporter { kind: request.exporter.clone(), attrs: request.exporter_attrs.clone() };
    let exporters = match request.exporters.as_slice() {
        [] => std::slice::from_ref(&deprecated),
        several => several,
    };
    let mut response = Response::new();
    for exporter in exporters.iter().filter(|exporter| !exporter.kind.is_empty()) {
        let Some(built) = built else { continue };
        let one = match exporter.kind.as_str() {
            "moby" | "image" => image(kit, job, exporter, &dated(kit, exporter, built).await?).await?,
            "docker" | "oci" => archive(kit, job, exporter, &dated(kit, exporter, built).await?).await?,
            "local" => folder(kit, job, built).await?,
            "tar" => tar(kit, job, built).await?,
            other => return Err(Error::Unsupported(format!("exporter {other:?} could not be found"))),
        };
        response.extend(one);
    }
    Ok(response)
}

/// The names that an exporter is given.
fn names(exporter: &Exporter) -> Result<Vec<Reference>> {
    let given = exporter.attrs.get("name").map(String::as_str).unwrap_or_default();
    let names = given.split(',').filter(|name| !name.is_empty() && *name != "*");
    names.map(|name| Ok(name.parse::<Reference>()?.or_latest())).collect()
}

fn is_on(exporter: &Exporter, key: &str) -> bool {
    exporter.attrs.get(key).is_some_and(|value| matches!(value.as_str(), "" | "1" | "true"))
}

/// The result with the times that the exporter asks for; `rewrite-timestamp` is about the files that the build made.
async fn dated(kit: &Arc<BuildKit>, exporter: &Exporter, built: &Built) -> Result<Built> {
    let mut built = built.clone();
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

async fn image(kit: &Arc<BuildKit>, job: &Arc<Job>, exporter: &Exporter, built: &Built) -> Result<Response> {
    let names = names(exporter)?;
    let work = job.progress.start("exporting to image");
    let (store, config, tags) = (kit.builder.store.clone(), built.state.finished(), names.clone());
    let made = blocking(move || {
        let id = store.compose(&config, None)?;
        for tag in &tags {
            store.tag(&id.to_string(), tag)?;
        }
        Ok(id)
    })
    .await;
    if let Ok(id) = &made {
        work.transfer(&format!("writing image {id}"), 0, 0, true);
        for name in &names {
            work.transfer(&format!("naming to {}", name.canonical()), 0, 0, true);
        }
        (kit.told)(&id.to_string(), &names);
    }
    work.end(made.as_ref().err().map(Error::describe).as_deref());
    let id = made?;
    let mut response = told(&id, &names);
    // Since buildx 0.22 also the exporter that it calls "moby" pushes, where a worker names its snapshotter; earlier
    // ones push once more through Docker's API, and find all there.
    if is_on(exporter, "push") {
        for name in &names {
            let digest = push(kit, job, name).await?;
            response.insert("containerimage.digest".to_owned(), digest);
        }
    }
    Ok(response)
}

async fn push(kit: &Arc<BuildKit>, job: &Arc<Job>, name: &Reference) -> Result<String> {
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
    let builder = &kit.builder;
    let pushed = builder.registries.push(&builder.store, name, credentials.as_ref(), &report).await;
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
    exporter: &Exporter,
    built: &Built,
) -> Result<Response> {
    if exporter.attrs.get("tar").is_some_and(|tar| tar == "false") {
        let message = format!("type={} with tar=false isn't supported: give dest= a file", exporter.kind);
        return Err(Error::Unsupported(message));
    }
    let names = names(exporter)?;
    let session = session_of(kit, job).await?;
    let work = job.progress.start(&format!("exporting to {} image format", exporter.kind));
    let (store, config, tags) = (kit.builder.store.clone(), built.state.finished(), names.clone());
    let json = serde_json::to_vec(&config).map_err(|error| Error::Description(error.to_string()))?;
    let id = Digest::of(&json);
    let sent =
        send::file(&session, &[], move |writer| Ok(store.save_composed(&config, &tags, writer)?)).await;
    work.transfer("sending tarball", 0, 0, sent.is_ok());
    work.end(sent.as_ref().err().map(Error::describe).as_deref());
    sent.map(|()| told(&id, &names))
}

/// The files, mounted as long as they are sent.
async fn mounted(kit: &Arc<BuildKit>, built: &Built) -> Result<Workspace> {
    let (builder, files) = (kit.builder.clone(), built.state.files.clone());
    blocking(move || Workspace::open(&builder, &files)).await
}

async fn folder(kit: &Arc<BuildKit>, job: &Arc<Job>, built: &Built) -> Result<Response> {
    let session = session_of(kit, job).await?;
    let work = job.progress.start("exporting to client directory");
    let workspace = mounted(kit, built).await?;
    let sent = send::folder(&session, workspace.root()).await;
    blocking(move || {
        drop(workspace);
        Ok(())
    })
    .await?;
    work.end(sent.as_ref().err().map(Error::describe).as_deref());
    sent.map(|()| Response::new())
}

async fn tar(kit: &Arc<BuildKit>, job: &Arc<Job>, built: &Built) -> Result<Response> {
    let session = session_of(kit, job).await?;
    let work = job.progress.start("exporting to client tarball");
    let workspace = mounted(kit, built).await?;
    let root = workspace.root();
    let sent = send::file(&session, &[], move |writer| {
        let folder = std::fs::File::open(&root).map_err(Error::file("open", &root))?;
        berth_images::export(folder.as_fd(), writer)?;
        drop(workspace);
        Ok(())
    })
    .await;
    work.end(sent.as_ref().err().map(Error::describe).as_deref());
    sent.map(|()| Response::new())
}
