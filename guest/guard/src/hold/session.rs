//! The guard's state, and what it does on each event.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use berth_guard::{
    CONTAINER, ExecRequest, ExecState, ExitRecord, FailureKind, FromGuard, Launch, State, StdinMode, ToGuard,
    VERSION,
};
use berth_runtime::cgroup::{Cgroup, CgroupRoot};
use berth_runtime::{Container, Create, Exec, Life, Span, Spec};

use super::connection::Connection;
use super::error::{Error, describe};
use super::log::Log;
use super::process::{self, Process};

/// How long an engine may take to connect, and to acknowledge the end.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long processes may take to die of SIGKILL.
const DYING: Duration = Duration::from_secs(5);
/// How long the log may take to be written and compressed: less than whoever killed the container waits for its end. The
/// next guard compresses the rest.
const LOG: Duration = Duration::from_secs(5);

/// Where the container is in its life.
pub(super) enum Phase {
    /// Not made, with the message for the engine.
    Failed(FromGuard),
    /// Made, blocked before its program.
    Created(Box<Container>),
    /// Running since that time.
    Running(u64),
    /// Over.
    Exited(ExitRecord),
}

/// Everything the guard knows.
pub(super) struct Session {
    launch: Launch,
    spec: Spec,
    pub(super) listener: OwnedFd,
    pub(super) children: OwnedFd,
    pub(super) connection: Option<Connection>,
    pub(super) phase: Phase,
    /// By their ids; the container's own is [`CONTAINER`].
    pub(super) processes: BTreeMap<u32, Process>,
    pub(super) log: Option<Log>,
    /// Until when the log is waited for after the container's end.
    pub(super) log_by: Option<Instant>,
    cgroup: Option<Cgroup>,
    /// How long its making took.
    cgroup_took: Duration,
    pub(super) deadline: Option<Instant>,
    pub(super) is_finished: bool,
    stdin_used: bool,
}

/// Now, in nanoseconds since 1970.
pub(super) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos() as u64
}

impl Session {
    pub(super) fn new(
        launch: Launch,
        spec: Spec,
        listener: OwnedFd,
        children: OwnedFd,
    ) -> Result<Self, Error> {
        let log = Log::open(&launch)?;
        Ok(Self {
            launch,
            spec,
            listener,
            children,
            connection: None,
            phase: Phase::Exited(ExitRecord { code: 0, signal: None, oom_killed: false, at: 0 }),
            processes: BTreeMap::new(),
            log,
            log_by: None,
            cgroup: None,
            cgroup_took: Duration::ZERO,
            deadline: Some(Instant::now() + PATIENCE),
            is_finished: false,
            stdin_used: false,
        })
    }

    /// Makes the container, or notes for the engine why that can't be done.
    pub(super) fn make_container(&mut self, root: Option<&CgroupRoot>) -> Result<(), Error> {
        if let Err(error) = self.try_make_container(root) {
            let (kind, message) = match &error {
                Error::Runtime(error) => (error.kind(), error.describe()),
                other => (FailureKind::Other, describe(other)),
            };
            self.phase = Phase::Failed(FromGuard::CreateFailed { kind, message });
        }
        Ok(())
    }

    fn try_make_container(&mut self, root: Option<&CgroupRoot>) -> Result<(), Error> {
        let began = Instant::now();
        self.cgroup = super::make_cgroup(&self.launch, &self.spec, root)?;
        self.cgroup_took = began.elapsed();
        let Launch { terminal, size, stdin, .. } = self.launch;
        let (stdio, ends) = process::streams(terminal, size, stdin != StdinMode::None)?;
        let bundle = &self.launch.bundle;
        let create = Create {
            id: &self.launch.id,
            spec: &self.spec,
            bundle,
            cgroup: self.cgroup.as_ref(),
            stdio,
            life: Life::Tied,
            preserved: 0,
            no_pivot: false,
        };
        let mut container = berth_runtime::create(create)?;
        let terminal = container.take_terminal();
        let held = Process::new(container.pid(), container.pidfd(), terminal, ends)?;
        self.processes.insert(CONTAINER, held);
        self.phase = Phase::Created(Box::new(container));
        Ok(())
    }

