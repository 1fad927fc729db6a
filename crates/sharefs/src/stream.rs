//! Requests over a stream, for guests that have no queue: each as `/dev/fuse` gives it, and each reply as `/dev/fuse`
//! takes it, in the order in which they come to be.
//!
//! The threads take turns at reading: whoever has read a request lets the next one read and answers it, so that a slow
//! disk delays nobody but who asked for it.

use std::io::{self, BufReader, ErrorKind, Read, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::carrier::Later;
use crate::server::Server;
use crate::wire::{LONGEST_DATA, REQUEST_HEADER};

/// Requests that are answered at once.
const THREADS: usize = 4;
/// The longest request, and the longest reply: 1 MiB of data and what is said of it.
const LONGEST: usize = LONGEST_DATA + 4096;
/// Most requests are a few hundred bytes long: so many are read at once.
const READ_AHEAD: usize = 16 << 10;

impl Server {
    /// Answers what comes over a stream until it ends. What the guest holds stays held: another stream goes on where
    /// this one ended, but for the requests that were under way.
    ///
    /// # Errors
    /// When the stream fails, or what comes is no request: then its other half is to be ended, too.
    pub fn answer_stream(
        &self,
        requests: impl Read + Send,
        replies: impl Write + Send + 'static,
    ) -> io::Result<()> {
        let requests = Mutex::new(Some(BufReader::with_capacity(READ_AHEAD, requests)));
        let replies = Arc::new(Mutex::new(replies));
        let answer = || self.take_turns(&requests, &replies);
        std::thread::scope(|scope| {
            let spawn = |_| std::thread::Builder::new().name("shares".to_owned()).spawn_scoped(scope, answer);
            let threads = (1..THREADS).map(spawn).collect::<io::Result<Vec<_>>>()?;
            let ended = answer();
            threads.into_iter().filter_map(|thread| thread.join().ok()).fold(ended, Result::and)
        })
    }

    /// One thread's part of it.
    fn take_turns(
        &self,
        requests: &Mutex<Option<BufReader<impl Read>>>,
        replies: &Arc<Mutex<impl Write + Send + 'static>>,
    ) -> io::Result<()> {
        let (mut request, mut reply) = (Vec::new(), Vec::new());
        let later = || -> Later {
            let replies = Arc::clone(replies);
            // Of a stream that failed its threads hear themselves.
            Box::new(move |reply: &[u8]| drop(lock(&replies).write_all(reply)))
        };
        loop {
            let mut turn = lock(requests);
            let length = match turn.as_mut().map(|requests| next(requests, &mut request)) {
                Some(Ok(Some(length))) => length,
                ended => {
                    *turn = None;
                    return ended.transpose().map(drop);
                }
            };
            drop(turn);
            if self.answer_message(&request[..length], LONGEST, &mut reply, &later) && !reply.is_empty() {
                lock(replies).write_all(&reply)?;
            }
        }
    }
}

/// Reads one request and returns its length; none at the stream's end. `into` is as long as the longest one so far.
fn next(requests: &mut impl Read, into: &mut Vec<u8>) -> io::Result<Option<usize>> {
    let mut length = [0; 4];
    match requests.read_exact(&mut length) {
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(None),
        read => read?,
    }
    let total = u32::from_le_bytes(length) as usize;
    if !(REQUEST_HEADER..=LONGEST).contains(&total) {
        return Err(io::Error::new(ErrorKind::InvalidData, format!("a request of {total} bytes")));
    }
    // Zeroed once, not for each request: it is overwritten anyway.
    if into.len() < total {
        into.resize(total, 0);
    }
    into[..4].copy_from_slice(&length);
    requests.read_exact(&mut into[4..total])?;
    Ok(Some(total))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
