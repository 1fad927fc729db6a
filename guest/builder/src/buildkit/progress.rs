//! A build's progress as BuildKit's clients draw it: vertexes that start and complete, their logs and transfers.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base64::Engine as _;
use berth_images::Progress as Moved;
use jiff::Timestamp;
use prost::Message as _;
use serde_json::json;
use tokio::sync::Notify;
use tonic::{Code, Status};

use super::clip::Clip;
use super::messages::control::{
    Position, Range, SourceInfo, StatusResponse, Vertex, VertexLog, VertexStatus, VertexWarning,
};
use super::messages::{Any, Failed};
use crate::dockerfile::{Place, Warning};
use crate::observe::{Observer, StepName, Stream};
use crate::solve::Outcome;
use crate::state::State;
use crate::{Error, key_of};

/// What BuildKit's clients take for lines of a Dockerfile that an error is about.
const SOURCE: &str = "github.com/moby/buildkit/errdefs.Source+json";
/// Of a longer Dockerfile no lines are shown: it travels in a header as a whole, and clients take 16 MiB of those.
const SHOWN: usize = 1 << 20;

/// Everything that happened so far, for those who come late.
#[derive(Default)]
pub(super) struct Progress {
    inner: Mutex<Inner>,
    changed: Notify,
}

#[derive(Default)]
struct Inner {
    /// Shared with those who are told and with what is kept on the disk.
    events: Vec<Arc<StatusResponse>>,
    vertexes: Vec<Vertex>,
    /// The output of steps under way, by vertex and stream.
    clips: BTreeMap<(String, i64), Clip>,
    source: Option<SourceInfo>,
    /// What the build checks were told to have found.
    warned: HashSet<String>,
    /// What failed first.
    failed: Option<Place>,
    ended: bool,
}

/// A build in numbers: steps from the cache, all, and completed ones, and warnings.
pub(super) struct Counts {
    pub(super) cached: i32,
    pub(super) all: i32,
    pub(super) completed: i32,
    pub(super) warnings: i32,
}

impl Inner {
    fn tell(&mut self, event: StatusResponse) {
        if !self.ended {
            self.events.push(Arc::new(event));
        }
    }

    fn tell_vertex(&mut self, vertex: Vertex) {
        match self.vertexes.iter_mut().find(|known| known.digest == vertex.digest) {
            Some(known) => *known = vertex.clone(),
            None => self.vertexes.push(vertex.clone()),
        }
        self.tell(StatusResponse { vertexes: vec![vertex], ..Default::default() });
    }

    fn tell_output(&mut self, vertex: String, stream: i64, bytes: &[u8]) {
        let told = self.clips.entry((vertex.clone(), stream)).or_insert_with(Clip::begin).told(bytes);
        self.tell_log(vertex, stream, told);
    }

    fn end_output(&mut self, vertex: &str) {
        for stream in [Stream::Out, Stream::Error].map(number_of) {
            let clip = self.clips.remove(&(vertex.to_owned(), stream));
            self.tell_log(vertex.to_owned(), stream, clip.map(Clip::end).unwrap_or_default());
        }
    }

    fn tell_log(&mut self, vertex: String, stream: i64, message: Vec<u8>) {
        if !message.is_empty() {
            let log = VertexLog { vertex, timestamp: Some(now()), stream, message };
            self.tell(StatusResponse { logs: vec![log], ..Default::default() });
        }
    }
}

impl Progress {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Under one lock, so that what comes first is told first.
    fn tell_by(&self, tell: impl FnOnce(&mut Inner)) {
        tell(&mut self.inner());
        self.changed.notify_waiters();
    }

    fn tell(&self, event: StatusResponse) {
        self.tell_by(|inner| inner.tell(event));
    }

    fn tell_vertex(&self, vertex: Vertex) {
        self.tell_by(|inner| inner.tell_vertex(vertex));
    }

