//! `dockerfile.v0`: what a client's options mean, and a build by them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use berth_images::Platform;

use super::BuildKit;
use super::jobs::{Built, Job};
use super::progress::{Watcher, definition, words};
use super::receive::{self, Wanted};
use super::session::Session;
use super::sync::{self, ClientSources, Folder};
use crate::beneath::Root;
use crate::dockerfile::{self, Dockerfile};
use crate::history::Style;
use crate::observe::Observer;
use crate::options::{Limits, Options};
use crate::solve::Build;
use crate::sources::Sources;
use crate::{Error, Result};

/// Options as the client gives them.
type Given = HashMap<String, String>;

/// Builds by a client's options.
pub(super) async fn dockerfile(kit: &Arc<BuildKit>, job: &Arc<Job>, given: &Given) -> Result<Built> {
    if let Some(request) = given.get("requestid").filter(|request| !request.is_empty()) {
        return Err(Error::Unsupported(format!(
            "the Dockerfile frontend's {request:?} isn't supported by this engine"
        )));
    }
    let session = session_of(kit, job).await?;
    let mut options = options(given)?;
    options.cache_imports = job.cache_imports()?;
    let filename = match given.get("filename").map(String::as_str) {
        None | Some("") => "Dockerfile",
        Some(name) => name,
    };
    let remote = remote_context(kit, &session, given).await?;
    let (text, own_rules) = match (&remote, given.contains_key("dockerfilekey")) {
        (Some(folder), false) => from_folder(folder, filename)?,
        _ => definition_of(kit, job, &session, given, filename).await?,
    };
    job.progress.set_source(filename, &text);
    let file = Dockerfile::parse(&text)?;
    let watcher = Arc::new(Watcher { progress: job.progress.clone() });
    file.warnings.iter().for_each(|warning| watcher.warns(warning));
    let ignored = match (&remote, own_rules) {
        (_, Some(rules)) => patterns(&rules),
        (Some(_), None) => Vec::new(),
        (None, None) => ignore_file(kit, job, &session).await?,
    };
    let contexts = given
        .iter()
        .filter_map(|(key, value)| Some((key.strip_prefix("context:")?.to_owned(), value.clone())));
    let contexts: BTreeMap<String, String> = contexts.collect();
    let sources = ClientSources::new(kit.builder.clone(), session, job.progress.clone(), ignored, contexts);
    if let Some(folder) = remote {
        sources.preset(folder).await;
    }
    let sources: Arc<dyn Sources> = Arc::new(sources);
    let labels = options.labels.clone();
    let build = Build::new(
        kit.builder.clone(),
        file,
        options,
        sources,
        watcher,
        job.cancel.clone(),
        Style::BuildKit,
    )?;
    if !build.options.cache_imports.is_empty() {
        for (name, taken) in build.import_cache().await {
            let work = job.progress.start(&format!("importing cache from {name}"));
            work.end(taken.err().map(|error| words(&error)).as_deref());
        }
    }
    let mut state = build.at_once().await?;
    state.run().labels.extend(labels);
    if given.get("build-arg:BUILDKIT_INLINE_CACHE").is_some_and(|on| on == "1") || job.exports_inline() {
        state.config.cache = state.trail.clone();
    }
    Ok(Built { state })
}

/// The session of whoever asked for the build.
pub(super) async fn session_of(kit: &Arc<BuildKit>, job: &Arc<Job>) -> Result<Arc<Session>> {
    let id = job.session();
    tokio::select! {
        found = kit.sessions.find(&id) => found.map_err(|status| Error::Invalid(status.message().to_owned())),
        () = job.cancel.cancelled() => Err(Error::Cancelled),
    }
}

