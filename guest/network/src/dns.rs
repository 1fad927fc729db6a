//! Names: the resolver at 127.0.0.11 of every container in a user's network.
//!
//! Its sockets lie in the container's namespace on ports of the kernel's choice, with a translation from port 53
//! there, so that the container's own port 53 stays free. One thread serves the datagrams of all containers; a
//! stream has a thread of its own, and few streams are needed. What isn't a name of the container's networks goes
//! to the container's name servers, else to this machine's own, from this machine; what these say isn't there is kept
//! for a while.

mod absent;
mod answer;
mod directory;
mod forward;
mod sockets;

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::Builder;
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec};

pub(crate) use directory::Directory;

use absent::Absent;
use answer::Reply;
use forward::Pending;
use sockets::Sockets;

use crate::error::Result;

/// Queries that wait for other resolvers, and streams: more are dropped, and asked again by those who care.
const MOST_PENDING: usize = 512;
const MOST_STREAMS: usize = 64;
/// How long a stream may say nothing.
const PATIENCE: Duration = Duration::from_secs(10);

/// The thread that answers; it ends with the value.
pub(crate) struct Resolver(Arc<Shared>);

struct Shared {
    /// Rung when the containers change.
    bell: OwnedFd,
    directory: Mutex<Directory>,
    /// The sockets by container; `None` when the thread is to end.
    containers: Mutex<Option<HashMap<String, Arc<Sockets>>>>,
    streams: AtomicUsize,
    absent: Absent,
}

impl Resolver {
    pub(crate) fn start() -> io::Result<Self> {
        let shared = Arc::new(Shared {
            bell: rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?,
            directory: Mutex::new(Directory::default()),
            containers: Mutex::new(Some(HashMap::new())),
            streams: AtomicUsize::new(0),
            absent: Absent::default(),
        });
        let serving = Arc::clone(&shared);
        Builder::new().name("names".to_owned()).spawn(move || serve(&serving))?;
        Ok(Self(shared))
    }

    /// Answers in the container's namespace from now on; twice is fine. `table` is the name of the rules there, `servers`
    /// are asked for what isn't a name here, this machine's own when there are none.
    pub(crate) fn open(
        &self,
        container: &str,
        sandbox: &Path,
        table: &str,
        servers: Vec<IpAddr>,
    ) -> Result<()> {
        let is_open = |containers: &HashMap<String, _>| containers.contains_key(container);
        if self.0.containers.lock().unwrap_or_else(PoisonError::into_inner).as_ref().is_some_and(is_open) {
            return Ok(());
        }
        let sockets = Arc::new(Sockets::open(container, sandbox, table, servers)?);
        self.change(|containers| {
            containers.insert(container.to_owned(), sockets);
        });
        Ok(())
    }

    /// Closes the container's sockets; none is fine.
    pub(crate) fn close(&self, container: &str) {
        self.change(|containers| {
            containers.remove(container);
        });
    }

    /// Makes these the names.
    pub(crate) fn learn(&self, directory: Directory) {
        *self.0.directory.lock().unwrap_or_else(PoisonError::into_inner) = directory;
    }

    fn change(&self, change: impl FnOnce(&mut HashMap<String, Arc<Sockets>>)) {
        let mut containers = self.0.containers.lock().unwrap_or_else(PoisonError::into_inner);
        containers.as_mut().map(change);
        self.0.ring();
    }
}

impl Drop for Resolver {
    fn drop(&mut self) {
        *self.0.containers.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.0.ring();
    }
}

impl Shared {
    fn ring(&self) {
        // A bell that can't ring any louder has been heard.
        let _ = rustix::io::write(&self.bell, &1_u64.to_ne_bytes());
    }

    fn reply(&self, container: &str, query: &[u8], datagram: bool) -> Reply {
        let directory = self.directory.lock().unwrap_or_else(PoisonError::into_inner);
        answer::reply(&directory, container, query, datagram)
    }
}

