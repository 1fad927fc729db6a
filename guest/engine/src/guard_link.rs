//! The engine's end of the stream to a container's guard.

use std::collections::HashMap;
use std::os::fd::{AsFd, AsRawFd};
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use berth_guard::frame::Message;
use berth_guard::{
    CONTAINER, Decoder, ExecRequest, ExecState, FailureKind, FromGuard, LAUNCH_FILE, Launch, SOCKET_FILE,
    STDIN_WINDOW, State, ToGuard, WindowSize,
};
use bytes::Bytes;
use oci_spec::runtime::Process;
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::process::{Pid, PidfdFlags, WaitId, WaitIdOptions, pidfd_open, waitid};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::process::{ChildStdout, Command};
use tokio::sync::Semaphore;

use crate::anatomy::StartSpan;
use crate::signal::Signal;
use crate::{Error, durable};

/// How long a guard may take to make its container, and to start it.
const START_DEADLINE: Duration = Duration::from_secs(60);
/// Bytes of input in one message.
const PIECE: usize = 16 << 10;
/// Bytes read at once.
const READ_SIZE: usize = 64 << 10;

/// The engine's mouth at a guard.
#[derive(Debug)]
pub(crate) struct GuardLink {
    writer: tokio::sync::Mutex<OwnedWriteHalf>,
    /// Bytes of input that each process may still be sent.
    windows: Mutex<HashMap<u32, Arc<Semaphore>>>,
}

/// The engine's ears at a guard.
#[derive(Debug)]
pub(crate) struct Frames {
    reader: OwnedReadHalf,
    decoder: Decoder,
    buffer: Vec<u8>,
}

/// A guard that was connected to.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) link: Arc<GuardLink>,
    pub(crate) frames: Frames,
}

/// A container that was started.
#[derive(Debug)]
pub(crate) struct Started {
    pub(crate) link: Arc<GuardLink>,
    pub(crate) frames: Frames,
    pub(crate) pid: i32,
    /// The parts of the guard's work.
    pub(crate) spans: Vec<StartSpan>,
}

