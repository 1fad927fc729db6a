//! The container's process from its birth to its program: the order of everything, on one page.
//!
//! Runs in the forked child. Whatever fails is told to the parent; nothing returns.

use std::mem::ManuallyDrop;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use oci_spec::runtime::{ContainerState, Process, Spec};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use crate::create::{Create, Life};
use crate::credentials::Credentials;
use crate::error::{Doing, Error, FailureKind, plain};
use crate::exec::Exec;
use crate::handshake::{Line, Word};
use crate::hooks::{Hooked, Stage};
use crate::labels::Labels;
use crate::namespaces::Plan;
use crate::program::Program;
use crate::rootfs::Rootfs;
use crate::rootfs::idmap::Mapped;
use crate::seccomp::Filter;
use crate::span::Stopwatch;
use crate::stdio::{self, Stdio};
use crate::{console, handshake, limits, memory_policy, scheduling, settings, sys};

/// Becomes the container's first process.
pub(crate) fn be_container(create: &Create<'_>, plan: &Plan, mapped: Mapped, mut line: Line) -> ! {
    let error = match container(create, plan, mapped, &mut line) {
        Ok(never) => match never {},
        Err(error) => error,
    };
    give_up(&line, &error)
}

/// Becomes one more process of a container.
pub(crate) fn be_exec(exec: &Exec<'_>, kinds: i32, mut line: Line) -> ! {
    let error = match executed(exec, kinds, &mut line) {
        Ok(never) => match never {},
        Err(error) => error,
    };
    give_up(&line, &error)
}

fn container(create: &Create<'_>, plan: &Plan, mapped: Mapped, line: &mut Line) -> Result<Never, Error> {
    let spec = create.spec;
    let process = spec.process().as_ref().ok_or(Error::Spec("no process"))?;
    let mut watch = Stopwatch::start();
    sys::reset_signals();
    if plan.needs_mapping() {
        line.say(&Word::Map, None)?;
        line.await_nod()?;
    }
    plan.enter(spec.linux().as_ref())?;
    rustix::process::setsid().doing("start a session")?;
    let mut warnings = Vec::new();
    settings::score_for_oom(process, &mut warnings)?;
    limits::raise(process, &mut warnings)?;
    settings::apply(spec, plan)?;
    scheduling::apply(process)?;
    settings::set_personality(spec)?;
    if let Some(policy) = spec.linux().as_ref().and_then(|linux| linux.memory_policy().as_ref()) {
        memory_policy::apply(policy)?;
    }
    if plan.has_user() {
        Credentials::become_root()?;
    }
    let filter = filter(spec)?;
    let labels = Labels::open(process)?;
    watch.lap("process");

    let terminal = enter_root(create, plan, mapped, line)?;
    watch.lap("rootfs");
    let last = Last {
        process,
        filter,
        labels,
        warnings,
        terminal,
        stdio: &create.stdio,
        line,
        life: create.life,
        preserved: create.preserved,
        hooked: Some(Hooked { id: create.id, spec, bundle: create.bundle }),
    };
    last_steps(last, watch)
}

/// Builds and enters the root filesystem; returns the terminal opened inside.
fn enter_root(create: &Create<'_>, plan: &Plan, mapped: Mapped, line: &Line) -> Result<Option<Pty>, Error> {
    let rootfs = Rootfs::prepare(create.spec, create.bundle, plan, mapped)?;
    rootfs.mount_all()?;
    if let Some(process) = create.spec.process() {
        rootfs.make_folder(process.cwd())?;
    }
    let terminal = match &create.stdio {
        Stdio::Terminal(size) => {
            let (master, peer) = console::open(rootfs.root(), *size)?;
            rootfs.bind_console(peer.as_fd())?;
            Some(Pty { master, peer })
        }
        Stdio::Pipes { .. } => None,
    };
    run_hooks_before_root(create, line)?;
    rootfs.enter(create.no_pivot)?;
    Ok(terminal)
}