    /// A fresh connection replaces the one before and hears everything.
    pub(super) fn welcome(&mut self, socket: OwnedFd) {
        let mut connection = Connection::new(socket);
        match &self.phase {
            Phase::Failed(message) => {
                connection.say(message);
                self.is_finished = true;
            }
            _ => connection.say(&self.hello()),
        }
        self.connection = Some(connection);
        if matches!(self.phase, Phase::Created(_) | Phase::Running(_)) {
            self.deadline = None;
        }
    }

    fn hello(&self) -> FromGuard {
        let pid = self.processes.get(&CONTAINER).map_or(0, |process| process.pid);
        let state = match &self.phase {
            Phase::Running(started_at) => State::Running { pid, started_at: *started_at },
            Phase::Exited(exit) => State::Exited { exit: *exit },
            Phase::Created(_) | Phase::Failed(_) => State::Created { pid },
        };
        let execs = self.processes.iter().filter(|(id, _)| **id != CONTAINER);
        let execs = execs.map(|(id, process)| ExecState {
            process: *id,
            pid: process.pid,
            exit: process.exit.filter(|_| process.is_over),
        });
        FromGuard::Hello { version: VERSION, state, execs: execs.collect() }
    }

    /// The engine is gone. A container that never ran goes with it.
    pub(super) fn forget_engine(&mut self) {
        self.connection = None;
        match &self.phase {
            Phase::Running(_) => {
                if self.launch.stdin == StdinMode::Once && self.stdin_used {
                    self.close_stdin(CONTAINER);
                }
            }
            Phase::Created(_) | Phase::Failed(_) | Phase::Exited(_) => self.is_finished = true,
        }
    }

    pub(super) fn say(&mut self, message: &FromGuard) {
        if let Some(connection) = &mut self.connection {
            connection.say(message);
        }
    }

    /// Does what the engine asks. What is asked of a process that is gone is out of date, not an error.
    pub(super) fn obey(&mut self, message: ToGuard) {
        match message {
            ToGuard::Start => self.start(),
            ToGuard::Stdin { process, bytes } => {
                self.stdin_used |= process == CONTAINER;
                if let Some(process) = self.processes.get_mut(&process) {
                    process.inlet.push(&bytes);
                }
            }
            ToGuard::CloseStdin { process } => self.close_stdin(process),
            ToGuard::Resize { process, size } => {
                if let Some(process) = self.processes.get(&process) {
                    process.resize(size);
                }
            }
            ToGuard::Signal { process, signal } => {
                if let Some(process) = self.processes.get(&process).filter(|process| process.exit.is_none()) {
                    let _ = crate::sys::send_signal(process.pidfd(), signal);
                }
            }
            ToGuard::Exec { process, request } => self.exec(process, &request),
            ToGuard::Ack { process } => self.acknowledged(process),
        }
    }

    fn close_stdin(&mut self, process: u32) {
        if let Some(process) = self.processes.get_mut(&process) {
            process.inlet.close();
        }
    }

    fn start(&mut self) {
        let Phase::Created(container) = &mut self.phase else { return };
        let started = container.start();
        let message = match started {
            Ok(()) => {
                let at = now();
                let cgroup = Span { name: "cgroup".to_owned(), micros: self.cgroup_took.as_micros() as u64 };
                let spans = [&[cgroup], container.spans()].concat();
                let pid = container.pid();
                let warnings = container.warnings().to_vec();
                self.phase = Phase::Running(at);
                FromGuard::Started { pid, at, spans, warnings }
            }
            Err(error) => {
                self.is_finished = true;
                FromGuard::StartFailed { kind: error.kind(), message: error.describe() }
            }
        };
        self.say(&message);
    }

    fn exec(&mut self, id: u32, request: &ExecRequest) {
        let message = match self.try_exec(id, request) {
            Ok(pid) => FromGuard::ExecStarted { process: id, pid },
            Err(error) => {
                let (kind, message) = match &error {
                    Error::Runtime(error) => (error.kind(), error.describe()),
                    other => (FailureKind::Other, describe(other)),
                };
                FromGuard::ExecFailed { process: id, kind, message }
            }
        };
        self.say(&message);
    }