/// The Dockerfile by the client's folder of its own, and the ignore file beside it.
async fn definition_of(
    kit: &Arc<BuildKit>,
    job: &Arc<Job>,
    session: &Session,
    given: &Given,
    filename: &str,
) -> Result<(String, Option<String>)> {
    let name = given.get("dockerfilekey").map_or("dockerfile", String::as_str);
    let work = job.progress.start(&definition(filename));
    let received = async {
        let folder = Folder::temporary(&kit.builder)?;
        let own = format!("{filename}.dockerignore");
        let include = vec![filename.to_owned(), own, filename.to_lowercase()];
        let wanted = Wanted { name, include, exclude: Vec::new() };
        let bytes = receive::receive(session, wanted, &folder.path, |_| {}).await?;
        work.transfer("transferring dockerfile:", bytes, 0, true);
        from_folder(&folder, filename)
    }
    .await;
    work.end(received.as_ref().err().map(words).as_deref());
    received
}

/// The Dockerfile in a folder, and the ignore file of its own.
fn from_folder(folder: &Folder, filename: &str) -> Result<(String, Option<String>)> {
    let root = Root::open(&folder.path).map_err(Error::file("open", &folder.path))?;
    let read = |name: &str| root.text(name, dockerfile::LONGEST as u64 + 1);
    let text = read(filename).or_else(|| read(&filename.to_lowercase()));
    let missing =
        || Error::Invalid(format!("failed to read dockerfile: open {filename}: no such file or directory"));
    Ok((text.ok_or_else(missing)?, read(&format!("{filename}.dockerignore"))))
}

async fn ignore_file(kit: &Arc<BuildKit>, job: &Arc<Job>, session: &Session) -> Result<Vec<String>> {
    const NAME: &str = ".dockerignore";
    let work = job.progress.start("[internal] load .dockerignore");
    let received = async {
        let folder = Folder::temporary(&kit.builder)?;
        let wanted = Wanted { name: "context", include: vec![NAME.to_owned()], exclude: Vec::new() };
        let bytes = receive::receive(session, wanted, &folder.path, |_| {}).await?;
        work.transfer("transferring context:", bytes, 0, true);
        if !sync::is_filled(&folder.path) {
            return Ok(Vec::new());
        }
        let root = Root::open(&folder.path).map_err(Error::file("open", &folder.path))?;
        Ok(root.text(NAME, dockerfile::LONGEST as u64).as_deref().map(patterns).unwrap_or_default())
    }
    .await;
    work.end(received.as_ref().err().map(words).as_deref());
    received
}

fn patterns(text: &str) -> Vec<String> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let cleaned = lines.map(|line| match line.strip_prefix('!') {
        Some(rest) => format!("!{}", crate::beneath::clean(rest.trim())),
        None => crate::beneath::clean(line),
    });
    cleaned.filter(|line| !line.is_empty() && line != "!").collect()
}

/// A context that is an address: an archive, or what the client uploads under one.
async fn remote_context(kit: &Arc<BuildKit>, session: &Session, given: &Given) -> Result<Option<Folder>> {
    let Some(url) = given.get("context").filter(|url| !url.is_empty()) else { return Ok(None) };
    let folder = Folder::temporary(&kit.builder)?;
    let archive = folder.path.with_extension("archive");
    let fetched = if url.starts_with("http://buildkit-session/") {
        super::send::pull_upload(session, url, &archive).await
    } else if url.starts_with("http://") || url.starts_with("https://") {
        let downloaded = kit.builder.registries.download(url, &archive, &|_| {}).await;
        downloaded.map(drop).map_err(Error::from)
    } else {
        Err(Error::Unsupported(format!(
            "remote context {url}: git repositories aren't supported by this engine"
        )))
    };
    let path = folder.path.clone();
    let unpacked = match fetched {
        Ok(()) => crate::steps::blocking(move || unpack(&archive, &path)).await,
        Err(error) => {
            drop(std::fs::remove_file(&archive));
            Err(error)
        }
    };
    unpacked.map(|()| Some(folder))
}

