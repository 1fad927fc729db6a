//! `exec`: one more process in a running container.

use std::os::fd::AsFd;
use std::path::PathBuf;

use oci_spec::runtime::{Capability, LinuxCapabilities, Process, Spec};

use super::report::Report;
use super::state::{Record, Status};
use super::store::Store;
use super::{Ended, check, console, create, foreground, place};
use crate::cgroup::Cgroup;
use crate::create::Life;
use crate::error::{Doing, Error};
use crate::exec::Exec;
use crate::scheduling;
use crate::stdio::Stdio;

/// Runs a process in a running container.
#[derive(clap::Args)]
pub(super) struct Args {
    /// A file that describes the process, instead of the options below.
    #[arg(short, long)]
    process: Option<PathBuf>,
    /// Give it a terminal.
    #[arg(short, long)]
    tty: bool,
    /// Who runs it: UID or UID:GID.
    #[arg(short, long)]
    user: Option<String>,
    /// Its working folder.
    #[arg(long)]
    cwd: Option<PathBuf>,
    /// One more variable of its environment.
    #[arg(short, long)]
    env: Vec<String>,
    /// One more capability.
    #[arg(short, long)]
    cap: Vec<String>,
    /// One more group.
    #[arg(short = 'g', long)]
    additional_gids: Vec<u32>,
    /// Never let it gain privileges.
    #[arg(long)]
    no_new_privs: bool,
    /// Don't wait for its end.
    #[arg(short, long)]
    detach: bool,
    /// A file that gets its number.
    #[arg(long)]
    pid_file: Option<PathBuf>,
    /// A unix socket that gets the master of its terminal.
    #[arg(long)]
    console_socket: Option<PathBuf>,
    /// How many more descriptors than the three usual ones it inherits.
    #[arg(long, default_value_t = 0)]
    preserve_fds: u32,
    /// Start it in a paused container too, where it waits.
    #[arg(long)]
    ignore_paused: bool,
    /// A cgroup below the container's to start it in.
    #[arg(long)]
    cgroup: Option<PathBuf>,
    /// Its label for SELinux.
    #[arg(long)]
    process_label: Option<String>,
    /// Its profile for AppArmor.
    #[arg(long)]
    apparmor: Option<String>,
    /// The container.
    id: String,
    /// The program with its arguments.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<String>,
}

/// Runs it.
pub(super) fn run(args: &Args, store: &Store, report: &Report) -> Ended {
    let record = store.record(&args.id)?;
    let spec = store.spec(&args.id)?;
    let init = match record.status(&store.socket(&args.id)?) {
        Status::Stopped => return Err(Error::State("cannot exec in a stopped container".into())),
        Status::Paused if !args.ignore_paused => {
            let reason = "cannot exec in a paused container (use --ignore-paused to override)";
            return Err(Error::State(reason.into()));
        }
        _ => record.process.as_ref().ok_or_else(|| Error::State("container not running".into()))?,
    };
    let pidfd = init.open().ok_or_else(|| Error::State("cannot exec in a stopped container".into()))?;
    let process = described(args, &spec)?;
    if !args.detach {
        foreground::keep_signals();
    }
    let affinity = process.exec_cpu_affinity().as_ref();
    if let Some(cpus) = affinity.and_then(|affinity| affinity.initial().as_deref()) {
        scheduling::run_on(cpus)?;
    }
    let cgroup = cgroup(args, &record)?;
    let mut started = crate::exec(Exec {
        process: &process,
        id: &args.id,
        spec: &spec,
        bundle: &record.bundle,
        pid: init.pid,
        pidfd: pidfd.as_fd(),
        cgroup: Some(&cgroup),
        stdio: stdio(args, &process)?,
        life: Life::Detached(None),
        preserved: args.preserve_fds,
    })?;
    started.warnings().iter().for_each(|warning| report.warn(warning));
    let mut terminal = started.take_terminal();
    if let Some(socket) = &args.console_socket {
        let terminal = terminal.take().ok_or(Error::Spec("a console socket without a terminal"))?;
        console::send(socket, terminal)?;
    }
    if let Some(file) = &args.pid_file {
        create::write_pid(file, started.pid())?;
    }
    if args.detach { Ok(0) } else { foreground::attend(started.pid(), started.pidfd(), terminal) }
}

