//! `dockerfile.v0`: what a client's options mean, and a build by them.

pub(super) mod options;
mod requests;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use berth_images::{Dress, Platform};
use futures_util::future::join_all;

use super::jobs::{Built, Job};
use super::progress::{Watcher, definition, words};
use super::receive::{self, Wanted};
use super::session::Session;
use super::sync::{self, ClientSources, Contexts, Folder};
use super::{BuildKit, cache, ignored};
use crate::beneath::Root;
use crate::dockerfile::{self, Dockerfile, Place};
use crate::history::Style;
use crate::observe::Observer;
use crate::options::{Grants, Options};
use crate::solve::{self, Build};
use crate::sources::Sources;
use crate::state::State;
use crate::{Error, Result, git};

/// Options as the client gives them.
type Given = HashMap<String, String>;
/// What other builds have made, by the names that the client has for it.
type Inputs = HashMap<String, State>;

/// What a frontend gives back.
pub(super) enum Answer {
    /// What was built, for each platform.
    Images(Vec<Built>),
    /// Words about the Dockerfile, by what they are called.
    About(HashMap<String, Vec<u8>>),
}

/// A Dockerfile as it came, and what came with it.
struct Definition {
    filename: String,
    text: String,
    file: Dockerfile,
    /// The ignore file of this Dockerfile's own.
    own_rules: Option<String>,
    /// The context, when it didn't come by the client's folder.
    remote: Option<Folder>,
}

/// A client's build, and what it asked of the frontend.
struct Asked<'a> {
    kit: &'a Arc<BuildKit>,
    job: &'a Arc<Job>,
    session: Arc<Session>,
    given: &'a Given,
    inputs: &'a Inputs,
}

/// Does what a client's options ask for: a build, or words about its Dockerfile.
pub(super) async fn answer(
    kit: &Arc<BuildKit>,
    job: &Arc<Job>,
    given: &Given,
    inputs: &Inputs,
) -> Result<Answer> {
    let asked = Asked { kit, job, session: session_of(kit, job).await?, given, inputs };
    let granted = Grants::of(&job.entitlements(), kit.builder.settings.allowed)?;
    let options = Options { granted, ..options::read(given)? };
    let mut definition = asked.read().await?;
    if let Some(request) = given.get("requestid").filter(|request| !request.is_empty()) {
        if request == requests::LINT {
            asked.foresee(options.clone(), &mut definition).await?;
        }
        return requests::answer(request, &definition, &options).map(Answer::About);
    }
    asked.build(options, definition).await.map(Answer::Images)
}

