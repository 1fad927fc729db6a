//! Who watches a build: each API shows progress in its own way.

use crate::Error;
use crate::dockerfile::{Place, Warning};
use crate::solve::Outcome;
use crate::state::State;

/// One step of a build, for those who watch.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct StepName {
    /// The stage's number.
    pub(crate) stage: usize,
    /// The step's number in the stage; FROM is 0.
    pub(crate) index: usize,
    /// The instruction, variables as written.
    pub(crate) text: String,
    /// `[build 2/5] RUN make`
    pub(crate) title: String,
    /// Whether it makes files, rather than only changing the configuration.
    pub(crate) makes_files: bool,
    /// Where the instruction stands.
    pub(crate) place: Place,
}

/// Which stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stream {
    Out,
    Error,
}

/// Watches a build. Called from any thread, never for long.
pub(crate) trait Observer: Send + Sync {
    /// A step begins.
    fn begins(&self, step: &StepName);
    /// A step starts a container of this name.
    fn runs(&self, _step: &StepName, _container: &str) {}
    /// A step's program wrote something.
    fn says(&self, step: &StepName, stream: Stream, bytes: &[u8]);
    /// A step transfers something.
    fn moves(&self, _step: &StepName, _progress: &berth_images::Progress) {}
    /// A step was done.
    fn done(&self, step: &StepName, outcome: Outcome, state: &State) -> Result<(), Error>;
    /// What a stage begins with is needed as it was in an earlier build. Told after it was done, if at all.
    fn used_again(&self, _step: &StepName) {}
    /// A step failed.
    fn failed(&self, _step: &StepName, _error: &Error) {}
    /// A build check found something.
    fn warns(&self, _warning: &Warning) {}
}
