//! Hooks (OCI runtime spec, "POSIX-platform Hooks"): programs at fixed points of a container's life, told its state.

use std::fs::File;
use std::io::{Read, Seek, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus};
use std::time::Duration;

use oci_spec::runtime::{ContainerState, Hook, Hooks, Spec, State, StateBuilder};
use rustix::event::{PollFd, PollFlags};
use rustix::fs::MemfdFlags;
use rustix::process::{Pid, PidfdFlags};
use rustix::time::Timespec;

use crate::error::Error;

/// How much of a failed hook's output its error repeats, in bytes.
const MOST_OUTPUT: u64 = 4096;

/// When a hook runs, in the order of a container's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// By the runtime, the root built and not entered.
    Prestart,
    /// The same moment, after those before.
    CreateRuntime,
    /// The same moment, in the container's namespaces.
    CreateContainer,
    /// In the container, right before its program.
    StartContainer,
    /// By the runtime, once the program runs.
    Poststart,
    /// By the runtime, once the container is deleted.
    Poststop,
}

impl Stage {
    /// Its key in the specification.
    fn name(self) -> &'static str {
        match self {
            Self::Prestart => "prestart",
            Self::CreateRuntime => "createRuntime",
            Self::CreateContainer => "createContainer",
            Self::StartContainer => "startContainer",
            Self::Poststart => "poststart",
            Self::Poststop => "poststop",
        }
    }

    fn of(self, hooks: &Hooks) -> &[Hook] {
        let hooks = match self {
            Self::Prestart => hooks.prestart(),
            Self::CreateRuntime => hooks.create_runtime(),
            Self::CreateContainer => hooks.create_container(),
            Self::StartContainer => hooks.start_container(),
            Self::Poststart => hooks.poststart(),
            Self::Poststop => hooks.poststop(),
        };
        hooks.as_deref().unwrap_or_default()
    }
}

/// A container, as its hooks and its filter's agent are told.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Hooked<'a> {
    /// Its name.
    pub(crate) id: &'a str,
    /// What has the hooks, and the annotations that they are told.
    pub(crate) spec: &'a Spec,
    /// Its bundle.
    pub(crate) bundle: &'a Path,
}

impl Hooked<'_> {
    /// Whether there are hooks for any of these.
    pub(crate) fn has<const N: usize>(&self, stages: [Stage; N]) -> bool {
        stages.iter().any(|stage| !self.of(*stage).is_empty())
    }

    /// Runs the hooks of a stage, one after the other, up to the first that fails. Without a `pid` the caller is the
    /// container's process.
    pub(crate) fn run(&self, stage: Stage, status: ContainerState, pid: Option<i32>) -> Result<(), Error> {
        for (index, hook) in self.of(stage).iter().enumerate() {
            self.run_one(stage, index, hook, status, pid)?;
        }
        Ok(())
    }

    /// Runs the hooks of a stage, those after a failed one too; why those failed.
    pub(crate) fn run_all(&self, stage: Stage, status: ContainerState, pid: Option<i32>) -> Vec<Error> {
        let hooks = self.of(stage).iter().enumerate();
        hooks.filter_map(|(index, hook)| self.run_one(stage, index, hook, status, pid).err()).collect()
    }

    fn of(&self, stage: Stage) -> &[Hook] {
        self.spec.hooks().as_ref().map_or(&[], |hooks| stage.of(hooks))
    }

    fn run_one(
        &self,
        stage: Stage,
        index: usize,
        hook: &Hook,
        status: ContainerState,
        pid: Option<i32>,
    ) -> Result<(), Error> {
        let pid = pid.unwrap_or_else(|| std::process::id() as i32);
        let told = serde_json::to_vec(&self.state(status, pid)?).map_err(Error::Handshake)?;
        // Hooks that say nothing of their environment get the container's in it, and none outside.
        let process = self.spec.process().as_ref().filter(|_| stage == Stage::StartContainer);
        let inherited = process.and_then(|process| process.env().as_deref()).unwrap_or_default();
        execute(hook, &told, inherited).map_err(|reason| Error::Hook { stage: stage.name(), index, reason })
    }

    /// The state that a hook reads from its standard input (OCI runtime spec, "State").
    pub(crate) fn state(&self, status: ContainerState, pid: i32) -> Result<State, Error> {
        StateBuilder::default()
            .version(self.spec.version().clone())
            .id(self.id)
            .status(status)
            .pid(pid)
            .bundle(self.bundle)
            .annotations(self.spec.annotations().clone().unwrap_or_default())
            .build()
            .map_err(|_| Error::Spec("a state that can't be told"))
    }
}

/// Runs a hook to its end; why it failed. Both its input and its output are files in memory: neither
/// a hook that doesn't read nor one that leaves a process behind can hold the runtime up.
fn execute(hook: &Hook, told: &[u8], inherited: &[String]) -> Result<(), String> {
    let text = |error: std::io::Error| error.to_string();
    let mut input = memory().map_err(text)?;
    input.write_all(told).and_then(|()| input.rewind()).map_err(text)?;
    let output = memory().map_err(text)?;
    let mut command = Command::new(hook.path());
    let mut args = hook.args().iter().flatten();
    if let Some(name) = args.next() {
        command.arg0(name);
    }
    let env = hook.env().as_deref().unwrap_or(inherited).iter().filter_map(|text| text.split_once('='));
    command.args(args).env_clear().envs(env).stdin(input);
    command.stdout(output.try_clone().map_err(text)?).stderr(output.try_clone().map_err(text)?);
    let mut child = command.spawn().map_err(|error| format!("{}: {error}", hook.path().display()))?;
    let timeout =
        hook.timeout().and_then(|seconds| u64::try_from(seconds).ok()).filter(|seconds| *seconds > 0);
    let Some(status) = wait(&mut child, timeout.map(Duration::from_secs)).map_err(text)? else {
        let _ = child.kill();
        let _ = child.wait();
        return Err(format!("{} took longer than its timeout", hook.path().display()));
    };
    if status.success() { Ok(()) } else { Err(format!("{status}, output: {}", read(output))) }
}

fn memory() -> std::io::Result<File> {
    Ok(rustix::fs::memfd_create("hook", MemfdFlags::CLOEXEC)?.into())
}

fn read(mut output: File) -> String {
    let mut bytes = Vec::new();
    let _ = output.rewind().and_then(|()| output.take(MOST_OUTPUT).read_to_end(&mut bytes));
    String::from_utf8_lossy(&bytes).trim_end().to_owned()
}

/// Waits for the end of a hook; `None` once its time is over.
fn wait(child: &mut Child, limit: Option<Duration>) -> std::io::Result<Option<ExitStatus>> {
    let Some(limit) = limit else { return child.wait().map(Some) };
    let pidfd = rustix::process::pidfd_open(Pid::from_child(child), PidfdFlags::empty())?;
    let deadline = std::time::Instant::now() + limit;
    loop {
        let left = deadline.saturating_duration_since(std::time::Instant::now());
        let left = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() };
        match rustix::event::poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], Some(&left)) {
            Ok(0) => return Ok(None),
            Ok(_) => return child.wait().map(Some),
            Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}
