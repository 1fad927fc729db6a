//! `moby.buildkit.v1.Control`.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use berth_images::Platform;
use futures_util::Stream;
use futures_util::stream::{self, StreamExt as _};
use tonic::Status;

use crate::buildkit::messages::bridge::References;
use crate::buildkit::messages::control::{
    DiskUsageRequest, DiskUsageResponse, HistoryEvent, HistoryRequest, InfoResponse, ListWorkersResponse,
    PruneRequest, SolveRequest, SolveResponse, StatusRequest, StatusResponse, UpdateHistoryRequest,
    UsageRecord, Version, WorkerRecord,
};
use crate::buildkit::messages::{self, Empty};
use crate::buildkit::progress::words;
use crate::buildkit::{BuildKit, export, frontend};
use crate::{Error, Prune, Usage};

/// How often who follows the history is looked after.
const HISTORY_TICK: Duration = Duration::from_millis(500);

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
    let Platform { os, architecture, variant } = Platform::local();
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
        platforms: vec![messages::Platform { architecture, os, variant }],
        version: Some(version()),
    };
    ListWorkersResponse { record: vec![record] }
}

/// Builds, exports, and answers with what came of it. Dropped (the client left), the build is cancelled.
pub(super) async fn solve(kit: Arc<BuildKit>, request: SolveRequest) -> Result<SolveResponse, Status> {
    let job = kit.jobs.find(&request.reference);
    if job.progress.has_ended() {
        return Err(Status::already_exists(format!("job {} has ended", request.reference)));
    }
    let attended = job.cancel.clone().drop_guard();
    job.ask(&request);
    let work = {
        let (kit, job) = (kit.clone(), job.clone());
        async move {
            refuse(&request)?;
            let built = if request.frontend.is_empty() {
                let outcome = job.returned().await.map_err(Error::Invalid)?;
                let id = match outcome.references {
                    Some(References::One(reference)) => Some(reference.id),
                    Some(References::Several(map)) => {
                        map.references.into_values().next().map(|found| found.id)
                    }
                    None => None,
                };
                id.and_then(|id| job.built(&id))
            } else if frontend::is_ours(&request.frontend, &request.frontend_attrs) {
                Some(frontend::dockerfile(&kit, &job, &request.frontend_attrs).await?)
            } else {
                return Err(foreign(&request.frontend));
            };
            export::export(&kit, &job, &request, built).await
        }
    };
    // In a task of its own, so that what it made is taken apart in order when the client leaves.
    let done = tokio::spawn(work).await.map_err(Error::from).and_then(|done| done);
    let done = done.map_err(|error| (code(&error), words(&error)));
    job.end(&done.clone().map_err(|(_, message)| message));
    drop(attended);
    match done {
        Ok(exporter_response) => Ok(SolveResponse { exporter_response }),
        Err((code, message)) => Err(Status::new(code, message)),
    }
}

/// What can't be honoured is refused.
fn refuse(request: &SolveRequest) -> Result<(), Error> {
    let cache = request.cache.as_ref();
    if let Some(export) = cache.and_then(|cache| cache.exports.iter().find(|export| export.kind != "inline"))
    {
        let message = format!("--cache-to type={} isn't supported by this engine yet", export.kind);
        return Err(Error::Unsupported(message));
    }
    Ok(())
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
    let job = kit.jobs.find(&request.reference);
    Ok(stream::unfold((job, 0), |(job, at)| async move {
        let events = job.progress.next(at).await?;
        let next = at + events.len();
        Some((stream::iter(events.into_iter().map(Ok)), (job, next)))
    })
    .flatten())
}

fn record(usage: Usage) -> UsageRecord {
    let number = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
    UsageRecord {
        id: usage.id,
        mutable: usage.kind == "exec.cachemount",
        in_use: false,
        size: number(usage.size),
        created_at: Some(usage.created.into()),
        last_used_at: Some(usage.last_used.into()),
        usage_count: number(usage.uses),
        description: usage.description,
        record_type: usage.kind.to_owned(),
        shared: usage.shared,
    }
}

