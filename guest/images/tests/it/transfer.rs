//! Running pulls and pushes, with everything they reported.

use std::sync::Mutex;

use berth_images::registry::{Choice, Client, Credentials, Options, Pulled, Pushed};
use berth_images::{Compression, Outbound, Packing, Platform, Progress, Reference, Result};

use crate::fixture::Place;

/// A pull or push with everything it reported.
pub(crate) struct Done<T> {
    pub(crate) result: Result<T>,
    pub(crate) lines: Vec<Progress>,
}

impl<T> Done<T> {
    pub(crate) fn statuses(&self) -> Vec<&str> {
        self.lines.iter().map(|line| line.status.as_str()).collect()
    }

    pub(crate) fn error(self) -> String {
        self.result.err().unwrap().to_string()
    }
}

pub(crate) fn run<T>(work: impl AsyncFnOnce(&(dyn Fn(Progress) + Send + Sync)) -> Result<T>) -> Done<T> {
    let lines = Mutex::new(Vec::new());
    let report = |line| lines.lock().unwrap().push(line);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let result = runtime.block_on(work(&report));
    Done { result, lines: lines.into_inner().unwrap() }
}

pub(crate) fn client() -> Client {
    Client::new(Options { user_agent: "berth-test".to_owned(), ..Options::default() })
}

pub(crate) fn push(place: &Place, name: &str, credentials: Option<&Credentials>) -> Done<Pushed> {
    let reference: Reference = name.parse().unwrap();
    run(async |report| client().push(&place.store, &reference, credentials, report).await)
}

/// Pushes layers as they are, so that a test knows the blobs that the registry gets.
pub(crate) fn push_plain(place: &Place, name: &str) -> Done<Pushed> {
    let reference: Reference = name.parse().unwrap();
    let image = place.store.image(name).unwrap().id;
    let packing = Packing { compression: Compression::Uncompressed, ..Packing::default() };
    let outbound = Outbound { packing, ..Outbound::default() };
    run(async |report| {
        client()
            .push_images(&place.store, &reference, std::slice::from_ref(&image), &outbound, None, report)
            .await
    })
}

pub(crate) fn pull(
    place: &Place,
    name: &str,
    platform: Option<&str>,
    credentials: Option<&Credentials>,
) -> Done<Pulled> {
    let reference: Reference = name.parse().unwrap();
    let platform: Option<Platform> = platform.map(|platform| platform.parse().unwrap());
    let choice = platform.as_ref().map_or(Choice::Local, Choice::Prefer);
    run(async |report| client().pull(&place.store, &reference, choice, credentials, report).await)
}