    fn try_exec(&mut self, id: u32, request: &ExecRequest) -> Result<i32, Error> {
        let container = self.processes.get(&CONTAINER).filter(|container| container.exit.is_none());
        let (Some(container), Phase::Running(_)) = (container, &self.phase) else {
            return Err(Error::NotRunning);
        };
        if self.processes.contains_key(&id) {
            return Err(Error::ExecIdInUse(id));
        }
        let (stdio, ends) = process::streams(request.terminal, request.size, request.stdin)?;
        let exec = Exec {
            process: &request.spec,
            id: &self.launch.id,
            spec: &self.spec,
            bundle: &self.launch.bundle,
            pid: container.pid,
            pidfd: container.pidfd(),
            cgroup: self.cgroup.as_ref(),
            stdio,
            life: Life::Tied,
            preserved: 0,
        };
        let mut made = berth_runtime::exec(exec)?;
        let terminal = made.take_terminal();
        let held = Process::new(made.pid(), made.pidfd(), terminal, ends)?;
        self.processes.insert(id, held);
        Ok(made.pid())
    }

    fn acknowledged(&mut self, id: u32) {
        if id == CONTAINER {
            self.is_finished |= matches!(self.phase, Phase::Exited(_));
        } else if self.processes.get(&id).is_some_and(|process| process.is_over) {
            self.processes.remove(&id);
        }
    }

    /// Tells the end of a process whose output is drained; the container's own is first made to last.
    pub(super) fn conclude(&mut self, id: u32) {
        let Some(process) = self.processes.get_mut(&id) else { return };
        let Some(mut exit) = process.exit else { return };
        process.is_over = true;
        if id == CONTAINER {
            exit.oom_killed = self.cgroup.as_ref().is_some_and(|cgroup| cgroup.oom_kills().unwrap_or(0) > 0);
            self.remove_cgroup();
            if let Err(error) = exit.write(std::path::Path::new(".")) {
                // The engine may be there to hear it all the same.
                eprintln!("berth-guard: write the exit record: {error}");
            }
            self.phase = Phase::Exited(exit);
            self.deadline = Some(Instant::now() + PATIENCE);
            self.is_finished |= self.connection.is_none();
        }
        self.say(&FromGuard::Exited { process: id, exit });
    }

    /// With the container's first process, everything in the container ends. Where it shares another's pid
    /// namespace the kernel doesn't see to that.
    pub(super) fn kill_the_rest(&mut self) {
        for process in self.processes.values().filter(|process| process.exit.is_none()) {
            let _ = crate::sys::send_signal(process.pidfd(), 9);
        }
        if let Some(cgroup) = &self.cgroup {
            let _ = cgroup.kill();
        }
    }

    /// Whether the log is complete, or has been waited for long enough.
    pub(super) fn is_log_complete(&mut self) -> bool {
        let Some(log) = &mut self.log else { return true };
        if !log.is_complete() {
            if Instant::now() < *self.log_by.get_or_insert_with(|| Instant::now() + LOG) {
                return false;
            }
            log.give_up();
        }
        self.log_by = None;
        true
    }

    /// Whatever the container left running dies, then its cgroup goes.
    fn remove_cgroup(&mut self) {
        let Some(cgroup) = self.cgroup.take() else { return };
        let removed = cgroup.kill().and_then(|()| cgroup.await_empty(DYING)).and_then(|()| cgroup.remove());
        if let Err(error) = removed {
            eprintln!("berth-guard: {}", error.describe());
        }
    }

    /// Leaves nothing behind, however the session ended.
    pub(super) fn clean_up(&mut self) {
        for process in self.processes.values().filter(|process| process.exit.is_none()) {
            let _ = crate::sys::send_signal(process.pidfd(), 9);
            let id = rustix::process::WaitId::PidFd(process.pidfd());
            let _ = rustix::process::waitid(id, rustix::process::WaitIdOptions::EXITED);
        }
        if let Some(log) = &mut self.log {
            log.give_up();
        }
        self.remove_cgroup();
    }
}