    /// What happened from the event `at` on; none when no more will.
    pub(super) async fn next(&self, at: usize) -> Option<Vec<Arc<StatusResponse>>> {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            // From here on a change wakes this, also one before the await.
            changed.as_mut().enable();
            {
                let inner = self.inner();
                if at < inner.events.len() {
                    return Some(inner.events[at..].to_vec());
                }
                if inner.ended {
                    return None;
                }
            }
            changed.await;
        }
    }

    /// Everything that has happened.
    pub(super) fn all(&self) -> Vec<Arc<StatusResponse>> {
        self.inner().events.clone()
    }

    pub(super) fn end(&self) {
        self.inner().ended = true;
        self.changed.notify_waiters();
    }

    pub(super) fn has_ended(&self) -> bool {
        self.inner().ended
    }

    /// How much was done and warned of so far.
    pub(super) fn counts(&self) -> Counts {
        let inner = self.inner();
        let number = |count: usize| i32::try_from(count).unwrap_or(i32::MAX);
        let count = |wanted: fn(&&Vertex) -> bool| number(inner.vertexes.iter().filter(wanted).count());
        Counts {
            cached: count(|vertex| vertex.cached),
            all: count(|_| true),
            completed: count(|vertex| vertex.completed.is_some()),
            warnings: number(inner.warned.len()),
        }
    }

    /// Notes where the build failed; the first place is the reason.
    pub(super) fn fail_at(&self, place: Place) {
        self.inner().failed.get_or_insert(place);
    }

    /// The build's failure, with the lines that it is about.
    pub(super) fn failure(&self, code: Code, message: String) -> Status {
        let inner = self.inner();
        let source = inner.source.as_ref().filter(|source| source.data.len() <= SHOWN);
        let (Some(source), Some(place)) = (source, inner.failed) else {
            return Status::new(code, message);
        };
        let line = |line: usize| json!({ "line": line });
        // BuildKit's details are JSON as its Go types have it (`solver/errdefs`, `util/grpcerrors`).
        let value = json!({
            "info": {
                "filename": source.filename,
                "data": base64::engine::general_purpose::STANDARD.encode(&source.data),
                "language": source.language,
            },
            "ranges": [{ "start": line(place.line), "end": line(place.end_line.max(place.line)) }],
        });
        let detail = Any { type_url: SOURCE.to_owned(), value: value.to_string().into_bytes() };
        let failed = Failed { code: code.into(), message: message.clone(), details: vec![detail] };
        Status::with_details(code, message, failed.encode_to_vec().into())
    }

    /// The Dockerfile that warnings and the failure point into.
    pub(super) fn set_source(&self, filename: &str, text: &str) {
        self.inner().source = Some(SourceInfo {
            filename: filename.to_owned(),
            data: text.as_bytes().to_vec(),
            language: "Dockerfile".to_owned(),
        });
    }

    /// Starts something that isn't a step of the Dockerfile.
    pub(super) fn start(self: &Arc<Self>, name: &str) -> Work {
        let vertex = Vertex {
            digest: work_digest(name),
            name: name.to_owned(),
            started: Some(now()),
            ..Default::default()
        };
        self.tell_vertex(vertex.clone());
        Work { progress: self.clone(), vertex, ended: false }
    }

    fn transfer(&self, vertex: &str, id: &str, current: u64, total: u64, completed: bool) {
        let number = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        let status = VertexStatus {
            id: id.to_owned(),
            vertex: vertex.to_owned(),
            name: String::new(),
            current: number(current),
            total: number(total),
            timestamp: Some(now()),
            started: Some(now()),
            completed: completed.then(now),
        };
        self.tell(StatusResponse { statuses: vec![status], ..Default::default() });
    }
}

/// Something under way; dropped without an end, it is shown as broken off.
pub(super) struct Work {
    progress: Arc<Progress>,
    vertex: Vertex,
    ended: bool,
}

impl Work {
    /// How much of something has been moved.
    pub(super) fn transfer(&self, what: &str, current: u64, total: u64, completed: bool) {
        self.progress.transfer(&self.vertex.digest, what, current, total, completed);
    }

    /// It is done, or why not.
    pub(super) fn end(mut self, error: Option<&str>) {
        self.ended = true;
        self.vertex.completed = Some(now());
        error.unwrap_or_default().clone_into(&mut self.vertex.error);
        self.progress.tell_vertex(self.vertex.clone());
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        if !self.ended {
            self.vertex.completed = Some(now());
            "context canceled".clone_into(&mut self.vertex.error);
            self.progress.tell_vertex(self.vertex.clone());
        }
    }
}

/// Tells a build's steps.
#[derive(Clone)]
pub(super) struct Watcher {
    pub(super) progress: Arc<Progress>,
    /// What the build is for, where there are several.
    pub(super) platform: Option<String>,
}

impl Watcher {
    fn vertex(&self, step: &StepName) -> Vertex {
        let place = format!("{} {}", step.stage, step.index);
        let name = match &self.platform {
            Some(platform) => step.title.replacen('[', &format!("[{platform} "), 1),
            None => step.title.clone(),
        };
        Vertex { digest: key_of(&["step", &place, &name]).to_string(), name, ..Default::default() }
    }