/// Unpacks a context's archive; a text that isn't one is the Dockerfile.
fn unpack(archive: &std::path::Path, folder: &std::path::Path) -> Result<()> {
    let open = || std::fs::File::open(archive).map_err(Error::file("open", archive));
    let unpacked = open().and_then(|file| {
        if berth_images::is_archive(file)? {
            berth_images::extract(open()?, folder, std::path::Path::new(""))?;
            return Ok(());
        }
        let to = folder.join("Dockerfile");
        std::fs::copy(archive, &to).map(drop).map_err(Error::file("write", to))
    });
    drop(std::fs::remove_file(archive));
    unpacked
}

/// What the options say.
fn options(given: &Given) -> Result<Options> {
    let text = |key: &str| given.get(key).map(String::as_str).unwrap_or_default();
    let with_prefix = |prefix: &str| -> BTreeMap<String, String> {
        let found = given
            .iter()
            .filter_map(|(key, value)| Some((key.strip_prefix(prefix)?.to_owned(), value.clone())));
        found.collect()
    };
    let platforms: Vec<&str> = text("platform").split(',').filter(|platform| !platform.is_empty()).collect();
    let platform: Option<Platform> = match platforms.as_slice() {
        [] => None,
        [one] => Some(one.parse()?),
        _ => {
            let message = "several platforms at once aren't supported by this engine: build them one by one";
            return Err(Error::Unsupported(message.to_owned()));
        }
    };
    if let Some(platform) = &platform
        && Platform::local().distance(platform).is_none()
    {
        tracing::debug!(%platform, "a build for another platform: what it runs needs an interpreter");
    }
    let no_cache = given.get("no-cache");
    let hosts = text("add-hosts").split(',').filter(|host| !host.is_empty()).map(str::to_owned).collect();
    Ok(Options {
        target: given.get("target").cloned().filter(|target| !target.is_empty()),
        arguments: with_prefix("build-arg:").into_iter().map(|(name, value)| (name, Some(value))).collect(),
        labels: with_prefix("label:"),
        no_cache: no_cache.is_some_and(String::is_empty),
        no_cache_stages: no_cache
            .map(|stages| stages.split(',').map(str::to_owned).collect())
            .unwrap_or_default(),
        pull: text("image-resolve-mode") == "pull",
        platform,
        network: text("force-network-mode").to_owned(),
        extra_hosts: hosts,
        shm_size: text("shm-size").parse().unwrap_or(0),
        limits: Limits { ulimits: ulimits(text("ulimit"))?, ..Limits::default() },
        ..Options::default()
    })
}

/// `nofile=1024:2048,nproc=…`
fn ulimits(text: &str) -> Result<Vec<(String, u64, u64)>> {
    let invalid = |limit: &str| Error::Invalid(format!("invalid ulimit: {limit}"));
    let parse = |limit: &str| {
        let (name, values) = limit.split_once('=').ok_or_else(|| invalid(limit))?;
        let (soft, hard) = values.split_once(':').unwrap_or((values, values));
        let number = |value: &str| value.parse::<i64>().map(|value| u64::try_from(value).unwrap_or(u64::MAX));
        let (soft, hard) =
            (number(soft).map_err(|_| invalid(limit))?, number(hard).map_err(|_| invalid(limit))?);
        Ok((name.to_owned(), soft, hard))
    };
    text.split(',').filter(|limit| !limit.is_empty()).map(parse).collect()
}

/// Frontends that ours stands in for.
pub(super) fn is_ours(frontend: &str, given: &Given) -> bool {
    let names: BTreeSet<&str> = ["docker/dockerfile", "docker/dockerfile-upstream"].into();
    let source = given.get("source").map(String::as_str).unwrap_or_default();
    let source = source.trim_start_matches("docker.io/").split([':', '@']).next().unwrap_or_default();
    frontend == "dockerfile.v0" || (frontend == "gateway.v0" && names.contains(source))
}
