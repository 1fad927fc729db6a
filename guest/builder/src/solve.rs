//! Walks the stages that the target needs: each from its base through its steps, independent ones at once.

mod checks;
mod plan;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use berth_images::{Digest, Platform};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio::sync::OnceCell;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::depot::{Depot, Noted, Remote};
use crate::dockerfile::{self, Dockerfile, Expanded, Instruction, Lexer, Purpose, Step};
use crate::files::Files;
use crate::history::Style;
use crate::observe::{Observer, StepName};
use crate::options::Options;
use crate::sources::Sources;
use crate::state::State;
use crate::steps;
use crate::{Builder, Error, Result};

pub(crate) use plan::{Base, Plan, source};

/// How a step came to its result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It only changed the configuration.
    Setting,
    /// Its files were in the cache.
    Cached,
    /// Its files were made.
    Made,
}

/// One build.
pub(crate) struct Build {
    pub(crate) builder: Arc<Builder>,
    pub(crate) file: Dockerfile,
    pub(crate) options: Options,
    pub(crate) sources: Arc<dyn Sources>,
    pub(crate) observer: Arc<dyn Observer>,
    pub(crate) cancel: CancellationToken,
    pub(crate) style: Style,
    pub(crate) plan: Plan,
    stages: Vec<OnceCell<Result<State, Arc<Error>>>>,
    /// Caches elsewhere, whose layers come when they are asked for.
    imported: Mutex<Vec<Arc<Remote>>>,
    /// What stages begin with and no step was run on yet, by the files' key.
    untouched: Mutex<HashMap<Digest, StepName>>,
}

/// A cache that a build may use, and the image that lies there when it is none.
pub(crate) struct Import {
    pub(crate) depot: Arc<dyn Depot>,
    /// Steps that were noted in it serve then (`--cache-to type=inline`).
    pub(crate) image: Option<String>,
}

impl Build {
    /// Plans a build.
    pub(crate) fn new(
        builder: Arc<Builder>,
        file: Dockerfile,
        options: Options,
        sources: Arc<dyn Sources>,
        observer: Arc<dyn Observer>,
        cancel: CancellationToken,
        style: Style,
    ) -> Result<Arc<Self>> {
        let plan = Plan::of(&file, &options, |name, platform| sources.has(name, platform))?;
        let stages = file.stages.iter().map(|_| OnceCell::new()).collect();
        Ok(Arc::new(Self {
            builder,
            file,
            options,
            sources,
            observer,
            cancel,
            style,
            plan,
            stages,
            imported: Mutex::default(),
            untouched: Mutex::default(),
        }))
    }

    /// Builds the target, stage by stage in the order of the Dockerfile.
    pub(crate) async fn in_order(self: &Arc<Self>) -> Result<State> {
        for stage in self.plan.needed.clone() {
            self.stage(stage).await?;
        }
        self.stage(self.plan.target).await
    }

    /// Builds the target, stages that don't need each other at once. The first failure ends all.
    pub(crate) async fn at_once(self: &Arc<Self>) -> Result<State> {
        let mut tasks = JoinSet::new();
        for stage in self.plan.needed.clone() {
            let build = self.clone();
            tasks.spawn(async move { build.stage(stage).await.map(drop) });
        }
        let mut stages = Vec::new();
        while let Some(done) = tasks.join_next().await {
            let done = done.map_err(Error::from).and_then(|done| done);
            if done.is_err() {
                self.cancel.cancel();
            }
            stages.push(done);
        }
        all_or_why(stages)?;
        let built = self.stage(self.plan.target).await;
        match &built {
            Ok(state) => self.needs(&state.files),
            Err(_) => self.cancel.cancel(),
        }
        built
    }

