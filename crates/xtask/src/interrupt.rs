//! Ctrl-C and its like: what this tool runs ends, then the tool itself, in order.
//!
//! A build is a tree of processes, and not every program at its top ends its children. So each step has a process
//! group of its own, and a signal to this tool reaches the whole group, wherever the signal came from.

use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process_group};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// A group that was asked to end has this long before it is killed.
const GRACE: Duration = Duration::from_secs(5);

/// What runs now, and whether a signal came.
struct Now {
    interrupted: bool,
    groups: Vec<Pid>,
}

static NOW: Mutex<Now> = Mutex::new(Now { interrupted: false, groups: Vec::new() });

/// From now on a signal to end ends what runs, and every step after it fails.
pub(crate) fn watch() -> anyhow::Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP]).context("watch for Ctrl-C")?;
    std::thread::spawn(move || {
        for _ in signals.forever() {
            let groups = {
                let mut now = now();
                now.interrupted = true;
                now.groups.clone()
            };
            end(&groups);
        }
    });
    Ok(())
}

/// Fails once a signal came.
pub(crate) fn check() -> anyhow::Result<()> {
    if now().interrupted {
        bail!("interrupted");
    }
    Ok(())
}

/// Runs `command` to its end; a signal ends it and all that it started.
pub(crate) fn status(command: &mut Command) -> anyhow::Result<std::process::ExitStatus> {
    let mut child = spawn(command)?;
    let group = group(&child);
    let status = child.wait();
    finish(group)?;
    Ok(status?)
}

/// Runs `command`, which must succeed, and returns what it prints; a signal ends it.
pub(crate) fn output(command: &mut Command) -> anyhow::Result<Output> {
    let child = spawn(command.stdout(Stdio::piped()).stderr(Stdio::piped()))?;
    let group = group(&child);
    let output = child.wait_with_output();
    finish(group)?;
    let output = output?;
    if !output.status.success() {
        bail!("{}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(output)
}

/// Starts `command` in a group of its own, which signals reach from now on.
fn spawn(command: &mut Command) -> anyhow::Result<Child> {
    let mut now = now();
    if now.interrupted {
        bail!("interrupted");
    }
    // sudo asks for a password at the terminal, which only the terminal's own group may read.
    if command.get_program() != "sudo" {
        command.process_group(0);
    }
    let child = command.spawn().with_context(|| format!("can't run {}", command.get_program().display()))?;
    now.groups.extend(group(&child));
    Ok(child)
}

/// The group that `child` began.
fn group(child: &Child) -> Option<Pid> {
    i32::try_from(child.id()).ok().and_then(Pid::from_raw)
}

/// A group's first process has ended; fails, and ends the rest of it, when that was a signal's doing.
fn finish(ended: Option<Pid>) -> anyhow::Result<()> {
    now().groups.retain(|group| Some(*group) != ended);
    let still_fine = check();
    if let (Err(_), Some(group)) = (&still_fine, ended) {
        let _ = kill_process_group(group, Signal::KILL);
    }
    still_fine
}

/// Asks groups to end, and kills those that haven't.
fn end(groups: &[Pid]) {
    for group in groups {
        let _ = kill_process_group(*group, Signal::INT);
    }
    if groups.is_empty() {
        return;
    }
    std::thread::sleep(GRACE);
    let now = now();
    for group in groups.iter().filter(|group| now.groups.contains(group)) {
        let _ = kill_process_group(*group, Signal::KILL);
    }
}

fn now() -> MutexGuard<'static, Now> {
    NOW.lock().unwrap_or_else(PoisonError::into_inner)
}