impl Asked<'_> {
    /// Fetches the Dockerfile, and the context with it when that isn't the client's folder.
    async fn read(&self) -> Result<Definition> {
        let filename = match self.given.get("filename").map(String::as_str) {
            None | Some("") => "Dockerfile",
            Some(name) => name,
        };
        let remote = self.remote_context().await?;
        let (text, own_rules) = match (&remote, self.given.contains_key("dockerfilekey")) {
            (Some(folder), false) => from_folder(folder, filename)?,
            _ => self.definition_of(filename).await?,
        };
        self.job.progress.set_source(filename, &text);
        let check = self.given.get("build-arg:BUILDKIT_DOCKERFILE_CHECK").map(String::as_str);
        let file = Dockerfile::checked(&text, check).inspect_err(|error| {
            let line = error.line.max(1);
            self.job.progress.fail_at(Place { line, column: 1, end_line: line });
        })?;
        Ok(Definition { filename: filename.to_owned(), text, file, own_rules, remote })
    }

    async fn build(&self, options: Options, mut definition: Definition) -> Result<Vec<Built>> {
        let Self { kit, job, given, .. } = self;
        let imports = cache::imports(kit, job, job.cache()).await?;
        let watcher = Watcher { progress: job.progress.clone(), platform: None };
        let file = &definition.file;
        file.warnings.iter().for_each(|warning| watcher.warns(warning));
        if let Some(why) = file.forbidden(&file.warnings) {
            return Err(Error::Invalid(why));
        }
        let builds = self.prepared(options, &mut definition).await?;
        for import in &imports {
            let work = job.progress.start(&format!("importing cache manifest from {}", import.depot.name()));
            let mut taken = Ok(());
            for build in &builds {
                taken = taken.and(build.import(import).await.map(drop));
            }
            work.end(taken.err().map(|error| words(&error)).as_deref());
        }
        let is_inline =
            given.get("build-arg:BUILDKIT_INLINE_CACHE").is_some_and(|on| on == "1") || job.exports_inline();
        // The first that fails cancels the others; each ends in order.
        let running = builds.iter().cloned().map(|build| async move { build.at_once().await });
        let states = solve::all_or_why(join_all(running).await)?;
        Ok(builds.iter().zip(states).map(|(build, state)| finished(build, state, is_inline)).collect())
    }

    /// The builds that were asked for, one for each platform, with the context on its way.
    async fn prepared(&self, options: Options, definition: &mut Definition) -> Result<Vec<Arc<Build>>> {
        let Self { kit, job, session, given, inputs } = self;
        let remote = definition.remote.take();
        let ignored = match (&remote, &definition.own_rules) {
            (_, Some(rules)) => ignored::patterns(rules),
            (Some(_), None) => Vec::new(),
            (None, None) => {
                let title = "[internal] load .dockerignore";
                ignored::of_client(&kit.builder, session, &job.progress, ("context", title)).await?
            }
        };
        let options = Options { ignored: ignored.clone(), ..options };
        let contexts = given
            .iter()
            .filter_map(|(key, value)| Some((key.strip_prefix("context:")?.to_owned(), value.clone())));
        let contexts = Contexts { addresses: contexts.collect(), inputs: (*inputs).clone() };
        let (builder, session, progress) = (kit.builder.clone(), session.clone(), job.progress.clone());
        let sources = ClientSources::new(builder, session, progress, ignored, contexts, self.keeps_git_dir());
        if let Some(folder) = remote {
            sources.preset(folder).await;
        }
        let sources: Arc<dyn Sources> = Arc::new(sources);
        let build = |(options, platform)| {
            let watcher = Arc::new(Watcher { progress: job.progress.clone(), platform });
            let (builder, file, cancel) = (kit.builder.clone(), definition.file.clone(), job.cancel.clone());
            Build::new(builder, file, options, sources.clone(), watcher, cancel, Style::BuildKit)
        };
        for_each_platform(options, &options::platforms(given)?).into_iter().map(build).collect()
    }

    /// Adds what the build checks find only when they know what stages come to.
    async fn foresee(&self, options: Options, definition: &mut Definition) -> Result<()> {
        let builds = self.prepared(options, definition).await;
        // What can't be built has been looked at as a text.
        let Some(build) = builds.ok().and_then(|builds| builds.into_iter().next()) else { return Ok(()) };
        let found = crate::steps::blocking(move || Ok(build.foreseen())).await?;
        let warnings = &mut definition.file.warnings;
        warnings.extend(found);
        warnings.sort_by_key(|warning| warning.place.line);
        Ok(())
    }

    /// The Dockerfile by the client's folder of its own, and the ignore file beside it.
    async fn definition_of(&self, filename: &str) -> Result<(String, Option<String>)> {
        let name = self.given.get("dockerfilekey").map_or("dockerfile", String::as_str);
        let work = self.job.progress.start(&definition(filename));
        let received = async {
            let folder = Folder::temporary(&self.kit.builder)?;
            let own = format!("{filename}.dockerignore");
            let include = vec![filename.to_owned(), own, filename.to_lowercase()];
            let wanted = Wanted { name, include, exclude: Vec::new() };
            let bytes = receive::receive(&self.session, wanted, &folder, |_| {}).await?;
            work.transfer("transferring dockerfile:", bytes, 0, true);
            from_folder(&folder, filename)
        }
        .await;
        work.end(received.as_ref().err().map(words).as_deref());
        received
    }

    /// Whether repositories come with their `.git` folders.
    fn keeps_git_dir(&self) -> bool {
        let keep = self.given.get("build-arg:BUILDKIT_CONTEXT_KEEP_GIT_DIR");
        keep.is_some_and(|keep| matches!(keep.as_str(), "1" | "true"))
    }

    /// A context that is an address: an archive, or what the client uploads under one.
    async fn remote_context(&self) -> Result<Option<Folder>> {
        let Self { kit, session, given, .. } = self;
        let Some(url) = given.get("context").filter(|url| !url.is_empty()) else { return Ok(None) };
        if git::Address::is_one(url) {
            return sync::checked_out(&kit.builder, session, url, self.keeps_git_dir()).await.map(Some);
        }
        let folder = Folder::temporary(&kit.builder)?;
        let archive = folder.path.with_extension("archive");
        let fetched = if url.starts_with("http://buildkit-session/") {
            super::send::pull_upload(session, url, &archive).await
        } else if url.starts_with("http://") || url.starts_with("https://") {
            let downloaded = kit.builder.registries.download(url, &archive, &|_| {}).await;
            downloaded.map(drop).map_err(Error::from)
        } else {
            Err(Error::Invalid(format!(
                "remote context {url}: expected an address of a repository or an archive"
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
}

/// A build's wishes once for each platform, with what its steps are called by when there are several.
fn for_each_platform(options: Options, platforms: &[Platform]) -> Vec<(Options, Option<String>)> {
    if platforms.len() < 2 {
        return vec![(options, None)];
    }
    let with = |platform: &Platform| {
        (Options { platform: Some(platform.clone()), ..options.clone() }, Some(platform.to_string()))
    };
    platforms.iter().map(with).collect()
}

fn finished(build: &Build, mut state: State, is_inline: bool) -> Built {
    state.run().labels.extend(build.options.labels.clone());
    if is_inline {
        state.config.cache = state.trail.clone();
    }
    Built { own: state.noted(), all: build.noted(), state }
}

/// The session of whoever asked for the build.
pub(super) async fn session_of(kit: &Arc<BuildKit>, job: &Arc<Job>) -> Result<Arc<Session>> {
    let id = job.session();
    tokio::select! {
        found = kit.sessions.find(&id) => found.map_err(|status| Error::Invalid(status.message().to_owned())),
        () = job.cancel.cancelled() => Err(Error::Cancelled),
    }
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

/// Unpacks a context's archive; a text that isn't one is the Dockerfile.
fn unpack(archive: &std::path::Path, folder: &std::path::Path) -> Result<()> {
    let open = || std::fs::File::open(archive).map_err(Error::file("open", archive));
    let unpacked = open().and_then(|file| {
        if berth_images::is_archive(file)? {
            berth_images::extract(open()?, folder, std::path::Path::new(""), Dress::default())?;
            return Ok(());
        }
        let to = folder.join("Dockerfile");
        std::fs::copy(archive, &to).map(drop).map_err(Error::file("write", to))
    });
    drop(std::fs::remove_file(archive));
    unpacked
}

/// Frontends that ours stands in for.
pub(super) fn is_ours(frontend: &str, given: &Given) -> bool {
    let names: BTreeSet<&str> = ["docker/dockerfile", "docker/dockerfile-upstream"].into();
    let source = given.get("source").map(String::as_str).unwrap_or_default();
    let source = source.trim_start_matches("docker.io/").split([':', '@']).next().unwrap_or_default();
    frontend == "dockerfile.v0" || (frontend == "gateway.v0" && names.contains(source))
}