/// Hooks between the building of the root and its entering: first the runtime's, then the container's.
fn run_hooks_before_root(create: &Create<'_>, line: &Line) -> Result<(), Error> {
    let hooked = Hooked { id: create.id, spec: create.spec, bundle: create.bundle };
    if hooked.has([Stage::Prestart, Stage::CreateRuntime]) {
        line.say(&Word::RootBuilt, None)?;
        line.await_nod()?;
    }
    hooked.run(Stage::CreateContainer, ContainerState::Creating, None)
}

fn executed(exec: &Exec<'_>, kinds: i32, line: &mut Line) -> Result<Never, Error> {
    let watch = Stopwatch::start();
    // Until its program runs, this is a copy of the guard inside a hostile pid namespace: not traceable, and
    // its descriptors not readable, from there.
    sys::prctl(libc::PR_SET_DUMPABLE, 0).doing("hide from the container")?;
    sys::reset_signals();
    let mut warnings = Vec::new();
    settings::score_for_oom(exec.process, &mut warnings)?;
    limits::raise(exec.process, &mut warnings)?;
    scheduling::apply(exec.process)?;
    if let Some(affinity) = exec.process.exec_cpu_affinity()
        && let Some(cpus) = affinity.cpu_affinity_final()
    {
        scheduling::run_on(cpus)?;
    }
    settings::set_personality(exec.spec)?;
    let filter = filter(exec.spec)?;
    // Without a mount namespace to join, the container is what its first process has as root.
    let root = (kinds & libc::CLONE_NEWNS == 0).then(|| open_root(exec.pid)).transpose()?;
    let labels = Labels::open(exec.process)?;
    if kinds != 0 {
        sys::setns(exec.pidfd, kinds).doing("join the container's namespaces")?;
    }
    if let Some(root) = root {
        rustix::process::fchdir(&root).doing("enter the container's root")?;
        rustix::process::chroot(".").doing("enter the container's root")?;
    }
    rustix::process::setsid().doing("start a session")?;
    if kinds & libc::CLONE_NEWUSER != 0 {
        Credentials::become_root()?;
    }
    let terminal = match &exec.stdio {
        Stdio::Terminal(size) => {
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let root = rustix::fs::open("/", flags, Mode::empty()).on("open", "/")?;
            let (master, peer) = console::open(root.as_fd(), *size)?;
            Some(Pty { master, peer })
        }
        Stdio::Pipes { .. } => None,
    };
    let last = Last {
        process: exec.process,
        filter,
        labels,
        warnings,
        terminal,
        stdio: &exec.stdio,
        line,
        life: exec.life,
        preserved: exec.preserved,
        hooked: None,
    };
    last_steps(last, watch)
}

/// The root of a process of the machine's own mount namespace.
fn open_root(pid: i32) -> Result<OwnedFd, Error> {
    let path = format!("/proc/{pid}/root");
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open(&path, flags, Mode::empty()).on("open", &path)
}

/// Both ends of a terminal.
struct Pty {
    master: OwnedFd,
    peer: OwnedFd,
}

/// What the last steps need, for a first process and for an exec alike.
struct Last<'a> {
    process: &'a Process,
    filter: Option<Filter>,
    labels: Labels,
    warnings: Vec<String>,
    terminal: Option<Pty>,
    stdio: &'a Stdio,
    line: &'a mut Line,
    life: Life<'a>,
    preserved: u32,
    /// For the hooks at the start of a first process.
    hooked: Option<Hooked<'a>>,
}

