//! A classic build's steps told as dockerd tells them, and its intermediate images.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use berth_images::{Digest, Progress};
use serde_json::json;

use super::Lines;
use crate::dockerfile::{Instruction, Warning};
use crate::observe::{Observer, StepName, Stream};
use crate::solve::{Build, Outcome};
use crate::state::State;
use crate::{Builder, Error};

/// Tells a build.
pub(super) struct Narrator {
    builder: Arc<Builder>,
    lines: Lines,
    quiet: bool,
    no_cache: bool,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    at: usize,
    total: usize,
    /// The image of the step before, and whether all so far was known.
    parent: Option<Digest>,
    last: Option<Digest>,
    all_cached: bool,
    container: Option<String>,
}

impl Narrator {
    pub(super) fn new(builder: Arc<Builder>, lines: Lines, quiet: bool, no_cache: bool) -> Self {
        Self { builder, lines, quiet, no_cache, inner: Mutex::default() }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn say(&self, text: String) {
        if !self.quiet {
            (self.lines)(json!({ "stream": text }));
        }
    }

    /// Counts the steps, and tells those that stand before the first stage, and what the checks found.
    pub(super) fn plan(&self, build: &Build) {
        let file = &build.file;
        let of_stages: usize =
            build.plan.needed.iter().map(|stage| 1 + file.stages[*stage].steps.len()).sum();
        self.inner().total = of_stages + file.arguments.len();
        for warning in &file.warnings {
            self.warns(warning);
        }
        for (name, default) in &file.arguments {
            let default = default.as_ref().map(|default| format!("={default}")).unwrap_or_default();
            self.step(&format!("ARG {name}{default}"));
        }
    }

    fn step(&self, text: &str) {
        let (at, total) = {
            let mut inner = self.inner();
            inner.at += 1;
            (inner.at, inner.total)
        };
        self.say(format!("Step {at}/{total} : {text}\n"));
    }

    /// Says which build arguments nothing asked for.
    pub(super) fn unconsumed(&self, build: &Build) {
        let mut known: BTreeSet<&str> = build.plan.declared.iter().map(String::as_str).collect();
        for stage in &build.plan.needed {
            for step in &build.file.stages[*stage].steps {
                if let Instruction::Arg(arguments) = &step.instruction {
                    known.extend(arguments.iter().map(|(name, _)| name.as_str()));
                }
            }
        }
        let is_proxy = |name: &str| name.to_ascii_lowercase().ends_with("_proxy");
        let given = build.options.arguments.keys().map(String::as_str);
        let left: Vec<&str> = given.filter(|name| !known.contains(name) && !is_proxy(name)).collect();
        if !left.is_empty() {
            self.say(format!("[Warning] One or more build-args [{}] were not consumed\n", left.join(" ")));
        }
    }

    /// The image that the last step started from.
    pub(super) fn parent(&self) -> Option<Digest> {
        self.inner().parent.clone()
    }
}

impl Observer for Narrator {
    fn begins(&self, step: &StepName) {
        if step.text.starts_with("FROM ") {
            let mut inner = self.inner();
            (inner.parent, inner.last, inner.all_cached) = (None, None, !self.no_cache);
        }
        self.step(&step.text);
    }

    fn runs(&self, _step: &StepName, container: &str) {
        let name = container.trim_start_matches(crate::workspace::PREFIX).to_owned();
        self.say(format!(" ---> Running in {name}\n"));
        self.inner().container = Some(name);
    }

    fn says(&self, _step: &StepName, stream: Stream, bytes: &[u8]) {
        let text = String::from_utf8_lossy(bytes);
        self.say(match stream {
            Stream::Out => text.into_owned(),
            // dockerd prints it in red.
            Stream::Error => format!("\x1b[91m{text}\x1b[0m"),
        });
    }

    fn moves(&self, _step: &StepName, progress: &Progress) {
        if self.quiet {
            return;
        }
        let mut line = json!({ "status": progress.status });
        if !progress.id.is_empty() {
            line["id"] = json!(progress.id);
        }
        if let Some(detail) = progress.detail {
            line["progressDetail"] = json!({ "current": detail.current, "total": detail.total });
        }
        (self.lines)(line);
    }

    fn done(&self, step: &StepName, outcome: Outcome, state: &State) -> Result<(), Error> {
        let config = state.finished();
        let is_from = step.text.starts_with("FROM ");
        let (last, container, was_cached) = {
            let mut inner = self.inner();
            (inner.last.clone(), inner.container.take(), inner.all_cached)
        };
        if let Some(container) = container {
            self.say(format!(" ---> Removed intermediate container {container}\n"));
        }
        if is_from && outcome == Outcome::Setting {
            if let Some(image) = base_of(&self.builder, state) {
                self.say(format!(" ---> {}\n", image.short()));
                self.inner().last = Some(image);
            } else {
                self.say(" ---> \n".to_owned());
            }
            return Ok(());
        }
        let known = serde_json::to_vec(&config).ok().map(|json| Digest::of(&json));
        let is_known = known.is_some_and(|id| self.builder.store.image(&id.to_string()).is_ok());
        let cached = was_cached
            && match outcome {
                Outcome::Cached => true,
                Outcome::Setting => is_known,
                Outcome::Made => false,
            };
        if cached {
            self.say(" ---> Using cache\n".to_owned());
        }
        let id = self.builder.store.compose(&config, last.as_ref())?;
        self.say(format!(" ---> {}\n", id.short()));
        let mut inner = self.inner();
        inner.all_cached = cached;
        inner.parent = last;
        inner.last = Some(id);
        Ok(())
    }

    fn warns(&self, warning: &Warning) {
        let (line, column) = (warning.place.line, warning.place.column);
        let text =
            format!("[Warning] {}: {} (line {line}, column {column})\n", warning.rule, warning.message);
        self.say(text);
    }
}

/// The image that a stage starts from, by its layers and configuration.
fn base_of(builder: &Builder, state: &State) -> Option<Digest> {
    let chain = state.files.chain();
    let images = builder.store.list().into_iter().filter(|image| {
        image.layers.len() == chain.len()
            && image.layers.iter().zip(&chain).all(|(layer, chain)| layer.chain_id == *chain)
            && image.config.history.len() == state.config.history.len()
    });
    images.map(|image| image.id).next().filter(|_| !chain.is_empty())
}
