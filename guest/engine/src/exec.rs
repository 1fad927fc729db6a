//! `docker exec`: further processes in a running container.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use crate::attach::{Attached, Input};
use crate::container::Container;
use crate::container::state::Status;
use crate::output::Fanout;
use crate::{Engine, Error, identity, spec};

/// What an exec runs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExecConfig {
    /// The command.
    pub cmd: Vec<String>,
    /// Variables beyond the container's.
    pub env: Vec<String>,
    /// `user[:group]`; the container's when empty.
    pub user: String,
    /// The working folder; the container's when empty.
    pub working_dir: String,
    /// Whether there is a terminal.
    pub tty: bool,
    /// Whether it gets every capability.
    pub privileged: bool,
    /// Whether its stdin is open.
    pub attach_stdin: bool,
    /// Whether the client wants its stdout.
    pub attach_stdout: bool,
    /// Whether the client wants its stderr.
    pub attach_stderr: bool,
    /// The client's keys to leave it.
    pub detach_keys: String,
    /// The terminal's rows and columns at its start.
    pub console_size: Option<[u16; 2]>,
}

/// Where an exec is in its life.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExecState {
    /// Made and never started.
    Created,
    /// Asked to start.
    Starting,
    /// Its process lives.
    Running {
        /// Its process here.
        pid: i32,
    },
    /// Its program couldn't be started.
    Refused {
        /// Why.
        message: String,
        /// Docker's exit code for that: 126, 127 or 128.
        code: i64,
    },
    /// Its process ended.
    Exited {
        /// Its code.
        code: i64,
        /// What its process was here; 0 when it never had one.
        pid: i32,
    },
}

impl ExecState {
    /// Whether its program ended or never began.
    fn is_over(&self) -> bool {
        matches!(self, Self::Exited { .. } | Self::Refused { .. })
    }
}

/// One exec instance.
#[derive(Debug)]
pub struct Exec {
    /// 64 hexadecimal digits.
    pub id: String,
    /// What it runs.
    pub config: ExecConfig,
    /// Where.
    pub container: Arc<Container>,
    /// The guard's number for it.
    pub(crate) process: u32,
    /// Who listens.
    pub(crate) output: Fanout,
    state: watch::Sender<ExecState>,
}

impl Exec {
    /// Where it is in its life.
    pub fn state(&self) -> ExecState {
        self.state.borrow().clone()
    }

    /// Waits until it has ended.
    pub(crate) async fn ended(&self) {
        drop(self.state.subscribe().wait_for(ExecState::is_over).await);
    }

    /// Notes that it runs.
    pub(crate) fn began(&self, pid: i32) {
        self.state.send_replace(ExecState::Running { pid });
    }

    /// Notes that its program couldn't be started.
    pub(crate) fn refused(&self, message: String, code: i64) {
        self.state.send_replace(ExecState::Refused { message, code });
        self.output.end();
    }

    /// Notes that it ended.
    pub(crate) fn end(&self, code: i64) {
        self.state.send_if_modified(|state| {
            let pid = match state {
                ExecState::Starting => 0,
                ExecState::Running { pid } => *pid,
                _ => return false,
            };
            *state = ExecState::Exited { code, pid };
            true
        });
        self.output.end();
    }
}

/// How long an exec that ended can still be inspected, as in Docker.
const KEPT: Duration = Duration::from_secs(5 * 60);

/// Every exec by id. An ended one is kept for a while, for `docker inspect`.
#[derive(Debug, Default)]
pub(crate) struct Execs(Mutex<HashMap<String, Arc<Exec>>>);

impl Execs {
    fn find(&self, id: &str) -> Result<Arc<Exec>, Error> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(id).cloned().ok_or_else(|| Error::NoSuchExec(id.to_owned()))
    }

    fn insert(&self, exec: Arc<Exec>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(exec.id.clone(), exec);
    }

    /// Forgets the execs of a container that is gone.
    pub(crate) fn forget(&self, container: &str) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .retain(|_, exec| exec.container.id != container);
    }

    /// The ids of a container's execs whose process lives or may still start.
    pub(crate) fn of(&self, container: &str) -> Vec<String> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let alive = |exec: &&Arc<Exec>| exec.container.id == container && !exec.state().is_over();
        all.values().filter(alive).map(|exec| exec.id.clone()).collect()
    }
}