/// From inside the root filesystem to the program.
fn last_steps(last: Last<'_>, watch: Stopwatch) -> Result<Never, Error> {
    let Last { process, filter, mut labels, warnings, terminal, stdio, line, life, preserved, hooked } = last;
    // Kept until this process ends or its parent has it: one that fails has to tell why, and the hang-up of its terminal
    // would end it before.
    let master = ManuallyDrop::new(match (terminal, stdio) {
        (Some(Pty { master, peer }), _) => {
            settings::own_terminal(peer.as_fd(), process)?;
            stdio::install([peer.as_fd(); 3])?;
            console::take_control(peer.as_fd())?;
            Some(master)
        }
        (None, Stdio::Pipes { stdin, stdout, stderr }) => {
            stdio::install([stdin.as_fd(), stdout.as_fd(), stderr.as_fd()])?;
            None
        }
        (None, Stdio::Terminal(_)) => return Err(Error::Spec("a terminal without a mount namespace")),
    });
    let credentials = Credentials::new(process);
    credentials.drop_bounding()?;
    credentials.become_user()?;
    work_in(process.cwd())?;
    let program = Program::find(process)?;
    // Nothing of the guard's may reach the program, whatever a library opened without the flag.
    let first = i32::try_from(preserved).unwrap_or(i32::MAX).saturating_add(3);
    sys::close_on_exec_from(first).doing("close inherited descriptors")?;

    let confined = process.no_new_privileges().unwrap_or(false);
    let asking = filter.as_ref().filter(|filter| filter.asks());
    if let Some(filter) = asking {
        // Not later: who creates the container learns here that there is no agent.
        if confined {
            confine()?;
        }
        line.say_listening(filter.install()?)?;
        line.await_nod()?;
    }

    line.say(&Word::Ready { spans: watch.spans(), warnings }, master.as_ref().map(AsFd::as_fd))?;
    drop(ManuallyDrop::into_inner(master));
    line.await_nod()?;
    if let Life::Detached(Some(socket)) = life {
        *line = Line::await_starter(socket)?;
    }
    if let Some(hooked) = hooked {
        hooked.run(Stage::StartContainer, ContainerState::Created, None)?;
    }
    if let Life::Detached(Some(socket)) = life {
        handshake::leave(socket)?;
    }
    // Not before: the hooks are no programs of the container's.
    limits::apply(process)?;
    labels.apply()?;

    if confined {
        confine()?;
        credentials.finish()?;
    }
    die_with_parent(line, life)?;
    // Without no_new_privs a filter needs CAP_SYS_ADMIN, which `finish` gives away.
    if let Some(filter) = filter.as_ref().filter(|filter| !filter.asks()) {
        filter.install()?;
    }
    if !confined {
        credentials.finish()?;
        die_with_parent(line, life)?;
    }
    Err(program.execute())
}

/// No program that it executes gains privileges.
fn confine() -> Result<(), Error> {
    sys::prctl(libc::PR_SET_NO_NEW_PRIVS, 1).doing("set no_new_privs").map(drop)
}

/// Set after the last change of credentials, which clears it.
fn die_with_parent(line: &Line, life: Life<'_>) -> Result<(), Error> {
    if let Life::Detached(_) = life {
        return Ok(());
    }
    sys::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL as u64).doing("tie to the guard")?;
    if line.is_cut() { Err(Error::ChildVanished) } else { Ok(()) }
}

/// Changes into the working folder and proves that it lies inside the root (CVE-2024-21626).
fn work_in(folder: &Path) -> Result<(), Error> {
    rustix::process::chdir(folder).map_err(|errno| {
        // What dockerd makes of runc's words.
        let kind = match errno {
            Errno::NOENT | Errno::NOTDIR => FailureKind::NotFound,
            Errno::ACCESS => FailureKind::NotExecutable,
            _ => FailureKind::Other,
        };
        let reason = plain(&std::io::Error::from(errno));
        Error::Child {
            kind,
            message: format!("chdir to cwd ({folder:?}) set in config.json failed: {reason}"),
        }
    })?;
    let actual = rustix::process::getcwd(Vec::new()).on("find out the working folder after", folder)?;
    if actual.to_bytes().starts_with(b"/") {
        Ok(())
    } else {
        Err(Error::Hostile { path: folder.into(), problem: "lies outside the container's root" })
    }
}

fn filter(spec: &Spec) -> Result<Option<Filter>, Error> {
    let profile = spec.linux().as_ref().and_then(|linux| linux.seccomp().as_ref());
    profile.map(Filter::compile).transpose()
}

/// Tells the parent and ends with the exit code that a shell would give.
fn give_up(line: &Line, error: &Error) -> ! {
    let kind = error.kind();
    let mut message = error.describe();
    message.truncate(message.floor_char_boundary(4096));
    let _ = line.say(&Word::Failed { kind, message }, None::<BorrowedFd<'_>>);
    sys::exit_now(match kind {
        FailureKind::NotFound => 127,
        FailureKind::NotExecutable => 126,
        FailureKind::Other => 1,
    })
}

/// A value that can't exist: the steps end in an exec or an error.
pub(crate) enum Never {}