    /// What a stage comes to, built when it is first asked for.
    pub(crate) fn stage(self: &Arc<Self>, stage: usize) -> BoxFuture<'_, Result<State>> {
        async move {
            let build = self.clone();
            let state = self.stages[stage]
                .get_or_init(|| async move { build.build_stage(stage).await.map_err(Arc::new) })
                .await;
            match state {
                Ok(state) => Ok(state.clone()),
                Err(error) if matches!(**error, Error::Cancelled) => Err(Error::Cancelled),
                Err(error) => Err(Error::Stage(error.clone())),
            }
        }
        .boxed()
    }

    async fn build_stage(self: &Arc<Self>, number: usize) -> Result<State> {
        let (stage, steps) = (&self.file.stages[number], self.steps(number));
        // A stage that begins with nothing or with another one has no step for that, as with BuildKit.
        let has_base = matches!(self.plan.bases[number], Base::Image(_) | Base::Context(_));
        let total =
            usize::from(has_base) + steps.iter().filter(|step| makes_files(&step.instruction)).count();
        let label = stage.name.clone().unwrap_or_else(|| format!("stage-{number}"));
        let title = |at: usize, text: &str| {
            if let Base::Context(name) = &self.plan.bases[number] {
                return format!("[context {name}] {text}");
            }
            let place = if self.file.stages.len() == 1 { String::new() } else { format!("{label} ") };
            let width = total.to_string().len();
            format!("[{place}{at:>width$}/{total}] {text}")
        };
        let from = StepName {
            stage: number,
            index: 0,
            text: stage.text.clone(),
            title: title(1, &format!("FROM {}", self.plan.bases[number].shown(&self.file))),
            makes_files: has_base,
            place: stage.place,
        };
        let mut state = self.watched(&from, async { steps::from::start(self, number, &from).await }).await?;
        if matches!(self.plan.bases[number], Base::Image(_)) {
            self.untouched().insert(state.files.key.clone(), from);
        }
        let triggers = std::mem::take(&mut state.run().on_build);
        for trigger in triggers {
            let step = dockerfile::single(&trigger)?;
            let name = StepName {
                stage: number,
                index: 0,
                title: format!("[{label}] ONBUILD {}", step.text),
                text: step.text.clone(),
                makes_files: makes_files(&step.instruction),
                place: stage.place,
            };
            state = self.step(number, &name, &step, state).await?;
        }
        let mut at = usize::from(has_base);
        for (index, step) in steps.iter().enumerate() {
            let makes_files = makes_files(&step.instruction);
            at += usize::from(makes_files);
            let (text, title) = (step.text.clone(), title(at, &self.shown(step, &state)));
            let place = step.place;
            self.check_step(number, index, &state)?;
            let name = StepName { stage: number, index: index + 1, text, title, makes_files, place };
            state = self.step(number, &name, step, state).await?;
        }
        Ok(state)
    }

    async fn step(
        self: &Arc<Self>,
        stage: usize,
        name: &StepName,
        step: &Step,
        state: State,
    ) -> Result<State> {
        self.watched(name, async {
            let mut state = state;
            let outcome = steps::apply(self, stage, name, step, &mut state).await?;
            Ok((state, outcome))
        })
        .await
    }

    /// Tells the observer of a step's beginning and end.
    async fn watched(
        &self,
        name: &StepName,
        work: impl Future<Output = Result<(State, Outcome)>>,
    ) -> Result<State> {
        if self.cancel.is_cancelled() {
            return Err(Error::Cancelled);
        }
        self.observer.begins(name);
        match work.await {
            Ok((state, outcome)) => {
                self.observer.done(name, outcome, &state)?;
                Ok(state)
            }
            Err(error) => {
                self.observer.failed(name, &error);
                Err(error)
            }
        }
    }

    /// A step's text as those who watch are shown it: with its variables' values, as far as they are known here. What
    /// a shell will read keeps its quotes and its own variables.
    fn shown(&self, step: &Step, state: &State) -> String {
        let is_shells = matches!(step.instruction, Instruction::Run(_));
        let purpose = if is_shells { Purpose::Readers } else { Purpose::Words };
        let lexer = Lexer { purpose, ..self.lexer() };
        lexer.expand(&step.text, &state.variables()).map_or_else(|_| step.text.clone(), |shown| shown.text)
    }

    /// The Dockerfile's way to expand variables.
    pub(crate) fn lexer(&self) -> Lexer {
        Lexer { escape: self.file.directives.escape, purpose: Purpose::Words }
    }

    /// What a stage does: nothing when a context stands in its place.
    pub(crate) fn steps(&self, stage: usize) -> &[Step] {
        self.plan.steps(&self.file, stage)
    }

    /// What a stage is for, if anybody says.
    pub(crate) fn platform(&self, stage: usize) -> Option<Platform> {
        self.plan.platforms[stage].clone().or_else(|| self.options.platform.clone())
    }

    /// Expands a text with what is in scope.
    pub(crate) fn expand(&self, text: &str, state: &State) -> Result<String> {
        self.expanded(text, state).map(|expanded| expanded.text)
    }

    /// As [`Self::expand`], with the words that the text falls into.
    pub(crate) fn expanded(&self, text: &str, state: &State) -> Result<Expanded> {
        self.lexer()
            .expand(text, &state.variables())
            .map_err(|why| Error::Invalid(format!("failed to process {text:?}: {why}")))
    }

    /// Whether a stage's steps are run whatever the cache has.
    pub(crate) fn ignores_cache(&self, stage: usize) -> bool {
        let name = self.file.stages[stage].name.clone().unwrap_or_else(|| stage.to_string());
        self.options.no_cache || self.options.no_cache_stages.contains(&name)
    }
}