    fn started(&self, step: &StepName) -> Vertex {
        let wanted = self.vertex(step);
        let inner = self.progress.inner();
        inner.vertexes.iter().find(|known| known.digest == wanted.digest).cloned().unwrap_or(wanted)
    }

    /// A step says no more.
    fn ends(&self, step: &StepName) {
        let vertex = self.vertex(step).digest;
        self.progress.tell_by(|inner| inner.end_output(&vertex));
    }
}

impl Observer for Watcher {
    fn begins(&self, step: &StepName) {
        if step.makes_files {
            self.progress.tell_vertex(Vertex { started: Some(now()), ..self.vertex(step) });
        }
    }

    fn says(&self, step: &StepName, stream: Stream, bytes: &[u8]) {
        let vertex = self.vertex(step).digest;
        self.progress.tell_by(|inner| inner.tell_output(vertex, number_of(stream), bytes));
    }

    fn moves(&self, step: &StepName, moved: &Moved) {
        let Some(detail) = moved.detail else { return };
        let id =
            if moved.id.is_empty() { moved.status.clone() } else { format!("{} {}", moved.status, moved.id) };
        let completed = detail.total > 0 && detail.current >= detail.total;
        self.progress.transfer(&self.vertex(step).digest, &id, detail.current, detail.total, completed);
    }

    fn done(&self, step: &StepName, outcome: Outcome, _state: &State) -> Result<(), Error> {
        if step.makes_files {
            self.ends(step);
            let (completed, cached) = (Some(now()), outcome == Outcome::Cached);
            self.progress.tell_vertex(Vertex { completed, cached, ..self.started(step) });
        }
        Ok(())
    }

    fn used_again(&self, step: &StepName) {
        self.progress.tell_vertex(Vertex { completed: Some(now()), cached: true, ..self.started(step) });
    }

    fn failed(&self, step: &StepName, error: &Error) {
        if !matches!(error, Error::Cancelled | Error::Stage(_)) {
            self.progress.fail_at(step.place);
        }
        // What is told of the stage that another one begins with is enough.
        if matches!(error, Error::Stage(_)) && !step.makes_files {
            return;
        }
        let error = words(error);
        self.ends(step);
        self.progress.tell_vertex(Vertex { completed: Some(now()), error, ..self.started(step) });
    }

    fn warns(&self, warning: &Warning) {
        let number = |value: usize| i32::try_from(value).unwrap_or(i32::MAX);
        let short = format!("{}: {} (line {})", warning.rule, warning.message, warning.place.line);
        let info = {
            let mut inner = self.progress.inner();
            // Of several platforms each finds the same.
            if !inner.warned.insert(short.clone()) {
                return;
            }
            inner.source.clone()
        };
        let (start, end) = warning.place.positions();
        let at = |(line, character)| Some(Position { line: number(line), character: number(character) });
        let ranges = vec![Range { start: at(start), end: at(end) }];
        let warning = VertexWarning {
            vertex: info.as_ref().map(|info| work_digest(&definition(&info.filename))).unwrap_or_default(),
            level: 1,
            short: short.into_bytes(),
            detail: vec![warning.about.as_bytes().to_vec()],
            url: warning.url(),
            info,
            ranges,
        };
        self.progress.tell(StatusResponse { warnings: vec![warning], ..Default::default() });
    }
}

/// As BuildKit numbers streams.
fn number_of(stream: Stream) -> i64 {
    match stream {
        Stream::Out => 1,
        Stream::Error => 2,
    }
}

fn work_digest(name: &str) -> String {
    key_of(&["work", name]).to_string()
}

/// What loading a Dockerfile is called.
pub(super) fn definition(filename: &str) -> String {
    format!("[internal] load build definition from {filename}")
}

/// An error in BuildKit's words.
pub(super) fn words(error: &Error) -> String {
    match error {
        Error::Command { command, code } => {
            format!("process {command:?} did not complete successfully: exit code: {code}")
        }
        Error::Copy { reason, .. } => {
            match reason.split_once("stat ").and_then(|(_, rest)| rest.split_once(": ")) {
                Some((path, _)) => {
                    format!(
                        "failed to compute cache key: failed to calculate checksum of ref: \"/{path}\": not found"
                    )
                }
                None => reason.clone(),
            }
        }
        Error::Cancelled => "context canceled".to_owned(),
        Error::Stage(error) => words(error),
        other => other.describe(),
    }
}

fn now() -> super::messages::Timestamp {
    Timestamp::now().into()
}
