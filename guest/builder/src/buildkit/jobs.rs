//! Builds under way, and those that have ended.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tonic::Status;

use super::history::{History, Told};
use super::messages::Failed;
use super::messages::bridge::Outcome;
use super::messages::control::{CacheOptions, HistoryRecord, SolveRequest};
use super::progress::Progress;
use crate::depot::Noted;
use crate::state::State;
use crate::{Builder, Result};

/// Builds in memory: under way, or of those that no history has.
const REMEMBERED: usize = 50;
/// How long a call may come before the `Solve` that it belongs to.
const PATIENCE: Duration = Duration::from_secs(15);

/// What a frontend on the client's side gives back, or why it can't.
type Returned = Result<Outcome, String>;

/// What a frontend made, until it is exported.
#[derive(Debug, Clone)]
pub(super) struct Built {
    pub(super) state: State,
    /// The result's steps, for a cache elsewhere.
    pub(super) own: Vec<Noted>,
    /// Those of every stage.
    pub(super) all: Vec<Noted>,
}

/// What the builds for several platforms have made, as a cache elsewhere keeps it: the steps of all.
pub(super) fn together(built: &[Built]) -> Option<Built> {
    let (first, others) = built.split_first()?;
    let mut all = first.clone();
    for other in others {
        all.own.extend(other.own.iter().cloned());
        all.all.extend(other.all.iter().cloned());
    }
    Some(all)
}

/// One build.
pub(super) struct Job {
    pub(super) reference: String,
    pub(super) progress: Arc<Progress>,
    pub(super) cancel: CancellationToken,
    inner: Mutex<Inner>,
    asked: watch::Sender<bool>,
    returned: watch::Sender<Option<Returned>>,
}

#[derive(Default)]
struct Inner {
    request: Option<SolveRequest>,
    created: Option<Timestamp>,
    completed: Option<Timestamp>,
    error: Option<String>,
    response: HashMap<String, String>,
    built: HashMap<String, Built>,
}

/// All of them.
pub(super) struct Jobs {
    in_memory: Mutex<VecDeque<Arc<Job>>>,
    ended: History,
}

impl Jobs {
    /// Those that a builder has kept. Blocks.
    pub(super) fn open(builder: &Builder) -> Self {
        let ended = History::open(builder.data_root.join("history"), builder.settings.history);
        Self { in_memory: Mutex::default(), ended }
    }

    fn all(&self) -> MutexGuard<'_, VecDeque<Arc<Job>>> {
        self.in_memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was told of a build that has ended; nothing when it is in memory, or there is no such. Blocks.
    pub(super) fn told(&self, reference: &str) -> Option<Told> {
        let is_in_memory = self.all().iter().any(|job| job.reference == reference);
        if is_in_memory { None } else { self.ended.told(reference) }
    }

    /// Whether a build with this reference has ended.
    pub(super) fn has_ended(&self, reference: &str) -> bool {
        let here = |job: &Arc<Job>| job.reference == reference && job.progress.has_ended();
        self.all().iter().any(here) || self.ended.has(reference)
    }

    /// The build with this reference; whoever speaks of it first makes it.
    pub(super) fn find(&self, reference: &str) -> Arc<Job> {
        let mut all = self.all();
        if let Some(job) = all.iter().find(|job| job.reference == reference) {
            return job.clone();
        }
        let job = Arc::new(Job {
            reference: reference.to_owned(),
            progress: Arc::default(),
            cancel: CancellationToken::new(),
            inner: Mutex::default(),
            asked: watch::channel(false).0,
            returned: watch::channel(None).0,
        });
        while all.len() >= REMEMBERED {
            let ended = all.iter().position(|job| job.progress.has_ended());
            drop(all.remove(ended.unwrap_or(0)));
        }
        all.push_back(job.clone());
        job
    }

    /// The build that a call of its frontend belongs to. One that has ended before it came, as a build does whose exporters
    /// can't be, has no use for a frontend.
    pub(super) async fn asked(&self, reference: &str) -> Result<Arc<Job>, Status> {
        let unknown = || format!("no such job {reference}");
        if self.has_ended(reference) {
            // The client shows the build's failure or this one, whichever comes first.
            let failed = self.ended.record(reference).and_then(|ended| ended.error);
            return Err(Status::not_found(failed.map_or_else(unknown, |error| error.message)));
        }
        let job = self.find(reference);
        let mut asked = job.asked.subscribe();
        let waited = tokio::time::timeout(PATIENCE, asked.wait_for(|asked| *asked)).await;
        match waited {
            Ok(Ok(_)) => Ok(job.clone()),
            _ => Err(Status::not_found(unknown())),
        }
    }

    /// What the frontend of a build under way has made.
    pub(super) fn built(&self, id: &str) -> Option<Built> {
        self.all().iter().find_map(|job| job.built(id))
    }

