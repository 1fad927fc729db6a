//! One blob into the content store: checked while it streams, continued where a broken stream or a crash left it.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::header::RANGE;
use hyper::{Method, Response, StatusCode};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

use super::patience::PATIENCE;
use super::reason;
use super::session::{self, Ask, Session};
use crate::blobs::Blobs;
use crate::digest::Hashed;
use crate::growth::Growth;
use crate::manifest::Descriptor;
use crate::{Digest, Error, Reference, Result, Store, durable};

/// Pauses between attempts double, this often at most (about three seconds).
const LONGEST_PAUSE: u32 = 5;
/// What has another digest than the one that was asked for.
const DOWNLOAD: &str = "download";
/// Chunks on their way to the disk, of [`super::connect::LONGEST_CHUNK`] at most.
const WAITING: usize = 32;

/// Fetches a blob, and once more from its beginning when what an earlier attempt had left of it turns out to be wrong: a
/// power cut leaves files whose bytes aren't all there. On a full disk what has come isn't kept for another attempt.
pub(super) async fn begun_or_afresh<F: Future<Output = Result<()>>>(
    store: &Store,
    digest: &Digest,
    fetch: impl Fn() -> F,
) -> Result<()> {
    let is_begun = fs::metadata(store.blobs().partial_path(digest)).is_ok_and(|left| left.len() > 0);
    match fetch().await {
        Err(Error::WrongDigest { subject: DOWNLOAD, .. }) if is_begun => fetch().await,
        Err(error) if error.is_lack_of_room() => {
            drop(fs::remove_file(store.blobs().partial_path(digest)));
            Err(error)
        }
        fetched => fetched,
    }
}

/// Brings a blob into the store. After so many `attempts` without a single new byte it fails. `moved` hears the bytes
/// done, `growth` those that are on the disk. Nobody else may download it meanwhile.
pub(super) async fn blob(
    session: &Session,
    store: &Store,
    reference: &Reference,
    wanted: &Descriptor,
    attempts: u32,
    growth: &Arc<Growth>,
    moved: &(dyn Fn(u64) + Send + Sync),
) -> Result<()> {
    let path = store.blobs().partial_path(&wanted.digest);
    let mut file = begin(path.clone(), wanted.size).await?;
    growth.reached(file.count());
    let mut failures = 0;
    while file.count() < wanted.size || wanted.size == 0 {
        let before = file.count();
        let (back, result) = attempt(session, store, reference, wanted, file, (&path, growth), moved).await?;
        file = back;
        match result {
            Ok(()) if file.count() >= wanted.size => break,
            result => {
                failures = if file.count() > before { 0 } else { failures + 1 };
                if failures >= attempts {
                    return result.and(Err(Error::BadAnswer {
                        url: session.base().to_owned(),
                        problem: "a blob ends too early",
                    }));
                }
                tracing::debug!(digest = %wanted.digest, at = file.count(), ?result, "download continues");
                // A registry that just restarted needs a moment; the waits are as many as the attempts.
                sleep(Duration::from_millis(100 << failures.min(LONGEST_PAUSE))).await;
            }
        }
    }
    finish(store.clone(), file, wanted.clone(), path).await
}

/// Opens what an earlier attempt left, its bytes already in the digest.
async fn begin(path: PathBuf, size: u64) -> Result<Hashed<File>> {
    blocking("reading a partial download", move || {
        let open = || -> io::Result<Hashed<File>> {
            let mut file = File::options().read(true).append(true).create(true).open(&path)?;
            if file.metadata()?.len() > size {
                file.set_len(0)?;
            }
            let mut have = Vec::new();
            let mut hashed = Hashed::new(file.try_clone()?);
            have.resize(128 << 10, 0);
            while hashed.read(&mut have)? > 0 {}
            file.flush()?;
            Ok(hashed)
        };
        open().map_err(Error::file("open", path))
    })
    .await
}

