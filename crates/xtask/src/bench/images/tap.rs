//! A socket between a client and its engine, which knows how long the engine was busy with a build: from the first byte
//! of the client's gRPC connection to the last that came back on it.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use anyhow::Context;

const BLOCK: usize = 64 << 10;

/// When the first byte was asked and the last one answered.
#[derive(Default)]
struct Seen(Mutex<Option<(Instant, Instant)>>);

impl Seen {
    fn note(&self) {
        let now = Instant::now();
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let first = seen.map_or(now, |(first, _)| first);
        *seen = Some((first, now));
    }
}

/// The socket; its connections end with the client's.
pub(super) struct Tap {
    /// What the client is told.
    pub(super) socket: PathBuf,
    seen: Arc<Seen>,
}

impl Tap {
    /// Listens at `socket` for clients of the engine behind `engine`.
    pub(super) fn start(engine: &Path, socket: PathBuf) -> anyhow::Result<Self> {
        let listener =
            UnixListener::bind(&socket).with_context(|| format!("listen on {}", socket.display()))?;
        let seen = Arc::new(Seen::default());
        let (engine, noted) = (engine.to_path_buf(), Arc::clone(&seen));
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let Ok(engine) = UnixStream::connect(&engine) else { continue };
                let noted = Arc::clone(&noted);
                std::thread::spawn(move || drop(carry(client, engine, &noted)));
            }
        });
        Ok(Self { socket, seen })
    }

    /// The seconds that the engine was busy since this was last asked.
    pub(super) fn took(&self) -> anyhow::Result<f64> {
        let seen = self.seen.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        let (first, last) = seen.context("the client made no gRPC connection")?;
        Ok((last - first).as_secs_f64())
    }
}

fn carry(mut client: UnixStream, mut engine: UnixStream, seen: &Arc<Seen>) -> std::io::Result<()> {
    let mut first = vec![0; BLOCK];
    let read = client.read(&mut first)?;
    let path = first[..read].split(|byte| *byte == b' ').nth(1).unwrap_or_default();
    let noted = path.ends_with(b"/grpc").then(|| Arc::clone(seen));
    if let Some(seen) = &noted {
        seen.note();
    }
    engine.write_all(&first[..read])?;
    let (from_client, to_engine) = (client.try_clone()?, engine.try_clone()?);
    std::thread::spawn(move || copy(from_client, to_engine, || {}));
    copy(engine, client, || noted.iter().for_each(|seen| seen.note()));
    Ok(())
}

/// Copies until one side ends or breaks, which the other is told.
fn copy(mut from: UnixStream, mut to: UnixStream, mut passed: impl FnMut()) {
    let mut block = vec![0; BLOCK];
    while let Ok(read @ 1..) = from.read(&mut block) {
        passed();
        if to.write_all(&block[..read]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}
