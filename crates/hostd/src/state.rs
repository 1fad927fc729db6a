//! What everybody may know: the status, changed in one place and watched by many.

use std::sync::Arc;
use std::time::{Duration, Instant};

use protocol::control::{Problem, ProblemCode, Status};
use protocol::machine::{Kind, Phase, State};
use tokio::sync::{mpsc, watch};

use crate::settings::Settings;

/// What a client wants of the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    Start(Kind),
    Stop,
}

/// The shared status.
#[derive(Clone)]
pub(crate) struct Shared(Arc<watch::Sender<Status>>);

/// A fresh status, and the way of wishes from clients to the machine's task.
pub(crate) fn new(settings: &Settings) -> (Shared, mpsc::Sender<Change>, mpsc::Receiver<Change>) {
    let status = Status {
        version: protocol::VERSION,
        state: State::Stopped,
        machine: None,
        problem: None,
        phases: Vec::new(),
        docker_socket: settings.docker_socket().display().to_string(),
        ports: Vec::new(),
    };
    let (wishes, inbox) = mpsc::channel(16);
    (Shared(Arc::new(watch::Sender::new(status))), wishes, inbox)
}

impl Shared {
    /// Follows the status.
    pub(crate) fn watch(&self) -> watch::Receiver<Status> {
        self.0.subscribe()
    }

    /// Changes it.
    pub(crate) fn change(&self, change: impl FnOnce(&mut Status)) {
        self.0.send_modify(change);
    }

    /// A start or stop begins: no phases yet, nothing wrong.
    pub(crate) fn begin(&self, state: State) {
        self.change(|status| {
            status.state = state;
            status.problem = None;
            status.phases.clear();
        });
    }

    /// Something went wrong that a user can act upon.
    pub(crate) fn fail(&self, problem: Problem) {
        tracing::error!(code = ?problem.code, "{}", problem.message);
        self.change(|status| {
            status.state = State::Failed;
            status.problem = Some(problem);
            status.ports.clear();
        });
    }

    /// Runs one phase: it shows while it lasts and is given up after `deadline`.
    pub(crate) async fn phase<T>(
        &self,
        since: Instant,
        name: &str,
        waits_for: &str,
        deadline: Duration,
        work: impl Future<Output = Result<T, Problem>>,
    ) -> Result<T, Problem> {
        let began = Instant::now();
        let phase = Phase {
            name: name.to_owned(),
            waits_for: waits_for.to_owned(),
            began_ms: millis(since.elapsed()),
            took_ms: None,
            deadline_ms: millis(deadline),
        };
        self.change(|status| status.phases.push(phase));
        let outcome = tokio::time::timeout(deadline, work).await.unwrap_or_else(|_| {
            Err(Problem {
                code: ProblemCode::Deadline,
                message: format!("{name}: gave up after {} s, waiting for {waits_for}", deadline.as_secs()),
            })
        });
        if outcome.is_ok() {
            let took = millis(began.elapsed());
            self.change(|status| {
                if let Some(last) = status.phases.last_mut() {
                    last.took_ms = Some(took);
                }
            });
        }
        outcome
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