/// One request and as much of its answer as comes. The outer error is final, the inner one may be tried again.
async fn attempt(
    session: &Session,
    store: &Store,
    reference: &Reference,
    wanted: &Descriptor,
    file: Hashed<File>,
    (path, growth): (&Path, &Arc<Growth>),
    moved: &(dyn Fn(u64) + Send + Sync),
) -> Result<(Hashed<File>, Result<()>)> {
    let target = format!("/v2/{}/blobs/{}", reference.path(), wanted.digest);
    let range = format!("bytes={}-", file.count());
    let headers = [(RANGE, range.as_str())];
    let headers = if file.count() > 0 { headers.as_slice() } else { &[] };
    let response = match session.ask(&Ask { method: Method::GET, target: &target, headers }).await {
        Ok(response) => response,
        Err(error @ (Error::NoCredentials | Error::Unauthorized { .. } | Error::Denied { .. })) => {
            return Err(error);
        }
        Err(error) => return Ok((file, Err(error))),
    };
    let file = match response.status() {
        StatusCode::PARTIAL_CONTENT => file,
        // All of it, whether we asked for a part or not.
        StatusCode::OK => restart(file, path)?,
        StatusCode::RANGE_NOT_SATISFIABLE => {
            return Ok((restart(file, path)?, Err(bad(session, "it refuses a range"))));
        }
        status if status.is_server_error() => {
            return Ok((file, Err(session::refusal(response).await.into_error(reference))));
        }
        _ => return Err(session::refusal(response).await.into_error(reference)),
    };
    let (sender, receiver) = mpsc::channel(WAITING);
    let (growth, store) = (Arc::clone(growth), store.clone());
    let writer = tokio::task::spawn_blocking(move || write(file, receiver, &growth, store.blobs()));
    let received = receive(session, response, wanted.size, sender, moved).await;
    let (file, written) = writer.await.map_err(|_| Error::Interrupted("the download"))?;
    written.map_err(Error::file("write", path))?;
    Ok((file, received?))
}

/// Passes the answer's bytes to the writer. More than the manifest says is a lie and final.
async fn receive(
    session: &Session,
    response: Response<Incoming>,
    size: u64,
    sender: mpsc::Sender<Bytes>,
    moved: &(dyn Fn(u64) + Send + Sync),
) -> Result<Result<()>> {
    let is_part = response.status() == StatusCode::PARTIAL_CONTENT;
    let start = response.headers().get(hyper::header::CONTENT_RANGE).and_then(|value| value.to_str().ok());
    let start = start.and_then(|value| value.strip_prefix("bytes ")?.split('-').next()?.parse::<u64>().ok());
    let mut done = if is_part { start.unwrap_or(0) } else { 0 };
    let mut body = response.into_body();
    loop {
        let data = match timeout(PATIENCE, body.frame()).await {
            Err(_) => return Ok(Err(bad(session, "no more bytes before the deadline"))),
            Ok(None) => return Ok(Ok(())),
            Ok(Some(Err(error))) => {
                let source = io::Error::other(reason::innermost(&error));
                return Ok(Err(Error::Stream { operation: "download", source }));
            }
            Ok(Some(Ok(frame))) => frame.into_data().unwrap_or_default(),
        };
        done += data.len() as u64;
        if done > size {
            return Err(bad(session, "a blob is longer than its manifest says"));
        }
        if sender.send(data).await.is_err() {
            // The writer failed and says why.
            return Ok(Ok(()));
        }
        moved(done);
    }
}

fn write(
    mut file: Hashed<File>,
    mut chunks: mpsc::Receiver<Bytes>,
    growth: &Growth,
    blobs: &Blobs,
) -> (Hashed<File>, io::Result<()>) {
    while let Some(chunk) = chunks.blocking_recv() {
        if let Err(error) = file.write_all(&chunk) {
            return (file, Err(error));
        }
        growth.reached(file.count());
        blobs.wrote(chunk.len() as u64);
    }
    (file, Ok(()))
}

fn restart(file: Hashed<File>, path: &Path) -> Result<Hashed<File>> {
    let (file, _, _) = file.finish();
    file.set_len(0).map_err(Error::file("truncate", path))?;
    Ok(Hashed::new(file))
}

async fn finish(store: Store, file: Hashed<File>, wanted: Descriptor, path: PathBuf) -> Result<()> {
    blocking("storing a download", move || {
        let (_, found, size) = file.finish();
        if found != wanted.digest || size != wanted.size {
            durable::remove(&path)?;
            return Err(Error::WrongDigest { subject: DOWNLOAD, expected: wanted.digest, found });
        }
        store.blobs().adopt_partial(&wanted.digest)
    })
    .await
}

fn bad(session: &Session, problem: &'static str) -> Error {
    Error::BadAnswer { url: session.base().to_owned(), problem }
}

/// Runs what blocks on a thread that may.
pub(super) async fn blocking<T: Send + 'static>(
    what: &'static str,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(|_| Error::Interrupted(what))?
}
