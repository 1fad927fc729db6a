//! `moby.buildkit.v1.Control`.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use berth_images::Platform;
use futures_util::Stream;
use futures_util::stream::{self, StreamExt as _};
use tokio_util::sync::CancellationToken;
use tonic::Status;

use crate::buildkit::frontend::{self, Answer};
use crate::buildkit::jobs::Job;
use crate::buildkit::messages;
use crate::buildkit::messages::bridge::References;
use crate::buildkit::messages::control::{
    DiskUsageRequest, DiskUsageResponse, InfoResponse, ListWorkersResponse, PruneRequest, SolveRequest,
    SolveResponse, StatusRequest, StatusResponse, UsageRecord, Version, WorkerRecord,
};
use crate::buildkit::progress::words;
use crate::buildkit::{BuildKit, cache, export, jobs};
use crate::{Error, Filter, Prune, Usage, interpreter};

fn version() -> Version {
    Version {
        package: "github.com/berth/berth".to_owned(),
        // The BuildKit whose protocol this is; clients compare it.
        version: "v0.13.0".to_owned(),
        revision: env!("CARGO_PKG_VERSION").to_owned(),
    }
}

pub(super) fn info() -> InfoResponse {
    InfoResponse { version: Some(version()) }
}

pub(in crate::buildkit) fn workers() -> ListWorkersResponse {
    let named = |Platform { os, architecture, variant }| messages::Platform { architecture, os, variant };
    let label =
        |name: &str, value: &str| (format!("org.mobyproject.buildkit.worker.{name}"), value.to_owned());
    let labels = HashMap::from([
        label("executor", "berth"),
        // Its presence says that images can be exported in every format.
        label("snapshotter", "overlayfs"),
        label("moby.host-gateway-ip", ""),
    ]);
    let record = WorkerRecord {
        id: "berth".to_owned(),
        labels,
        platforms: interpreter::platforms().into_iter().map(named).collect(),
        version: Some(version()),
    };
    ListWorkersResponse { record: vec![record] }
}

/// Builds, exports, and answers with what came of it. Dropped (the client left), the build is cancelled.
pub(super) async fn solve(kit: Arc<BuildKit>, request: SolveRequest) -> Result<SolveResponse, Status> {
    if kit.jobs.has_ended(&request.reference) {
        return Err(Status::already_exists(format!("job {} has ended", request.reference)));
    }
    let job = kit.jobs.find(&request.reference);
    let (left, attended) = (CancellationToken::new(), job.cancel.clone().drop_guard());
    let leaving = left.clone().drop_guard();
    job.ask(&request);
    // In a task of its own, so that it ends in order, and is known to have, when the client leaves.
    let ended = tokio::spawn(run(kit, job, request, left)).await;
    drop((attended, leaving));
    ended.map_err(|error| Status::internal(error.to_string()))?
}

/// A build from its beginning to its end, which is noted. A build that failed is cancelled, too: that the client has left
/// is said by `left`.
async fn run(
    kit: Arc<BuildKit>,
    job: Arc<Job>,
    request: SolveRequest,
    left: CancellationToken,
) -> Result<SolveResponse, Status> {
    let work = {
        let (kit, job) = (kit.clone(), job.clone());
        async move {
            let caches = cache::exports(request.cache.as_ref())?;
            export::check(&request)?;
            let built = if request.frontend.is_empty() {
                let outcome = tokio::select! {
                    returned = job.returned() => returned.map_err(Error::Invalid)?,
                    () = left.cancelled() => return Err(Error::Cancelled),
                };
                let ids: Vec<String> = match outcome.references {
                    Some(References::One(reference)) => vec![reference.id],
                    Some(References::Several(map)) => {
                        let in_order: BTreeMap<_, _> = map.references.into_iter().collect();
                        in_order.into_values().map(|found| found.id).collect()
                    }
                    None => Vec::new(),
                };
                ids.iter().filter_map(|id| job.built(id)).collect()
            } else if frontend::is_ours(&request.frontend, &request.frontend_attrs) {
                match frontend::answer(&kit, &job, &request.frontend_attrs, &HashMap::new()).await? {
                    Answer::Images(built) => built,
                    Answer::About(_) => Vec::new(),
                }
            } else {
                return Err(foreign(&request.frontend));
            };
            let mut response = export::export(&kit, &job, &request, &built).await?;
            if let Some(built) = jobs::together(&built) {
                response.extend(cache::export(&kit, &job, &caches, &built).await?);
            }
            Ok(response)
        }
    };
    // A panic in it is its end, too.
    let done = tokio::spawn(work).await.map_err(Error::from).and_then(|done| done);
    let done = done.map_err(|error| (code(&error), words(&error)));
    job.end(&done.clone().map_err(|(_, message)| message));
    let remembered = job.clone();
    drop(tokio::task::spawn_blocking(move || kit.jobs.remember(&remembered)).await);
    match done {
        Ok(exporter_response) => Ok(SolveResponse { exporter_response }),
        Err((code, message)) => Err(job.progress.failure(code, message)),
    }
}

