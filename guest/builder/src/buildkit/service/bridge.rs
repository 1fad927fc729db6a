//! `moby.buildkit.v1.frontend.LLBBridge`: the gateway through which buildx asks for a Dockerfile's build.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::json;
use tonic::Status;

use super::control::{self, code, foreign};
use crate::buildkit::BuildKit;
use crate::buildkit::frontend::{self, Answer};
use crate::buildkit::inputs;
use crate::buildkit::jobs::{Built, Job};
use crate::buildkit::messages::Empty;
use crate::buildkit::messages::bridge::{
    Capability, Outcome, Pong, Reference, ReferenceMap, References, ReturnRequest, SolveRequest,
    SolveResponse,
};
use crate::buildkit::progress::words;

/// What the gateway can.
const FRONTEND: [&str; 10] = [
    "solve.base",
    "return",
    "returnmap",
    "proto.refarray",
    "gateway.solve.metadata",
    "frontend.caps",
    "frontend.inputs",
    "reference.output",
    "gateway.solve.evaluate",
    "gateway.evaluate",
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
    if given || !frontend::is_ours(&request.frontend, &request.options) {
        let error = foreign(&request.frontend);
        return Err(Status::unimplemented(words(&error)));
    }
    let inputs = request.inputs.into_iter().map(|(name, definition)| {
        let built = inputs::result_of(&definition).and_then(|id| kit.jobs.built(&id));
        let unknown =
            || format!("input {name:?} isn't what another build made: this engine takes no other graphs");
        let built = built.ok_or_else(|| Status::unimplemented(unknown()))?;
        Ok((name, built.state))
    });
    let inputs = inputs.collect::<Result<_, Status>>()?;
    let attended = job.cancel.clone().drop_guard();
    let task = {
        let (kit, job) = (kit.clone(), job.clone());
        tokio::spawn(async move { frontend::answer(&kit, &job, &request.options, &inputs).await })
    };
    let answer = task.await.map_err(|error| Status::internal(error.to_string()))?;
    let answer = answer.map_err(|error| Status::new(code(&error), words(&error)));
    // Kept alive: the export comes next.
    drop(attended.disarm());
    let result = match answer? {
        Answer::Images(built) => result(&job, built)?,
        Answer::About(metadata) => Outcome { references: None, metadata },
    };
    Ok(SolveResponse { result: Some(result) })
}

/// One result, or one for each platform, as BuildKit's exporters know them (`exptypes.Platforms`).
fn result(job: &Job, built: Vec<Built>) -> Result<Outcome, Status> {
    let config = |built: &Built| serde_json::to_vec(&built.state.finished()).unwrap_or_default();
    let mut metadata = HashMap::new();
    if let [one] = built.as_slice() {
        metadata.insert("containerimage.config".to_owned(), config(one));
        let references = Some(References::One(reference(job, one.clone())?));
        return Ok(Outcome { references, metadata });
    }
    let (mut references, mut platforms) = (HashMap::new(), Vec::new());
    for one in built {
        let platform = one.state.config.platform();
        let id = platform.to_string();
        metadata.insert(format!("containerimage.config/{id}"), config(&one));
        platforms.push(json!({ "ID": id, "Platform": platform }));
        references.insert(id, reference(job, one)?);
    }
    metadata.insert("refs.platforms".to_owned(), json!({ "Platforms": platforms }).to_string().into_bytes());
    Ok(Outcome { references: Some(References::Several(ReferenceMap { references })), metadata })
}

fn reference(job: &Job, built: Built) -> Result<Reference, Status> {
    let id = job.keep(built)?;
    Ok(Reference { definition: Some(inputs::definition(&id)), id })
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