    /// Keeps one that has ended beyond this engine's life. Blocks.
    pub(super) fn remember(&self, job: &Job) {
        let Some(record) = job.record() else { return };
        match self.ended.put(record, &job.progress.all()) {
            Ok(()) => self.drop_ended(&job.reference),
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "a build isn't in the history");
            }
        }
    }

    /// Says whether one that has ended stays however old it is; false when there is no such. Blocks.
    pub(super) fn pin(&self, reference: &str, pinned: bool) -> Result<bool> {
        self.ended.pin(reference, pinned)
    }

    /// Forgets what is too old. Blocks.
    pub(super) fn tidy(&self) {
        self.ended.tidy(Timestamp::now());
    }

    /// Forgets one that has ended. Blocks.
    pub(super) fn forget(&self, reference: &str) -> Result<()> {
        self.drop_ended(reference);
        self.ended.forget(reference)
    }

    fn drop_ended(&self, reference: &str) {
        self.all().retain(|job| job.reference != reference || !job.progress.has_ended());
    }

    /// What is known of each, oldest first.
    pub(super) fn records(&self) -> Vec<HistoryRecord> {
        let all: Vec<_> = self.all().iter().cloned().collect();
        let mut records = self.ended.records();
        // One of them may just have been kept.
        let here = all.iter().filter_map(|job| job.record());
        let here: Vec<_> =
            here.filter(|here| records.iter().all(|known| known.reference != here.reference)).collect();
        records.extend(here);
        records.sort_by_key(|record| record.created_at.map(|moment| (moment.seconds, moment.nanos)));
        records
    }
}

impl Job {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes what was asked for.
    pub(super) fn ask(&self, request: &SolveRequest) {
        {
            let mut inner = self.inner();
            inner.request = Some(request.clone());
            inner.created = Some(Timestamp::now());
        }
        self.asked.send_replace(true);
    }

    /// The session of the one who asked.
    pub(super) fn session(&self) -> String {
        self.inner().request.as_ref().map(|request| request.session.clone()).unwrap_or_default()
    }

    /// What the build may do beyond the sandbox, by name.
    pub(super) fn entitlements(&self) -> Vec<String> {
        self.inner().request.as_ref().map(|request| request.entitlements.clone()).unwrap_or_default()
    }

    /// Whether the result is to note its steps for later builds.
    pub(super) fn exports_inline(&self) -> bool {
        let inner = self.inner();
        let cache = inner.request.as_ref().and_then(|request| request.cache.as_ref());
        cache.is_some_and(|cache| cache.exports.iter().any(|export| export.kind == "inline"))
    }

    /// The caches that the request names.
    pub(super) fn cache(&self) -> Option<CacheOptions> {
        self.inner().request.as_ref().and_then(|request| request.cache.clone())
    }

    /// Keeps what was built under a new name.
    pub(super) fn keep(&self, built: Built) -> Result<String, Status> {
        let id = crate::identity::fresh().map_err(|error| Status::internal(error.describe()))?;
        self.inner().built.insert(id.clone(), built);
        Ok(id)
    }

    pub(super) fn built(&self, id: &str) -> Option<Built> {
        self.inner().built.get(id).cloned()
    }

    /// The frontend on the client's side is done.
    pub(super) fn give_back(&self, result: Returned) {
        self.returned.send_replace(Some(result));
    }

    /// Waits for the frontend on the client's side.
    pub(super) async fn returned(&self) -> Returned {
        let mut returned = self.returned.subscribe();
        let found = returned.wait_for(Option::is_some).await.map(|found| found.clone());
        found.ok().flatten().unwrap_or_else(|| Err("the build's frontend has gone".to_owned()))
    }

    /// Notes the end; nothing is told after it.
    pub(super) fn end(&self, ended: &Result<HashMap<String, String>, String>) {
        {
            let mut inner = self.inner();
            inner.completed = Some(Timestamp::now());
            inner.built.clear();
            match ended {
                Ok(response) => inner.response.clone_from(response),
                Err(error) => inner.error = Some(error.clone()),
            }
        }
        self.progress.end();
    }

    fn record(&self) -> Option<HistoryRecord> {
        let inner = self.inner();
        let request = inner.request.as_ref().filter(|request| !request.internal)?;
        let counts = self.progress.counts();
        Some(HistoryRecord {
            reference: self.reference.clone(),
            frontend: "dockerfile.v0".to_owned(),
            frontend_attrs: request.frontend_attrs.clone(),
            exporters: request.exporters.clone(),
            error: inner.error.clone().map(|message| Failed { code: 2, message, details: Vec::new() }),
            created_at: inner.created.map(Into::into),
            completed_at: inner.completed.map(Into::into),
            exporter_response: inner.response.clone(),
            cached_steps: counts.cached,
            total_steps: counts.all,
            completed_steps: counts.completed,
            warnings: counts.warnings,
            ..HistoryRecord::default()
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::buildkit::Memory;

    #[tokio::test]
    async fn a_frontend_that_comes_after_its_build_has_failed_is_told_why_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let jobs = Jobs {
            in_memory: Mutex::default(),
            ended: History::open(folder.path().to_owned(), Memory::default()),
        };
        let job = jobs.find("one");
        job.ask(&SolveRequest { reference: "one".to_owned(), ..SolveRequest::default() });
        job.end(&Err("no such exporter".to_owned()));
        jobs.remember(&job);
        let asked = Instant::now();
        assert_eq!(jobs.asked("one").await.err().unwrap().message(), "no such exporter");
        assert!(asked.elapsed() < PATIENCE, "it waited for {:?}", asked.elapsed());
        assert!(jobs.all().is_empty());
    }
}