pub(super) fn foreign(frontend: &str) -> Error {
    Error::Unsupported(format!("frontend {frontend:?} isn't supported: this engine reads Dockerfiles alone"))
}

pub(super) fn code(error: &Error) -> tonic::Code {
    match error {
        Error::Cancelled => tonic::Code::Cancelled,
        Error::Unsupported(_) => tonic::Code::Unimplemented,
        Error::Stage(error) => code(error),
        _ => tonic::Code::Unknown,
    }
}

/// Everything that happens in a build, from its beginning to its end.
pub(super) async fn status(
    kit: Arc<BuildKit>,
    request: StatusRequest,
) -> Result<impl Stream<Item = Result<StatusResponse, Status>>, Status> {
    let (jobs, reference) = (kit.clone(), request.reference.clone());
    let told = tokio::task::spawn_blocking(move || jobs.jobs.told(&reference)).await;
    if let Some(told) = told.map_err(|error| Status::internal(error.to_string()))? {
        return Ok(stream::iter(told.map(Ok)).left_stream());
    }
    let job = kit.jobs.find(&request.reference);
    let following = stream::unfold((job, 0), |(job, at)| async move {
        let events = job.progress.next(at).await?;
        let next = at + events.len();
        let events = events.into_iter().map(|event| Ok(Arc::unwrap_or_clone(event)));
        Some((stream::iter(events), (job, next)))
    });
    Ok(following.flatten().right_stream())
}

fn record(usage: Usage) -> UsageRecord {
    let number = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
    UsageRecord {
        mutable: usage.is_mutable(),
        in_use: usage.in_use,
        parents: usage.parent.into_iter().collect(),
        id: usage.id,
        size: number(usage.size),
        created_at: Some(usage.created.into()),
        last_used_at: Some(usage.last_used.into()),
        usage_count: number(usage.uses),
        description: usage.description,
        record_type: usage.kind.as_str().to_owned(),
        shared: usage.shared,
    }
}

pub(super) async fn usage(
    kit: Arc<BuildKit>,
    request: DiskUsageRequest,
) -> Result<DiskUsageResponse, Status> {
    let filters = filters(&request.filter)?;
    let builder = kit.builder.clone();
    let all = tokio::task::spawn_blocking(move || builder.usage()).await;
    let all = all.map_err(|error| Status::internal(error.to_string()))?;
    let fits = |usage: &Usage| filters.iter().all(|filter| filter.fits(usage));
    Ok(DiskUsageResponse { record: all.into_iter().filter(fits).map(record).collect() })
}

pub(super) async fn prune(
    kit: Arc<BuildKit>,
    request: PruneRequest,
) -> Result<impl Stream<Item = Result<UsageRecord, Status>>, Status> {
    let number = |value: i64| u64::try_from(value).unwrap_or(0);
    let wish = Prune {
        all: request.all,
        reserved: number(request.reserved_space),
        most: number(request.max_used_space),
        free: number(request.min_free_space),
        unused_for: Some(number(request.keep_duration)).filter(|age| *age > 0).map(Duration::from_nanos),
        filters: filters(&request.filter)?,
    };
    let builder = kit.builder.clone();
    let pruned = tokio::task::spawn_blocking(move || builder.prune(&wish)).await;
    let pruned = pruned.map_err(|error| Status::internal(error.to_string()))?;
    let pruned = pruned.map_err(|error| Status::internal(error.describe()))?;
    Ok(stream::iter(pruned.removed.into_iter().map(|usage| Ok(record(usage)))))
}

/// Conditions as clients write them: all must be fulfilled.
fn filters(texts: &[String]) -> Result<Vec<Filter>, Status> {
    let read: Result<Vec<_>, _> = texts.iter().map(|text| Filter::parse(text)).collect();
    read.map(|read| read.concat()).map_err(|error| Status::invalid_argument(error.describe()))
}
