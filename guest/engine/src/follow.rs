//! Listening to a guard: output goes to whoever is attached, exits are recorded.

use std::pin::Pin;
use std::sync::Arc;

use berth_guard::{CONTAINER, ExitRecord, FromGuard};
use jiff::Timestamp;

use crate::Engine;
use crate::container::Container;
use crate::exec::Exec;
use crate::exit::Exit;
use crate::guard_link::{self, Frames};
use crate::output::{Chunk, Stream};

/// A guard that is being followed.
type Following = Pin<Box<dyn Future<Output = ()> + Send>>;

impl Engine {
    /// Follows a guard until its container has ended. A guard that closes before it told the exit was killed,
    /// and its container with it.
    ///
    /// Boxed, since an exit may lead to a restart, whose guard is followed in turn.
    pub(crate) fn follow_guard(self: Arc<Self>, container: Arc<Container>, frames: Frames) -> Following {
        Box::pin(self.follow(container, frames))
    }

    async fn follow(self: Arc<Self>, container: Arc<Container>, mut frames: Frames) {
        let exit = loop {
            match frames.next().await {
                Ok(Some(FromGuard::Exited { process: CONTAINER, exit })) => break Exit::from(exit),
                Ok(Some(message)) => self.heard(&container, message).await,
                Ok(None) => break self.exit_without_goodbye(&container),
                Err(error) => {
                    tracing::error!(
                        container = container.id,
                        error = &error as &dyn std::error::Error,
                        "its guard is lost"
                    );
                    break self.exit_without_goodbye(&container);
                }
            }
        };
        if let Ok(guard) = container.guard() {
            // Recorded by `exited` below, from what the guard left on disk if this engine dies before.
            guard.stdin_over(CONTAINER);
            guard.acknowledge(CONTAINER).await;
        }
        self.exited(&container, exit).await;
    }

    /// The exit of a container whose guard is gone: what it wrote down, or that it was killed.
    pub(crate) fn exit_without_goodbye(&self, container: &Container) -> Exit {
        match ExitRecord::read(&container.exec_folder) {
            Ok(Some(record)) => record.into(),
            _ => Exit::with_its_guard(),
        }
    }

    async fn heard(self: &Arc<Self>, container: &Arc<Container>, message: FromGuard) {
        match message {
            FromGuard::Output { process, stream, bytes, .. } => {
                let stream = match stream {
                    berth_guard::Stream::Stdout => Stream::Stdout,
                    berth_guard::Stream::Stderr => Stream::Stderr,
                };
                let chunk = Chunk { stream, bytes: bytes.into() };
                if process == CONTAINER {
                    container.wrote();
                    container.output.send(chunk).await;
                } else if let Some(exec) = exec_of(container, process) {
                    exec.output.send(chunk).await;
                }
            }
            FromGuard::ExecStarted { process, pid } => {
                if let Some(exec) = exec_of(container, process) {
                    exec.began(pid);
                }
            }
            FromGuard::ExecFailed { process, kind, message } => {
                if let Some(exec) = exec_of(container, process) {
                    let message = guard_link::explained(message);
                    exec.refused(
                        format!("unable to start container process: {message}"),
                        guard_link::exit_code(kind),
                    );
                }
            }
            FromGuard::Exited { process, exit } => {
                let exec = container.execs().remove(&process);
                if let Some(exec) = exec {
                    exec.end(i64::from(exit.code));
                    self.tell_exec_died(&exec, i64::from(exit.code));
                    tokio::spawn(self.clone().forget_exec(exec));
                }
                if let Ok(guard) = container.guard() {
                    guard.stdin_over(process);
                    guard.acknowledge(process).await;
                }
            }
            FromGuard::StdinTaken { process, bytes } => {
                if let Ok(guard) = container.guard() {
                    guard.stdin_taken(process, bytes);
                }
            }
            FromGuard::Logged => container.wrote(),
            FromGuard::OutputEnd { .. } => {}
            FromGuard::Hello { .. }
            | FromGuard::CreateFailed { .. }
            | FromGuard::StartFailed { .. }
            | FromGuard::Started { .. } => {
                tracing::warn!(container = container.id, "its guard said something out of turn");
            }
        }
    }
}

fn exec_of(container: &Container, process: u32) -> Option<Arc<Exec>> {
    container.execs().get(&process).cloned()
}

impl From<ExitRecord> for Exit {
    fn from(record: ExitRecord) -> Self {
        let at = Timestamp::from_nanosecond(i128::from(record.at)).unwrap_or_else(|_| Timestamp::now());
        Self { code: i64::from(record.code), oom_killed: record.oom_killed, at, reason: String::new() }
    }
}
