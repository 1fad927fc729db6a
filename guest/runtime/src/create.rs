//! Create and start: clone the child, let it set itself up, keep it waiting before its program.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use oci_spec::runtime::{ContainerState, Spec};

use crate::cgroup::Cgroup;
use crate::child;
use crate::console::Terminal;
use crate::error::Error;
use crate::handshake::{Line, Word};
use crate::hooks::{Hooked, Stage};
use crate::namespaces::{self, Plan};
use crate::rootfs::idmap::Mapped;
use crate::seccomp::Asking;
use crate::span::{Span, Stopwatch};
use crate::stdio::Stdio;
use crate::sys::{self, Cloned};

/// What [`create()`] needs.
#[derive(Debug)]
pub struct Create<'a> {
    /// Its name, as hooks are told.
    pub id: &'a str,
    /// The container as the OCI runtime specification describes it.
    pub spec: &'a Spec,
    /// The folder that relative paths of the specification start from.
    pub bundle: &'a Path,
    /// The cgroup that the process is born in, made and limited before.
    pub cgroup: Option<&'a Cgroup>,
    /// Its standard streams.
    pub stdio: Stdio,
    /// When it ends without its own doing.
    pub life: Life<'a>,
    /// How many descriptors from 3 on its program inherits.
    pub preserved: u32,
    /// Change the root with chroot(2) where pivot_root(2) can't: on the machine's first root filesystem.
    pub no_pivot: bool,
}

/// How long a process lasts that ends by nothing of its own.
#[derive(Debug, Clone, Copy)]
pub enum Life<'a> {
    /// It is killed when the caller ends.
    Tied,
    /// It stays. A container's first process, once the caller has it on record, waits at this listening packet
    /// socket for whoever starts it.
    Detached(Option<BorrowedFd<'a>>),
}

/// A container's first process, waiting before its program or running it.
///
/// The caller is its parent and reaps it. Dropped before [`start`](Self::start), the process ends by itself.
#[derive(Debug)]
pub struct Container {
    pid: i32,
    pidfd: OwnedFd,
    line: Option<Line>,
    terminal: Option<Terminal>,
    spans: Vec<Span>,
    warnings: Vec<String>,
}

impl Container {
    /// Its number in the caller's pid namespace.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// The process, immune to reuse of its number.
    pub fn pidfd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }

    /// How long the parts of the start took; complete after [`start`](Self::start).
    pub fn spans(&self) -> &[Span] {
        &self.spans
    }

    /// What was asked for and given only in part, in words for the user.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// The master of its terminal, once.
    pub fn take_terminal(&mut self) -> Option<Terminal> {
        self.terminal.take()
    }

    /// Lets go of a detached process, which then waits at its socket whatever becomes of the caller.
    pub(crate) fn release(&mut self) -> Result<(), Error> {
        self.line.take().ok_or(Error::Spec("released twice"))?.nod()
    }

    /// Lets the process execute its program; returns when it has.
    pub fn start(&mut self) -> Result<(), Error> {
        let line = self.line.take().ok_or(Error::Spec("started twice"))?;
        let mut watch = Stopwatch::start();
        line.let_go()?;
        watch.lap("exec");
        self.spans.extend(watch.spans());
        Ok(())
    }
}

/// Makes a container's first process and everything it lives in; it waits for [`Container::start`].
///
/// Call it from a single-threaded process only: it forks, and changes namespaces for a moment.
pub fn create(create: Create<'_>) -> Result<Container, Error> {
    let mut watch = Stopwatch::start();
    let plan = Plan::new(create.spec)?;
    let mapped = Mapped::new(create.spec, create.bundle)?;
    let (ours, theirs) = Line::pair()?;
    let cgroup = create.cgroup.map(Cgroup::open).transpose()?;
    let mut visit = plan.visit()?;
    let cloned = sys::clone3(plan.clone_flags(), cgroup.as_ref().map(AsFd::as_fd));
    let cloned = match cloned {
        Ok(Cloned::Child) => {
            // Not dropped: the child stays where it was born.
            std::mem::forget(visit);
            drop(ours);
            child::be_container(&create, &plan, mapped, theirs)
        }
        other => other,
    };
    visit.leave()?;
    drop(theirs);
    let (pid, pidfd) = parent_side(cloned)?;
    watch.lap("namespaces");
    let mut container =
        Container { pid, pidfd, line: None, terminal: None, spans: watch.spans(), warnings: Vec::new() };
    let made = await_ready(&mut container, &ours, &create);
    if made.is_err() {
        reap(&container);
    }
    made?;
    container.line = Some(ours);
    Ok(container)
}

/// What a clone gave the parent.
pub(crate) fn parent_side(cloned: std::io::Result<Cloned>) -> Result<(i32, OwnedFd), Error> {
    match cloned {
        Ok(Cloned::Parent { pid, pidfd }) => Ok((pid, pidfd)),
        Ok(Cloned::Child) => sys::exit_now(1),
        Err(source) => Err(Error::Call { operation: "clone the container's process", source }),
    }
}

/// Answers the child until it is ready.
fn await_ready(container: &mut Container, line: &Line, create: &Create<'_>) -> Result<(), Error> {
    loop {
        match line.hear()?.ok_or(Error::ChildVanished)? {
            (Word::Map, _) => {
                namespaces::write_mappings(container.pid, create.spec.linux().as_ref())?;
                line.nod()?;
            }
            (Word::RootBuilt, _) => {
                let hooked = Hooked { id: create.id, spec: create.spec, bundle: create.bundle };
                for stage in [Stage::Prestart, Stage::CreateRuntime] {
                    hooked.run(stage, ContainerState::Creating, Some(container.pid))?;
                }
                line.nod()?;
            }
            (Word::Listening(fd), _) => {
                let hooked = Hooked { id: create.id, spec: create.spec, bundle: create.bundle };
                let (pid, pidfd) = (container.pid, container.pidfd.as_fd());
                Asking { container: hooked, status: ContainerState::Creating, pid, pidfd }
                    .answer(fd, line)?;
            }
            (Word::Ready { spans, warnings }, terminal) => {
                container.spans.extend(spans);
                container.warnings = warnings;
                container.terminal = terminal.map(Terminal::from_master);
                return Ok(());
            }
            (word @ Word::Failed { .. }, _) => return Err(failure(word)),
        }
    }
}

/// Ends and collects a child that never got ready.
fn reap(container: &Container) {
    let _ = rustix::process::pidfd_send_signal(&container.pidfd, rustix::process::Signal::KILL);
    let id = rustix::process::WaitId::PidFd(container.pidfd.as_fd());
    let _ = rustix::process::waitid(id, rustix::process::WaitIdOptions::EXITED);
}

/// The error that the child reported.
pub(crate) fn failure(word: Word) -> Error {
    match word {
        Word::Failed { kind, message } => Error::Child { kind, message },
        Word::Map | Word::RootBuilt | Word::Listening(_) | Word::Ready { .. } => Error::ChildVanished,
    }
}