/// What several came to, or why one of them failed: those that were cancelled on the way aren't the reason.
pub(crate) fn all_or_why<T>(all: impl IntoIterator<Item = Result<T>>) -> Result<Vec<T>> {
    let (mut done, mut failed) = (Vec::new(), None);
    for one in all {
        match one {
            Ok(one) => done.push(one),
            Err(error) if failed.as_ref().is_none_or(|known| matches!(known, Error::Cancelled)) => {
                failed = Some(error);
            }
            Err(_) => {}
        }
    }
    failed.map_or(Ok(done), Err)
}

/// Whether a step is one that shows in progress: the others only change the configuration.
fn makes_files(instruction: &Instruction) -> bool {
    matches!(instruction, Instruction::Run(_) | Instruction::Copy(_) | Instruction::Workdir(_))
}

impl Build {
    /// Takes a cache elsewhere as a further one; how many steps it has. One that isn't there is no reason to fail.
    pub(crate) async fn import(self: &Arc<Self>, from: &Import) -> Result<usize> {
        let remote = Remote::open(from.depot.clone(), &self.builder.store).await?;
        match (remote, &from.image) {
            (Some(remote), _) => {
                let steps = remote.len();
                self.imported().push(Arc::new(remote));
                Ok(steps)
            }
            (None, Some(image)) => steps::from::cached_steps(self, image).await,
            (None, None) => Err(Error::Invalid(format!("{}: what is there is no cache", from.depot.name()))),
        }
    }

    fn imported(&self) -> MutexGuard<'_, Vec<Arc<Remote>>> {
        self.imported.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The steps of every stage that was built.
    pub(crate) fn noted(&self) -> Vec<Noted> {
        let built = self.stages.iter().filter_map(|stage| stage.get()?.as_ref().ok());
        built.flat_map(State::noted).collect()
    }

    /// What the cache has for the key of a step on `below`, unless the stage's steps are run whatever it has.
    pub(crate) async fn cached(&self, stage: usize, key: &Digest, below: &Files) -> Option<(Files, String)> {
        let found = if self.ignores_cache(stage) { None } else { self.find_cached(key, below).await };
        if found.is_none() {
            self.needs(below);
        }
        found
    }

    /// Tells when a stage begins with `files` that an earlier build's steps were run on: BuildKit calls that cached, and
    /// only what is needed.
    fn needs(&self, files: &Files) {
        if let Some(from) = self.untouched().remove(&files.key)
            && self.builder.cache.has_step_on(&files.key)
        {
            self.observer.used_again(&from);
        }
    }

    fn untouched(&self) -> MutexGuard<'_, HashMap<Digest, StepName>> {
        self.untouched.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// As [`Self::cached`], unless the images that may serve as cache don't have it.
    async fn find_cached(&self, key: &Digest, below: &Files) -> Option<(Files, String)> {
        let Some((files, created)) = self.builder.cache.find(key, below) else {
            return self.find_imported(key).await.map(|step| (step.files, step.created));
        };
        let created = created.to_string();
        if self.options.cache_from.is_empty() {
            return Some((files, created));
        }
        let serves = |name: &String| {
            let Ok(image) = self.builder.store.image(name) else { return false };
            image.layers.len() >= files.layers.len()
                && image.layers.iter().zip(&files.layers).all(|(a, b)| a.chain_id == b.chain_id)
        };
        self.options.cache_from.iter().any(serves).then_some((files, created))
    }

    async fn find_imported(&self, key: &Digest) -> Option<Noted> {
        let remotes: Vec<_> = self.imported().iter().filter(|remote| remote.has(key)).cloned().collect();
        for remote in remotes {
            let fetched = tokio::select! {
                fetched = remote.fetch(&self.builder, key) => fetched,
                () = self.cancel.cancelled() => return None,
            };
            match fetched {
                Ok(Some(step)) => return Some(step),
                Ok(None) => {}
                // The step is made here then.
                Err(error) => {
                    tracing::warn!(error = &error as &dyn std::error::Error, "a cache doesn't serve")
                }
            }
        }
        None
    }
}
