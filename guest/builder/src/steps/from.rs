//! FROM.

use std::sync::Arc;

use berth_images::registry::{Choice, pulled_status};
use berth_images::{Image, ImageConfig, Platform, Progress, Reference, RemoveOptions};

use super::blocking;
use crate::cache::IMPORTED;
use crate::dockerfile::Copy;
use crate::files::Files;
use crate::history::Style;
use crate::observe::StepName;
use crate::solve::{Base, Build, Outcome};
use crate::sources::{Named, Received};
use crate::state::State;
use crate::{Error, Result};

/// A stage's beginning.
pub(crate) async fn start(build: &Arc<Build>, stage: usize, name: &StepName) -> Result<(State, Outcome)> {
    let platform = build.platform(stage);
    match &build.plan.bases[stage] {
        Base::Stage(base) => {
            let mut state = build.stage(*base).await?;
            // BuildKit's stages have the arguments of the stage that they begin with, too.
            if build.style == Style::Classic {
                state.arguments.clear();
            }
            state.cmd_set = false;
            Ok((state, Outcome::Setting))
        }
        Base::Scratch => Ok((nothing(build, platform), Outcome::Setting)),
        Base::Image(from) | Base::Context(from) => match find(build, name, from, platform.as_ref()).await? {
            Found::Nothing => Ok((nothing(build, platform), Outcome::Setting)),
            Found::Folder(_) => {
                let mut state = nothing(build, platform);
                let outcome = whole_folder(build, stage, name, from, &mut state).await?;
                Ok((state, outcome))
            }
            Found::Image(files, config) => {
                if !build.sources.has(from, platform.as_ref()) {
                    build.check_base(stage, &config)?;
                }
                Ok((of_image(build, files, &config), Outcome::Setting))
            }
        },
    }
}

/// What a name means that no stage has.
pub(super) enum Found {
    /// `scratch`.
    Nothing,
    /// A folder of the client's.
    Folder(Received),
    /// An image.
    Image(Files, Arc<ImageConfig>),
}

/// Finds what a name means: a named context, an image that is here, or the registry's.
pub(super) async fn find(
    build: &Arc<Build>,
    step: &StepName,
    name: &str,
    platform: Option<&Platform>,
) -> Result<Found> {
    let wanted = match build.sources.named(name, platform).await? {
        Some(Named::Folder(folder)) => return Ok(Found::Folder(folder)),
        Some(Named::Here(files, config)) => return Ok(Found::Image(files, config)),
        Some(Named::Image(other)) => other,
        None => name.to_owned(),
    };
    if wanted == "scratch" {
        return Ok(Found::Nothing);
    }
    let image = image(build, step, &wanted, platform).await?;
    Ok(Found::Image(Files::of_image(&image, &build.builder.store), image.config))
}

/// A stage that begins with an image.
pub(crate) fn of_image(build: &Build, files: Files, config: &ImageConfig) -> State {
    let mut state = State::new(files, config.clone(), &config.platform(), build.style);
    state.epoch = build.options.epoch;
    state
}

/// A stage without files.
pub(crate) fn nothing(build: &Build, platform: Option<Platform>) -> State {
    let platform = platform.unwrap_or_else(Platform::local);
    let mut state = State::new(Files::empty(), ImageConfig::default(), &platform, build.style);
    state.epoch = build.options.epoch;
    if build.style == Style::BuildKit {
        state.run().working_dir = "/".to_owned();
    }
    state
}

/// Begins a stage with the files of a named context. History names it as BuildKit's does: by where they are from.
async fn whole_folder(
    build: &Arc<Build>,
    stage: usize,
    step: &StepName,
    context: &str,
    state: &mut State,
) -> Result<Outcome> {
    let whole = Copy {
        from: Some(context.to_owned()),
        sources: vec![".".to_owned()],
        destination: "/".to_owned(),
        ..Copy::default()
    };
    let outcome = super::copy::copy(build, stage, step, &whole, state).await?;
    if let Some(entry) = state.config.history.last_mut() {
        entry.created_by = format!("[context {context}] load from client");
        "buildkit.exporter.image.v0".clone_into(&mut entry.comment);
    }
    Ok(outcome)
}

/// An image by name: one that is here, or the registry's.
async fn image(
    build: &Arc<Build>,
    step: &StepName,
    name: &str,
    platform: Option<&Platform>,
) -> Result<Image> {
    let (store, wanted, asked) = (build.builder.store.clone(), name.to_owned(), platform.cloned());
    let found = blocking(move || {
        let found = store.image(&wanted).ok();
        Ok(found.filter(|image| asked.is_none_or(|asked| asked.distance(&image.config.platform()).is_some())))
    });
    if let Some(image) = found.await?.filter(|_| !build.options.pull) {
        return Ok(image);
    }
    let reference: Reference = name.parse()?;
    let key = match reference.domain() {
        berth_images::DEFAULT_DOMAIN => "https://index.docker.io/v1/",
        domain => domain,
    };
    let credentials = match build.options.credentials.get(key) {
        Some(given) => Some(given.clone()),
        None => build.sources.credentials(reference.domain()).await?,
    };
    let report = |progress: Progress| build.observer.moves(step, &progress);
    let builder = &build.builder;
    let choice = platform.map_or(Choice::Local, Choice::Only);
    let pull = builder.registries.pull(&builder.store, &reference, choice, credentials.as_ref(), &report);
    let pulled = tokio::select! {
        pulled = pull => pulled?,
        () = build.cancel.cancelled() => return Err(Error::Cancelled),
    };
    report(pulled_status(&reference.or_latest(), pulled.is_new));
    let store = builder.store.clone();
    blocking(move || Ok(store.image(&pulled.image.to_string())?)).await
}

/// Takes the steps that an image's build noted in it into the builder's cache; how many there are. The image is
/// fetched when it isn't here, and doesn't stay.
pub(crate) async fn cached_steps(build: &Arc<Build>, name: &str) -> Result<usize> {
    let reference: Reference = name.parse::<Reference>()?.or_latest();
    let builder = build.builder.clone();
    let (store, wanted) = (builder.store.clone(), reference.to_string());
    let here = blocking(move || Ok(store.image(&wanted).ok())).await?;
    let image = match &here {
        Some(image) => image.clone(),
        None => {
            let credentials = build.sources.credentials(reference.domain()).await?;
            let choice = build.options.platform.as_ref().map_or(Choice::Local, Choice::Only);
            let store = builder.store.clone();
            let pull = builder.registries.pull(&store, &reference, choice, credentials.as_ref(), &|_| {});
            let pulled = pull.await?;
            blocking(move || Ok(store.image(&pulled.image.to_string())?)).await?
        }
    };
    let (adopting, is_here) = (builder.clone(), here.is_some());
    let adopted = blocking(move || {
        for step in &image.config.cache {
            if let Some(files) = Files::of_step(&image, &adopting.store, step.layers, step.key.clone()) {
                adopting.store.hold(step.key.hex(), &files.layers)?;
                adopting.cache.adopt(&files, &step.created, IMPORTED)?;
            }
        }
        Ok(image.config.cache.len())
    });
    let adopted = adopted.await;
    if !is_here {
        let (store, name) = (builder.store.clone(), reference.to_string());
        let options = RemoveOptions { force: false, no_prune: true };
        drop(blocking(move || Ok(store.remove(&name, options, &|_| None)?)).await);
    }
    adopted
}