pub(super) async fn usage(
    kit: Arc<BuildKit>,
    request: DiskUsageRequest,
) -> Result<DiskUsageResponse, Status> {
    let wish = filtered(&request.filter)?;
    let builder = kit.builder.clone();
    let all = tokio::task::spawn_blocking(move || builder.usage()).await;
    let all = all.map_err(|error| Status::internal(error.to_string()))?;
    let fits = |usage: &Usage| {
        (wish.ids.is_empty() || wish.ids.iter().any(|id| usage.id.starts_with(id.as_str())))
            && (wish.kinds.is_empty() || wish.kinds.iter().any(|kind| kind == usage.kind))
    };
    Ok(DiskUsageResponse { record: all.into_iter().filter(fits).map(record).collect() })
}

pub(super) async fn prune(
    kit: Arc<BuildKit>,
    request: PruneRequest,
) -> Result<impl Stream<Item = Result<UsageRecord, Status>>, Status> {
    let mut wish = filtered(&request.filter)?;
    wish.all = request.all;
    wish.keep_bytes = u64::try_from(request.reserved_space).unwrap_or(0);
    if let Some(age) = u64::try_from(request.keep_duration).ok().filter(|age| *age > 0) {
        wish.unused_for = Some(Duration::from_nanos(age));
    }
    let builder = kit.builder.clone();
    let pruned = tokio::task::spawn_blocking(move || builder.prune(&wish)).await;
    let pruned = pruned.map_err(|error| Status::internal(error.to_string()))?;
    let pruned = pruned.map_err(|error| Status::internal(error.describe()))?;
    Ok(stream::iter(pruned.removed.into_iter().map(|usage| Ok(record(usage)))))
}

/// `id==x`, `type==regular`, `until`'s age comes as a duration of its own.
fn filtered(filters: &[String]) -> Result<Prune, Status> {
    let mut wish = Prune::default();
    let filters = filters.iter().flat_map(|filter| filter.split(',')).filter(|filter| !filter.is_empty());
    for filter in filters {
        match filter
            .split_once("==")
            .or_else(|| filter.split_once("~="))
            .map(|(key, value)| (key.trim(), value))
        {
            Some(("id", value)) => wish.ids.push(value.to_owned()),
            Some(("type", value)) => wish.kinds.push(value.to_owned()),
            _ => return Err(Status::invalid_argument(format!("filter {filter:?} isn't supported"))),
        }
    }
    Ok(wish)
}

/// What was built; goes on with what is built next unless told to end early.
pub(super) async fn history(
    kit: Arc<BuildKit>,
    request: HistoryRequest,
) -> Result<impl Stream<Item = Result<HistoryEvent, Status>>, Status> {
    let wanted = move |kit: &BuildKit| {
        let mut events = Vec::new();
        for record in kit.jobs.records() {
            let is_active = record.completed_at.is_none();
            let fits = request.reference.is_empty() || request.reference == record.reference;
            if fits && (is_active || !request.active_only) {
                events.push(HistoryEvent { kind: i32::from(!is_active), record: Some(record) });
            }
        }
        events
    };
    let early = request.early_exit;
    let first = wanted(&kit);
    let told: Vec<(String, i32)> = first.iter().map(told_of).collect();
    let later = stream::unfold((kit, told, wanted), move |(kit, mut told, wanted)| async move {
        if early {
            return None;
        }
        loop {
            tokio::time::sleep(HISTORY_TICK).await;
            let new: Vec<HistoryEvent> =
                wanted(&kit).into_iter().filter(|event| !told.contains(&told_of(event))).collect();
            if !new.is_empty() {
                told.extend(new.iter().map(told_of));
                return Some((stream::iter(new.into_iter().map(Ok)), (kit, told, wanted)));
            }
        }
    });
    Ok(stream::iter(first.into_iter().map(Ok)).chain(later.flatten()))
}

fn told_of(event: &HistoryEvent) -> (String, i32) {
    (event.record.as_ref().map(|record| record.reference.clone()).unwrap_or_default(), event.kind)
}

pub(super) async fn update_history(
    kit: Arc<BuildKit>,
    request: UpdateHistoryRequest,
) -> Result<Empty, Status> {
    if !request.delete {
        return Err(Status::unimplemented("builds can be removed from the history, not pinned"));
    }
    kit.jobs.forget(&request.reference);
    Ok(Empty {})
}