/// The process: the file's, or the container's own with what the options change.
fn described(args: &Args, spec: &Spec) -> Result<Process, Error> {
    let mut process = match &args.process {
        Some(path) => {
            let bytes = std::fs::read(path).on("read", path)?;
            serde_json::from_slice(&bytes).map_err(|source| Error::Json { path: path.clone(), source })?
        }
        None => changed(args, spec.process().clone().ok_or(Error::Spec("no process"))?)?,
    };
    if args.tty {
        process.set_terminal(Some(true));
    }
    if args.process_label.is_some() {
        process.set_selinux_label(args.process_label.clone());
    }
    if args.apparmor.is_some() {
        process.set_apparmor_profile(args.apparmor.clone());
    }
    check::refuse_unsupported_process(&process)?;
    Ok(process)
}

fn changed(args: &Args, mut process: Process) -> Result<Process, Error> {
    if args.command.is_empty() {
        return Err(Error::Spec("process args cannot be empty"));
    }
    process.set_args(Some(args.command.clone())).set_terminal(Some(args.tty));
    if let Some(cwd) = &args.cwd {
        process.set_cwd(cwd.clone());
    }
    let mut env = process.env().clone().unwrap_or_default();
    for variable in &args.env {
        let name = variable.split_once('=').map_or(variable.as_str(), |(name, _)| name);
        env.retain(|each| each.split_once('=').map_or(each.as_str(), |(name, _)| name) != name);
        env.push(variable.clone());
    }
    process.set_env(Some(env));
    if let Some(user) = &args.user {
        let refused = || Error::Value { what: "not UID or UID:GID:", value: user.clone() };
        let (uid, gid) = user.split_once(':').map_or((user.as_str(), None), |(uid, gid)| (uid, Some(gid)));
        process.user_mut().set_uid(uid.parse().map_err(|_| refused())?);
        if let Some(gid) = gid {
            process.user_mut().set_gid(gid.parse().map_err(|_| refused())?);
        }
    }
    let mut groups = process.user().additional_gids().clone().unwrap_or_default();
    groups.extend(&args.additional_gids);
    process.user_mut().set_additional_gids(Some(groups));
    if args.no_new_privs {
        process.set_no_new_privileges(Some(true));
    }
    add_capabilities(&args.cap, &mut process)?;
    Ok(process)
}

/// As runc: to every set but the inheritable one.
fn add_capabilities(names: &[String], process: &mut Process) -> Result<(), Error> {
    if names.is_empty() {
        return Ok(());
    }
    let mut sets = process.capabilities().clone().unwrap_or_else(none);
    for name in names {
        // By the name that the specification has, which is not the one that the type parses.
        let capability: Capability = serde_json::from_value(name.as_str().into())
            .map_err(|_| Error::Value { what: "unknown capability", value: name.clone() })?;
        let add = |set: &Option<oci_spec::runtime::Capabilities>| {
            let mut set = set.clone().unwrap_or_default();
            set.insert(capability);
            Some(set)
        };
        let (bounding, effective, permitted) =
            (add(sets.bounding()), add(sets.effective()), add(sets.permitted()));
        sets.set_bounding(bounding).set_effective(effective).set_permitted(permitted);
    }
    process.set_capabilities(Some(sets));
    Ok(())
}

fn none() -> LinuxCapabilities {
    let mut sets = LinuxCapabilities::default();
    sets.set_bounding(None).set_effective(None).set_permitted(None).set_inheritable(None).set_ambient(None);
    sets
}

fn cgroup(args: &Args, record: &Record) -> Result<Cgroup, Error> {
    let path = match &args.cgroup {
        None => record.cgroup.clone(),
        Some(below) if below.as_os_str() == "/" => record.cgroup.clone(),
        Some(below) => format!("{}/{}", record.cgroup, place::path(Some(below), "")?),
    };
    let cgroup = place::cgroup(&path)?;
    if cgroup.path().is_dir() {
        return Ok(cgroup);
    }
    Err(Error::Value { what: "no such cgroup in the container:", value: path })
}

fn stdio(args: &Args, process: &Process) -> Result<Stdio, Error> {
    if !process.terminal().unwrap_or(false) {
        return create::inherited();
    }
    if args.detach && args.console_socket.is_none() {
        let reason = "cannot allocate tty if the runtime will detach without setting console socket";
        return Err(Error::Refused(reason.into()));
    }
    Ok(Stdio::Terminal(console::size(process)))
}
