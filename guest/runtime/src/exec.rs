//! Exec: one more process in a running container.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use oci_spec::runtime::{ContainerState, Process as Described, Spec};

use crate::cgroup::Cgroup;
use crate::child;
use crate::console::Terminal;
use crate::create::{Life, failure, parent_side};
use crate::error::{Doing, Error};
use crate::handshake::{Line, Word};
use crate::hooks::Hooked;
use crate::namespaces::{KINDS, Visit};
use crate::seccomp::Asking;
use crate::stdio::Stdio;
use crate::sys::{self, Cloned};

/// What [`exec()`] needs.
#[derive(Debug)]
pub struct Exec<'a> {
    /// The process as the OCI runtime specification describes it.
    pub process: &'a Described,
    /// The container's name, as the agent of its filter is told.
    pub id: &'a str,
    /// The container's specification, which has the filter to install.
    pub spec: &'a Spec,
    /// The container's bundle.
    pub bundle: &'a Path,
    /// The container's first process, whose namespaces are joined.
    pub pid: i32,
    /// The same, immune to reuse of its number.
    pub pidfd: BorrowedFd<'a>,
    /// The cgroup that the process is born in.
    pub cgroup: Option<&'a Cgroup>,
    /// Its standard streams.
    pub stdio: Stdio,
    /// When it ends without its own doing.
    pub life: Life<'a>,
    /// How many descriptors from 3 on its program inherits.
    pub preserved: u32,
}

/// A process that runs in a container beside its first one. The caller reaps it.
#[derive(Debug)]
pub struct Process {
    pid: i32,
    pidfd: OwnedFd,
    terminal: Option<Terminal>,
    warnings: Vec<String>,
}

impl Process {
    /// Its number in the caller's pid namespace.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// The process, immune to reuse of its number.
    pub fn pidfd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }

    /// What was asked for and given only in part, in words for the user.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// The master of its terminal, once.
    pub fn take_terminal(&mut self) -> Option<Terminal> {
        self.terminal.take()
    }
}

/// Starts a process in a running container; returns when it has executed its program.
///
/// Call it from a single-threaded process only, as [`create()`](crate::create()).
pub fn exec(exec: Exec<'_>) -> Result<Process, Error> {
    let kinds = differing_namespaces(exec.pid)?;
    let (ours, theirs) = Line::pair()?;
    let cgroup = exec.cgroup.map(Cgroup::open).transpose()?;
    let mut visit = Visit::none();
    if kinds & libc::CLONE_NEWPID != 0 {
        // Children are born into it; everything else the child joins by itself.
        let path = format!("/proc/{}/ns/pid", exec.pid);
        let file = File::open(&path).on("open the namespace", &path)?;
        visit.enter(file.as_fd(), libc::CLONE_NEWPID)?;
    }
    let cloned = match sys::clone3(0, cgroup.as_ref().map(AsFd::as_fd)) {
        Ok(Cloned::Child) => {
            std::mem::forget(visit);
            drop(ours);
            child::be_exec(&exec, kinds & !libc::CLONE_NEWPID, theirs)
        }
        other => other,
    };
    visit.leave()?;
    drop(theirs);
    let (pid, pidfd) = parent_side(cloned)?;
    let mut process = Process { pid, pidfd, terminal: None, warnings: Vec::new() };
    let started = await_started(&mut process, &ours, &exec);
    if started.is_err() {
        let _ = rustix::process::pidfd_send_signal(&process.pidfd, rustix::process::Signal::KILL);
        let id = rustix::process::WaitId::PidFd(process.pidfd.as_fd());
        let _ = rustix::process::waitid(id, rustix::process::WaitIdOptions::EXITED);
    }
    started.map(|()| process)
}

fn await_started(process: &mut Process, line: &Line, exec: &Exec<'_>) -> Result<(), Error> {
    loop {
        match line.hear()?.ok_or(Error::ChildVanished)? {
            (Word::Listening(fd), _) => {
                let container = Hooked { id: exec.id, spec: exec.spec, bundle: exec.bundle };
                let (pid, pidfd) = (process.pid, process.pidfd.as_fd());
                Asking { container, status: ContainerState::Running, pid, pidfd }.answer(fd, line)?;
            }
            (Word::Ready { warnings, .. }, terminal) => {
                process.warnings = warnings;
                process.terminal = terminal.map(Terminal::from_master);
                return line.let_go();
            }
            (word, _) => return Err(failure(word)),
        }
    }
}

/// The kinds in which `pid` lives elsewhere than the caller; joining one's own user namespace is refused by
/// the kernel, joining the others is wasted time.
fn differing_namespaces(pid: i32) -> Result<i32, Error> {
    let mut kinds = 0;
    for (kind, name) in KINDS {
        let theirs = format!("/proc/{pid}/ns/{name}");
        let Ok(ours) = std::fs::metadata(format!("/proc/self/ns/{name}")) else { continue };
        let theirs = std::fs::metadata(&theirs).on("look at the namespace", &theirs)?;
        if (ours.ino(), ours.dev()) != (theirs.ino(), theirs.dev()) {
            kinds |= kind;
        }
    }
    Ok(kinds)
}