impl Engine {
    /// Makes an exec in a running container; returns its id.
    ///
    /// # Errors
    /// When the container doesn't run or there is no command.
    pub fn exec_create(&self, name: &str, config: ExecConfig) -> Result<String, Error> {
        let container = self.containers.find(name)?;
        match container.state().status {
            Status::Running => {}
            Status::Paused => return Err(Error::ExecPaused(name.to_owned())),
            _ => return Err(Error::NotRunning(container.id.clone())),
        }
        if config.cmd.is_empty() {
            return Err(Error::InvalidRequest("No exec command specified".to_owned()));
        }
        // What makes no sense is refused now: once the connection is the process's own, nobody hears of it.
        spec::exec_process(&container.record(), &container.exec_folder.join("rootfs"), &config)?;
        let id = identity::fresh()?;
        let process = container.next_exec();
        let exec = Arc::new(Exec {
            id: id.clone(),
            config,
            container: container.clone(),
            process,
            output: Fanout::default(),
            state: watch::Sender::new(ExecState::Created),
        });
        container.execs().insert(process, exec.clone());
        self.execs.insert(exec.clone());
        self.tell_exec(&exec, "exec_create");
        Ok(id)
    }

    /// Starts an exec. Attached before it starts, so that nothing of its output is missed.
    ///
    /// # Errors
    /// When it was started before, its container is gone, or its program can't be started.
    pub async fn exec_start(&self, id: &str, size: Option<[u16; 2]>) -> Result<Attached, Error> {
        let exec = self.execs.find(id)?;
        let mut state = exec.state.subscribe();
        let fresh = exec.state.send_if_modified(|state| {
            let fresh = *state == ExecState::Created;
            if fresh {
                *state = ExecState::Starting;
            }
            fresh
        });
        if !fresh {
            let error = if exec.state().is_over() { Error::ExecOver } else { Error::ExecRunning };
            return Err(error(id.to_owned()));
        }
        if !matches!(exec.config.working_dir.chars().next(), None | Some('/')) {
            let message = "Cwd must be an absolute path".to_owned();
            exec.refused(message.clone(), 128);
            return Err(Error::ExecRefused { message });
        }
        let output = exec.output.attach();
        let started = async {
            let guard = exec.container.guard()?;
            let root = exec.container.exec_folder.join("rootfs");
            let process = spec::exec_process(&exec.container.record(), &root, &exec.config)?;
            guard
                .exec(exec.process, process, exec.config.attach_stdin, size.or(exec.config.console_size))
                .await
        };
        if let Err(error) = started.await {
            exec.end(126);
            return Err(error);
        }
        self.tell_exec(&exec, "exec_start");
        let decided = state.wait_for(|state| *state != ExecState::Starting).await.map(|state| state.clone());
        if let Ok(ExecState::Refused { message, .. }) = decided {
            return Err(Error::ExecRefused { message });
        }
        let input = exec.config.attach_stdin.then(|| Input::of_exec(exec.container.clone(), exec.process));
        Ok(Attached { output, input, terminal: exec.config.tty })
    }

    /// One exec.
    ///
    /// # Errors
    /// When there is none of this id.
    pub fn exec(&self, id: &str) -> Result<Arc<Exec>, Error> {
        self.execs.find(id)
    }

    /// Sets the size of an exec's terminal.
    ///
    /// # Errors
    /// When it doesn't run.
    pub async fn exec_resize(&self, id: &str, rows: u16, columns: u16) -> Result<(), Error> {
        let exec = self.execs.find(id)?;
        if !matches!(exec.state(), ExecState::Starting | ExecState::Running { .. }) {
            return Err(Error::ExecEnded);
        }
        exec.container.guard()?.resize(exec.process, rows, columns).await
    }

    /// Forgets an exec some time after it ended: a health check makes many.
    pub(crate) async fn forget_exec(self: Arc<Self>, exec: Arc<Exec>) {
        tokio::time::sleep(KEPT).await;
        self.execs.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&exec.id);
    }

    /// Tells `exec_create: sh -c true`, as Docker names these events; a command without arguments ends in a space.
    fn tell_exec(&self, exec: &Exec, action: &str) {
        let empty = String::new();
        let mut attributes = exec.container.attributes();
        attributes.insert("execID".to_owned(), exec.id.clone());
        let (program, arguments) = exec.config.cmd.split_first().unwrap_or((&empty, &[]));
        let action = format!("{action}: {program} {}", arguments.join(" "));
        self.events.tell("container", &action, &exec.container.id, attributes);
    }

    /// Tells that an exec ended.
    pub(crate) fn tell_exec_died(&self, exec: &Exec, code: i64) {
        let mut attributes = exec.container.attributes();
        attributes.insert("execID".to_owned(), exec.id.clone());
        attributes.insert("exitCode".to_owned(), code.to_string());
        self.events.tell("container", "exec_die", &exec.container.id, attributes);
    }
}
