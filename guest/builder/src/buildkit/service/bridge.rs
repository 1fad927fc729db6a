//! `moby.buildkit.v1.frontend.LLBBridge`: the gateway through which buildx asks for a Dockerfile's build.

use std::collections::HashMap;
use std::sync::Arc;

use tonic::Status;

use super::control::{self, code, foreign};
use crate::buildkit::BuildKit;
use crate::buildkit::frontend::{self, Answer};
use crate::buildkit::messages::Empty;
use crate::buildkit::messages::bridge::{
    Capability, Outcome, Pong, Reference, References, ReturnRequest, SolveRequest, SolveResponse,
};
use crate::buildkit::progress::words;

/// What the gateway can.
const FRONTEND: [&str; 7] = [
    "solve.base",
    "return",
    "returnmap",
    "proto.refarray",
    "gateway.solve.metadata",
    "frontend.caps",
    "gateway.solve.evaluate",
];
/// What a Dockerfile's steps can.
const STEPS: [&str; 22] = [
    "source.image",
    "source.image.resolvemode",
    "source.local",
    "source.local.unique",
    "source.local.sessionid",
    "source.local.includepatterns",
    "source.local.followpaths",
    "source.local.excludepatterns",
    "source.local.sharedkeyhint",
    "source.http",
    "source.http.checksum",
    "exec.meta.base",
    "exec.meta.network",
    "exec.mount.bind",
    "exec.mount.cache",
    "exec.mount.cache.sharing",
    "exec.mount.tmpfs",
    "exec.mount.secret",
    "exec.mount.ssh",
    "exec.meta.ulimit",
    "file.base",
    "exporter.multiple",
];

/// What both sides can do.
pub(super) fn pong() -> Pong {
    let able = |id: &&str| Capability { id: (*id).to_owned(), enabled: true };
    Pong {
        frontend_caps: FRONTEND.iter().map(able).collect(),
        llb_caps: STEPS.iter().map(able).collect(),
        workers: control::workers().record,
    }
}

/// Builds for a frontend on the client's side, which exports later.
pub(super) async fn solve(
    kit: Arc<BuildKit>,
    build: String,
    request: SolveRequest,
) -> Result<SolveResponse, Status> {
    let job = kit.jobs.asked(&build).await?;
    let given = request.definition.is_some_and(|definition| !definition.operations.is_empty());
    if given || !request.inputs.is_empty() || !frontend::is_ours(&request.frontend, &request.options) {
        let error = foreign(&request.frontend);
        return Err(Status::unimplemented(words(&error)));
    }
    let attended = job.cancel.clone().drop_guard();
    let task = {
        let (kit, job) = (kit.clone(), job.clone());
        tokio::spawn(async move { frontend::answer(&kit, &job, &request.options).await })
    };
    let answer = task.await.map_err(|error| Status::internal(error.to_string()))?;
    let answer = answer.map_err(|error| Status::new(code(&error), words(&error)));
    // Kept alive: the export comes next.
    drop(attended.disarm());
    let built = match answer? {
        Answer::Image(built) => *built,
        Answer::About(metadata) => {
            return Ok(SolveResponse { result: Some(Outcome { references: None, metadata }) });
        }
    };
    let config = serde_json::to_vec(&built.state.finished()).unwrap_or_default();
    let metadata = HashMap::from([("containerimage.config".to_owned(), config)]);
    let references = Some(References::One(Reference { id: job.keep(built)? }));
    Ok(SolveResponse { result: Some(Outcome { references, metadata }) })
}

/// The frontend on the client's side is done.
pub(super) async fn give_back(
    kit: Arc<BuildKit>,
    build: String,
    request: ReturnRequest,
) -> Result<Empty, Status> {
    let job = kit.jobs.asked(&build).await?;
    job.give_back(match request.error {
        Some(error) => Err(error.message),
        None => Ok(request.result.unwrap_or_default()),
    });
    Ok(Empty {})
}