/// Starts `program` as the guard of the container whose folder of the exec root is `folder`.
pub(crate) async fn launch(program: &Path, folder: &Path, launch: &Launch) -> Result<Connection, Error> {
    durable::write_volatile(&folder.join(LAUNCH_FILE), launch)?;
    let failed = |phase| move |source| Error::Guard { phase, source };
    let mut guard = Command::new(program)
        .arg(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .process_group(0)
        .spawn()
        .map_err(failed("can't be started"))?;
    let said = guard.stdout.take();
    // Reaped whenever it ends; nobody waits for that.
    tokio::spawn(async move { guard.wait().await });
    if let Some(mut said) = said {
        // It says so, or it ended and closed the pipe.
        let ready = tokio::time::timeout(START_DEADLINE, ready(&mut said)).await;
        ready.map_err(|_| Error::GuardSilent(START_DEADLINE))?.map_err(|_| Error::GuardEnded)?;
    }
    connect(folder).await
}

/// Waits until the guard listens.
async fn ready(said: &mut ChildStdout) -> std::io::Result<()> {
    let process = said.read_i32().await?;
    if let Some(process) = Pid::from_raw(process) {
        reap(process);
    }
    said.read_u8().await.map(drop)
}

/// Sees to it that a guard that is a copy of the process that was started leaves no zombie.
fn reap(guard: Pid) {
    // Without one it isn't a child of ours, or has been reaped.
    let Ok(guard) = pidfd_open(guard, PidfdFlags::empty()) else { return };
    tokio::spawn(async move {
        let Ok(guard) = crate::sys::awaitable(guard) else { return };
        let _ended = guard.readable().await;
        let _reaped = waitid(WaitId::PidFd(guard.as_fd()), WaitIdOptions::EXITED | WaitIdOptions::NOHANG);
    });
}

/// Connects to the guard in `folder`.
pub(crate) async fn connect(folder: &Path) -> Result<Connection, Error> {
    let failed = |phase| move |source| Error::Guard { phase, source };
    let place = reachable(folder).map_err(failed("has no folder"))?;
    let stream = UnixStream::connect(place.socket()).await.map_err(failed("doesn't answer"))?;
    let (reader, writer) = stream.into_split();
    let frames = Frames { reader, decoder: Decoder::default(), buffer: vec![0; READ_SIZE] };
    let link = GuardLink { writer: tokio::sync::Mutex::new(writer), windows: Mutex::default() };
    Ok(Connection { link: Arc::new(link), frames })
}

/// A guard's folder, opened: its socket's path may be longer than a socket address holds.
struct Place(std::os::fd::OwnedFd);

fn reachable(folder: &Path) -> std::io::Result<Place> {
    Ok(Place(openat(CWD, folder, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?))
}

impl Place {
    fn socket(&self) -> String {
        format!("/proc/self/fd/{}/{SOCKET_FILE}", self.0.as_fd().as_raw_fd())
    }
}

impl Connection {
    /// What the guard knows.
    pub(crate) async fn hello(&mut self) -> Result<(State, Vec<ExecState>), Error> {
        match self.frames.next_in_time().await? {
            FromGuard::Hello { state, execs, .. } => Ok((state, execs)),
            FromGuard::CreateFailed { kind, message } => Err(refused(kind, message)),
            _ => Err(Error::GuardEnded),
        }
    }

    /// Lets the container run.
    pub(crate) async fn start(mut self) -> Result<Started, Error> {
        self.hello().await?;
        self.link.send(&ToGuard::Start).await?;
        match self.frames.next_in_time().await? {
            FromGuard::Started { pid, spans, .. } => {
                let spans = spans.into_iter();
                let spans = spans.map(|span| StartSpan { name: span.name, micros: span.micros }).collect();
                Ok(Started { link: self.link, frames: self.frames, pid, spans })
            }
            FromGuard::StartFailed { kind, message } | FromGuard::CreateFailed { kind, message } => {
                Err(refused(kind, message))
            }
            _ => Err(Error::GuardEnded),
        }
    }
}

fn refused(kind: FailureKind, message: String) -> Error {
    Error::ProgramRefused { message: explained(message), code: exit_code(kind) }
}

/// A runtime's words with what dockerd adds to them: clients look for that.
pub(crate) fn explained(message: String) -> String {
    if message.contains("not a directory") {
        message
            + ": Are you trying to mount a directory onto a file (or vice-versa)? Check if the specified host path \
               exists and is the expected type"
    } else if message.contains("is a directory") {
        message + ": permission denied"
    } else {
        message
    }
}

/// Docker's exit code for a program that can't be started.
pub(crate) fn exit_code(kind: FailureKind) -> i64 {
    match kind {
        FailureKind::NotFound => 127,
        FailureKind::NotExecutable => 126,
        FailureKind::Other => 128,
    }
}

impl Frames {
    /// The next message; none when the guard closed.
    pub(crate) async fn next(&mut self) -> Result<Option<FromGuard>, Error> {
        loop {
            match self.decoder.next_message().map_err(|source| Error::GuardNonsense { source })? {
                Some(message) => return Ok(Some(message)),
                None => match self.reader.read(&mut self.buffer).await {
                    Ok(0) | Err(_) => return Ok(None),
                    Ok(length) => self.decoder.feed(&self.buffer[..length]),
                },
            }
        }
    }

    async fn next_in_time(&mut self) -> Result<FromGuard, Error> {
        let message = tokio::time::timeout(START_DEADLINE, self.next()).await;
        message.map_err(|_| Error::GuardSilent(START_DEADLINE))??.ok_or(Error::GuardEnded)
    }
}

impl GuardLink {
    /// Sends one message.
    pub(crate) async fn send(&self, message: &ToGuard) -> Result<(), Error> {
        let mut bytes = Vec::new();
        message.encode(&mut bytes);
        let sent = self.writer.lock().await.write_all(&bytes).await;
        sent.map_err(|source| Error::Guard { phase: "can't be told", source })
    }

    /// Sends a signal to the container's own process.
    pub(crate) async fn signal(&self, signal: Signal) -> Result<(), Error> {
        self.signal_process(CONTAINER, signal).await
    }

    /// Sends a signal to a process by the guard's number for it.
    pub(crate) async fn signal_process(&self, process: u32, signal: Signal) -> Result<(), Error> {
        self.send(&ToGuard::Signal { process, signal: signal.number() }).await
    }

    /// Gives a process input, in pieces that fit into messages. Waits while it doesn't read, so that what it
    /// hasn't read never stands before a signal.
    pub(crate) async fn stdin(&self, process: u32, bytes: Bytes) -> Result<(), Error> {
        let window = self.window(process);
        for piece in bytes.chunks(PIECE) {
            let room = window.acquire_many(piece.len() as u32).await;
            room.map_err(|_| Error::GuardEnded)?.forget();
            self.send(&ToGuard::Stdin { process, bytes: piece.to_vec() }).await?;
        }
        Ok(())
    }

    /// Notes that a process took input.
    pub(crate) fn stdin_taken(&self, process: u32, bytes: u32) {
        self.window(process).add_permits(bytes as usize);
    }

    /// Ends whoever waits for a process to take input: it is gone.
    pub(crate) fn stdin_over(&self, process: u32) {
        let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(window) = windows.remove(&process) {
            window.close();
        }
    }

    fn window(&self, process: u32) -> Arc<Semaphore> {
        let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        windows.entry(process).or_insert_with(|| Arc::new(Semaphore::new(STDIN_WINDOW))).clone()
    }

    /// Closes a process's input.
    pub(crate) async fn close_stdin(&self, process: u32) -> Result<(), Error> {
        self.send(&ToGuard::CloseStdin { process }).await
    }

    /// Sets the size of a process's terminal.
    pub(crate) async fn resize(&self, process: u32, rows: u16, columns: u16) -> Result<(), Error> {
        self.send(&ToGuard::Resize { process, size: size([rows, columns]) }).await
    }

    /// Starts a further process.
    pub(crate) async fn exec(
        &self,
        process: u32,
        spec: Process,
        stdin: bool,
        console: Option<[u16; 2]>,
    ) -> Result<(), Error> {
        let terminal = spec.terminal().unwrap_or(false);
        let request = Box::new(ExecRequest { spec, terminal, size: console.map(size), stdin });
        self.send(&ToGuard::Exec { process, request }).await
    }

    /// Tells the guard that an exit was recorded.
    pub(crate) async fn acknowledge(&self, process: u32) {
        // A guard that is gone needs no acknowledgement.
        drop(self.send(&ToGuard::Ack { process }).await);
    }
}

/// Docker's `[rows, columns]`.
pub(crate) fn size([rows, columns]: [u16; 2]) -> WindowSize {
    WindowSize { rows, cols: columns }
}