fn serve(shared: &Arc<Shared>) {
    let mut pending: Vec<Pending> = Vec::new();
    loop {
        let containers = shared
            .containers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .as_ref()
            .map(|all| all.values().cloned().collect::<Vec<Arc<Sockets>>>());
        let Some(containers) = containers else { return };
        let Ok(ready) = wait(shared, &containers, &pending) else { continue };
        let (bell, ready) = ready.split_at(1);
        if bell[0] {
            let _ = rustix::io::read(&shared.bell, &mut [0; 8]);
        }
        let (sockets, answers) = ready.split_at(containers.len() * 2);
        let mut answers = answers.iter();
        pending.retain_mut(|one| !one.advance(*answers.next().unwrap_or(&false), &shared.absent));
        for (sockets, ready) in containers.iter().zip(sockets.chunks(2)) {
            if ready[0] {
                take_datagram(shared, sockets, &mut pending);
            }
            if ready[1] {
                take_stream(shared, sockets);
            }
        }
    }
}

/// Waits for something to do: the bell, two sockets of each container, each pending answer.
fn wait(shared: &Shared, containers: &[Arc<Sockets>], pending: &[Pending]) -> io::Result<Vec<bool>> {
    let mut waiting = vec![PollFd::new(&shared.bell, PollFlags::IN)];
    for sockets in containers {
        waiting.push(PollFd::from_borrowed_fd(sockets.datagrams.as_fd(), PollFlags::IN));
        waiting.push(PollFd::from_borrowed_fd(sockets.streams.as_fd(), PollFlags::IN));
    }
    waiting.extend(pending.iter().map(|one| PollFd::from_borrowed_fd(one.socket(), PollFlags::IN)));
    let next = pending.iter().map(Pending::deadline).min();
    let timeout = next.map(|deadline| {
        let left = deadline.saturating_duration_since(Instant::now());
        Timespec { tv_sec: i64::try_from(left.as_secs()).unwrap_or(0), tv_nsec: left.subsec_nanos().into() }
    });
    rustix::event::poll(&mut waiting, timeout.as_ref())?;
    Ok(waiting.iter().map(|one| !one.revents().is_empty()).collect())
}

fn take_datagram(shared: &Shared, sockets: &Arc<Sockets>, pending: &mut Vec<Pending>) {
    let mut query = [0; 4096];
    let Ok((length, client)) = sockets.datagrams.recv_from(&mut query) else { return };
    let query = &query[..length];
    match shared.reply(&sockets.container, query, true) {
        Reply::Known(answer) => {
            let _ = sockets.datagrams.send_to(&answer, client);
        }
        Reply::Elsewhere if pending.len() < MOST_PENDING => {
            pending.extend(Pending::start(sockets, client, query, &shared.absent));
        }
        Reply::Elsewhere | Reply::Nothing => {}
    }
}

fn take_stream(shared: &Arc<Shared>, sockets: &Arc<Sockets>) {
    let Ok((stream, _)) = sockets.streams.accept() else { return };
    if shared.streams.fetch_add(1, Ordering::Relaxed) >= MOST_STREAMS {
        shared.streams.fetch_sub(1, Ordering::Relaxed);
        return;
    }
    let (counted, sockets) = (Arc::clone(shared), Arc::clone(sockets));
    let started = Builder::new().name("names".to_owned()).spawn(move || {
        // A client that goes away is nobody's concern.
        let _ = serve_stream(&counted, &sockets, stream);
        counted.streams.fetch_sub(1, Ordering::Relaxed);
    });
    if started.is_err() {
        shared.streams.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Answers one query after another until the client is done (RFC 7766).
fn serve_stream(shared: &Shared, sockets: &Sockets, mut stream: TcpStream) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    loop {
        let query = read_framed(&mut stream)?;
        let answer = match shared.reply(&sockets.container, &query, false) {
            Reply::Known(answer) => answer,
            Reply::Elsewhere => forward::over_stream(sockets, &query, &shared.absent)
                .unwrap_or_else(|| answer::failure(&query)),
            Reply::Nothing => return Ok(()),
        };
        write_framed(&mut stream, &answer)?;
    }
}

/// Reads one message behind its length, as streams carry them (RFC 1035, 4.2.2).
fn read_framed(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut length = [0; 2];
    stream.read_exact(&mut length)?;
    let mut message = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut message)?;
    Ok(message)
}

fn write_framed(stream: &mut TcpStream, message: &[u8]) -> io::Result<()> {
    let length = u16::try_from(message.len()).map_err(io::Error::other)?;
    stream.write_all(&[&length.to_be_bytes()[..], message].concat())
}

/// The address that containers ask.
pub(crate) fn address(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 11], port))
}
