//! `moby.buildkit.v1.Control`: the history of builds, told and changed.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::Stream;
use futures_util::stream::{self, StreamExt as _};
use jiff::Timestamp;
use tonic::Status;

use crate::buildkit::BuildKit;
use crate::buildkit::history::Filters;
use crate::buildkit::messages::Empty;
use crate::buildkit::messages::control::{HistoryEvent, HistoryRecord, HistoryRequest, UpdateHistoryRequest};

/// How often who follows the history is looked after.
const TICK: Duration = Duration::from_millis(500);
/// What has happened to a build.
const STARTED: i32 = 0;
const COMPLETE: i32 = 1;
const DELETED: i32 = 2;

/// What was built, as far as it is asked for; then, unless told to end early, everything that happens.
pub(super) async fn tell(
    kit: Arc<BuildKit>,
    request: HistoryRequest,
) -> Result<impl Stream<Item = Result<HistoryEvent, Status>>, Status> {
    let refused = |error: crate::Error| Status::invalid_argument(error.describe());
    let filters = Filters::parse(&request.filter, Timestamp::now()).map_err(refused)?;
    let limit = usize::try_from(request.limit);
    let limit = limit.map_err(|_| Status::invalid_argument(format!("invalid limit {}", request.limit)))?;
    let old = kit.clone();
    drop(tokio::task::spawn_blocking(move || old.jobs.tidy()).await);

    let early = request.early_exit;
    let active_only = request.active_only;
    let mut follower = Follower { kit, reference: request.reference, told: HashMap::new() };
    let (active, mut ended): (Vec<_>, Vec<_>) =
        follower.news().into_iter().partition(|event| event.kind == STARTED);
    ended.retain(|event| !active_only && event.record.as_ref().is_some_and(|record| filters.fit(record)));
    if limit > 0 {
        // They are in the order of their beginning.
        ended.drain(..ended.len().saturating_sub(limit));
    }
    let later = stream::unfold(follower, move |mut follower| async move {
        if early {
            return None;
        }
        loop {
            tokio::time::sleep(TICK).await;
            let news = follower.news();
            if !news.is_empty() {
                return Some((stream::iter(news.into_iter().map(Ok)), follower));
            }
        }
    });
    Ok(stream::iter(active.into_iter().chain(ended).map(Ok)).chain(later.flatten()))
}

/// A client that follows the history.
struct Follower {
    kit: Arc<BuildKit>,
    /// The only build that it asks for, unless this is empty.
    reference: String,
    /// What it was told last of each: what happened, and the record's generation.
    told: HashMap<String, (i32, i32)>,
}

impl Follower {
    /// What has happened since the last time.
    fn news(&mut self) -> Vec<HistoryEvent> {
        let mut records = self.kit.jobs.records();
        records.retain(|record| self.reference.is_empty() || self.reference == record.reference);
        let mut told = HashMap::new();
        let mut news = Vec::new();
        for record in records {
            let kind = if record.completed_at.is_some() { COMPLETE } else { STARTED };
            let now = (kind, record.generation);
            told.insert(record.reference.clone(), now);
            if self.told.remove(&record.reference) != Some(now) {
                news.push(HistoryEvent { kind, record: Some(record) });
            }
        }
        let gone = std::mem::replace(&mut self.told, told).into_keys();
        news.extend(gone.map(|reference| {
            let record = Some(HistoryRecord { reference, ..HistoryRecord::default() });
            HistoryEvent { kind: DELETED, record }
        }));
        news
    }
}

/// Forgets a build, or says whether it stays whatever its age.
pub(super) async fn update(kit: Arc<BuildKit>, request: UpdateHistoryRequest) -> Result<Empty, Status> {
    let UpdateHistoryRequest { reference, pinned, delete, finalize } = request;
    let updated = tokio::task::spawn_blocking(move || match (delete, finalize) {
        (true, _) => kit.jobs.forget(&reference).map(|()| Ok(())),
        // What is remembered is whole: there are no traces that would come later.
        (false, true) => Ok(Ok(())),
        (false, false) => kit.jobs.pin(&reference, pinned).map(|is_there| match is_there {
            true => Ok(()),
            false => Err(format!("failed to retrieve ref {reference}: file does not exist")),
        }),
    });
    let updated = updated.await.map_err(|error| Status::internal(error.to_string()))?;
    let updated = updated.map_err(|error| Status::internal(error.describe()))?;
    updated.map(|()| Empty {}).map_err(Status::not_found)
}
