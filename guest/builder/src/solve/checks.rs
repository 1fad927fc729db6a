//! Build checks that depend on what a stage has come to: its variables, its base, what the context comes without.

use std::collections::BTreeSet;

use berth_images::{ImageConfig, Platform};

use super::{Base, Build};
use crate::dockerfile::{self, Copy, Instruction, Step, Warning, variables};
use crate::files::Files;
use crate::git::Address;
use crate::history::Style;
use crate::ignore::Ignore;
use crate::state::State;
use crate::steps::{from, settings};
use crate::{Error, Result, beneath};

impl Build {
    /// Tells what the checks find in a stage's step, before which the stage has come to `state`.
    ///
    /// # Errors
    /// When that forbids the build (`# check=error=true`).
    pub(super) fn check_step(&self, stage: usize, index: usize, state: &State) -> Result<()> {
        self.tell(|| self.of_step(stage, index, state))
    }

    /// The same of the image that a stage begins with.
    pub(crate) fn check_base(&self, stage: usize, image: &ImageConfig) -> Result<()> {
        self.tell(|| self.of_base(stage, image).into_iter().collect())
    }

    /// What they would find, as far as it follows from images that are here. Blocks.
    pub(crate) fn foreseen(&self) -> Vec<Warning> {
        let (mut found, mut states): (_, Vec<Option<State>>) = (Vec::new(), Vec::new());
        for number in 0..self.file.stages.len() {
            let mut state = match &self.plan.bases[number] {
                Base::Stage(base) => states[*base].clone(),
                Base::Scratch => Some(from::nothing(self, self.platform(number))),
                Base::Context(_) => None,
                Base::Image(name) if self.sources.has(name, self.platform(number).as_ref()) => None,
                Base::Image(name) => self.builder.store.image(name).ok().map(|image| {
                    found.extend(self.of_base(number, &image.config));
                    let files = Files::of_image(&image, &self.builder.store);
                    triggered(self, from::of_image(self, files, &image.config))
                }),
            };
            for (index, step) in self.steps(number).iter().enumerate() {
                let Some(known) = &mut state else { break };
                found.extend(self.of_step(number, index, known));
                // What goes wrong from here on is the build's to tell.
                if settings::apply(self, &step.instruction, known).is_err() {
                    state = None;
                }
            }
            states.push(state);
        }
        self.wanted(found)
    }

    fn tell(&self, found: impl FnOnce() -> Vec<Warning>) -> Result<()> {
        // The old API has no checks.
        if self.style == Style::Classic {
            return Ok(());
        }
        let found = self.wanted(found());
        found.iter().for_each(|warning| self.observer.warns(warning));
        self.file.forbidden(&found).map_or(Ok(()), |why| Err(Error::Invalid(why)))
    }

    fn wanted(&self, mut found: Vec<Warning>) -> Vec<Warning> {
        if !found.is_empty() {
            let setting = self.file.checks();
            found.retain(|warning| setting.wants(warning.rule));
        }
        found
    }

    fn of_step(&self, stage: usize, index: usize, state: &State) -> Vec<Warning> {
        let (step, escape) = (&self.file.stages[stage].steps[index], self.file.directives.escape);
        let declared = self.declared(stage, index);
        let mut found = variables::undefined(step, escape, &state.variables(), &declared);
        if let Instruction::Copy(copy) = &step.instruction {
            found.extend(self.ignored_sources(step, copy, state));
        }
        found
    }

    fn of_base(&self, stage: usize, image: &ImageConfig) -> Option<Warning> {
        let (expected, found) = (self.platform(stage).unwrap_or_else(Platform::local), image.platform());
        if (&expected.os, &expected.architecture) == (&found.os, &found.architecture) {
            return None;
        }
        let Base::Image(name) = &self.plan.bases[stage] else { return None };
        let place = self.file.stages[stage].place;
        Some(Warning::base_platform(name, &expected.to_string(), &found.to_string(), place))
    }

    /// Arguments of a stage that are declared before a step, there or where the stage begins; they may have no value.
    fn declared(&self, stage: usize, index: usize) -> BTreeSet<&str> {
        let steps = self.steps(stage);
        let mut names: BTreeSet<&str> = steps[..index].iter().flat_map(arguments).collect();
        if let Base::Stage(base) = self.plan.bases[stage] {
            names.extend(self.declared(base, self.steps(base).len()));
        }
        names
    }

    /// Sources that the context comes without. With exceptions in the ignore file nobody can tell.
    fn ignored_sources(&self, step: &Step, copy: &Copy, state: &State) -> Vec<Warning> {
        let Ok(ignore) = Ignore::of(self.options.ignored.iter().map(String::as_str)) else {
            return Vec::new();
        };
        if copy.from.is_some() || ignore.is_empty() || ignore.has_exceptions() {
            return Vec::new();
        }
        let keyword = if copy.add { "Add" } else { "Copy" };
        let leaves_all = self.options.ignored.iter().any(|rule| matches!(rule.as_str(), "*" | "**" | "**/*"));
        let ignored = |source: &String| {
            let source = self.expand(source, state).ok()?;
            let is_remote = copy.add && (source.contains("://") || Address::is_one(&source));
            let path = beneath::clean(&source);
            let is_ignored = if path.is_empty() { leaves_all } else { ignore.ignores(&path) };
            let shown = if path.is_empty() { ".".to_owned() } else { path };
            (is_ignored && !is_remote).then(|| Warning::ignored_source(keyword, &shown, step.place))
        };
        copy.sources.iter().filter_map(ignored).collect()
    }
}

fn arguments(step: &Step) -> impl Iterator<Item = &str> {
    let arguments = match &step.instruction {
        Instruction::Arg(arguments) => arguments.as_slice(),
        _ => &[],
    };
    arguments.iter().map(|(name, _)| name.as_str())
}

/// A stage's beginning with what its image's triggers set.
fn triggered(build: &Build, mut state: State) -> State {
    for trigger in std::mem::take(&mut state.run().on_build) {
        if let Ok(step) = dockerfile::single(&trigger) {
            drop(settings::apply(build, &step.instruction, &mut state));
        }
    }
    state
}
