//! The instructions, one kind per file.

mod copy;
mod folder;
pub(crate) mod from;
mod mounts;
mod origin;
mod remote;
mod run;
pub(crate) mod settings;

use std::sync::Arc;

use crate::dockerfile::{Instruction, Step};
use crate::observe::StepName;
use crate::solve::{Build, Outcome};
use crate::state::State;
use crate::{Error, Result};

/// Applies one step to the state of its stage.
pub(crate) async fn apply(
    build: &Arc<Build>,
    stage: usize,
    name: &StepName,
    step: &Step,
    state: &mut State,
) -> Result<Outcome> {
    match &step.instruction {
        Instruction::Run(run) => run::run(build, stage, name, run, state).await,
        Instruction::Copy(copy) => copy::copy(build, stage, name, copy, state).await,
        Instruction::Workdir(path) => folder::enter(build, stage, path, state).await,
        other => settings::apply(build, other, state).map(|()| Outcome::Setting),
    }
}

/// Runs blocking work on a thread for it.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(Error::from)?
}
