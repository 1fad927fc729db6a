//! `create`: everything of a container but its program, which waits for `start`.

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use oci_spec::runtime::{LinuxNamespaceType, Spec};

use super::report::Report;
use super::state::Record;
use super::store::{Held, Store};
use super::{Ended, check, console, delete, mount, place, process};
use crate::cgroup::Cgroup;
use crate::create::{Container, Create, Life};
use crate::error::{Doing, Error};
use crate::handshake::Line;
use crate::stdio::Stdio;

/// Creates a container from a bundle.
#[derive(clap::Args)]
pub(super) struct Args {
    /// The container's name.
    pub(super) id: String,
    #[command(flatten)]
    pub(super) how: How,
}

/// What `create` and `run` have in common.
#[derive(clap::Args)]
pub(super) struct How {
    /// The folder with config.json.
    #[arg(short, long, default_value = ".")]
    pub(super) bundle: PathBuf,
    /// A unix socket that gets the master of the container's terminal.
    #[arg(long)]
    pub(super) console_socket: Option<PathBuf>,
    /// A file that gets the number of the container's process.
    #[arg(long)]
    pub(super) pid_file: Option<PathBuf>,
    /// How many more descriptors than the three usual ones the program inherits.
    #[arg(long, default_value_t = 0)]
    pub(super) preserve_fds: u32,
    /// Move the root over the old one instead of leaving that behind.
    #[arg(long)]
    pub(super) no_pivot: bool,
    /// Don't make a session keyring (none is made in any case).
    #[arg(long)]
    pub(super) no_new_keyring: bool,
}

/// Creates it.
pub(super) fn run(args: &Args, store: &Store, report: &Report) -> Ended {
    let spec = load(&args.how.bundle)?;
    if terminal(&spec) && args.how.console_socket.is_none() {
        let reason = "cannot allocate tty if the runtime will detach without setting console socket";
        return Err(Error::Refused(reason.into()));
    }
    create(&args.id, &args.how, spec, store, report).map(|_| 0)
}

/// A container just created, on record and let go.
pub(super) struct Created {
    pub(super) held: Held,
    pub(super) container: Container,
    pub(super) spec: Spec,
}

/// The specification of a bundle, if all that it asks for can be done.
pub(super) fn load(bundle: &Path) -> Result<Spec, Error> {
    let path = bundle.join("config.json");
    let bytes = std::fs::read(&path).on("read", &path)?;
    let mut spec = serde_json::from_slice(&bytes).map_err(|source| Error::Json { path, source })?;
    check::refuse_unsupported(&spec)?;
    check::allow_usual_devices(&mut spec);
    Ok(spec)
}

/// Whether the program gets a terminal.
pub(super) fn terminal(spec: &Spec) -> bool {
    spec.process().as_ref().and_then(|process| process.terminal()).unwrap_or(false)
}

/// Creates the container; a failure leaves nothing of it.
pub(super) fn create(
    id: &str,
    how: &How,
    spec: Spec,
    store: &Store,
    report: &Report,
) -> Result<Created, Error> {
    let bundle = std::fs::canonicalize(&how.bundle).on("find the bundle", &how.bundle)?;
    let cgroup = place::path(spec.linux().as_ref().and_then(|linux| linux.cgroups_path().as_deref()), id)?;
    let held = store.claim(id)?;
    match make(id, how, &spec, &bundle, cgroup, &held, report) {
        Ok(container) => Ok(Created { held, container, spec }),
        Err(error) => {
            // What failed is what the caller must hear of.
            let _ = delete::take_apart(held, report);
            Err(error)
        }
    }
}

fn make(
    id: &str,
    how: &How,
    spec: &Spec,
    bundle: &Path,
    cgroup: String,
    held: &Held,
    report: &Report,
) -> Result<Container, Error> {
    // Before it is on record: processes of somebody else's must not end with this container.
    if place::cgroup(&cgroup)?.is_populated()? {
        return Err(Error::Refused(format!("linux.cgroupsPath {cgroup}: the cgroup has processes already")));
    }
    let mut record = first_record(id, spec, bundle, cgroup)?;
    held.put_spec(spec)?;
    // Before anything is made, so that a creation cut off here can be taken apart.
    held.put_record(&record)?;
    let cgroup = make_cgroup(&record, spec, report)?;
    let socket = Line::listen(&held.socket())?;
    let mut container = crate::create(Create {
        id,
        spec,
        bundle,
        cgroup: Some(&cgroup),
        stdio: stdio(spec)?,
        life: Life::Detached(Some(socket.as_fd())),
        preserved: how.preserve_fds,
        no_pivot: how.no_pivot,
    })?;
    container.warnings().iter().for_each(|warning| report.warn(warning));
    record.process = Some(process::Identity::of(container.pid())?);
    if let Some(socket) = &how.console_socket {
        let terminal = container.take_terminal().ok_or(Error::Spec("a console socket without a terminal"))?;
        console::send(socket, terminal)?;
    }
    held.put_record(&record)?;
    if let Some(file) = &how.pid_file {
        write_pid(file, container.pid())?;
    }
    container.release()?;
    Ok(container)
}

fn first_record(id: &str, spec: &Spec, bundle: &Path, cgroup: String) -> Result<Record, Error> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let rootfs = spec.root().as_ref().map(|root| bundle.join(root.path())).unwrap_or_default();
    let covered = (!has_mount_namespace(spec)).then(|| mount::id(&rootfs)).transpose()?;
    Ok(Record {
        oci_version: spec.version().clone(),
        id: id.to_owned(),
        process: None,
        bundle: bundle.to_path_buf(),
        rootfs,
        covered,
        created: u64::try_from(now.as_nanos()).unwrap_or(u64::MAX),
        cgroup,
        annotations: spec.annotations().clone().unwrap_or_default().into_iter().collect(),
    })
}

fn has_mount_namespace(spec: &Spec) -> bool {
    let namespaces = spec.linux().as_ref().and_then(|linux| linux.namespaces().as_ref());
    namespaces.into_iter().flatten().any(|namespace| namespace.typ() == LinuxNamespaceType::Mount)
}

fn make_cgroup(record: &Record, spec: &Spec, report: &Report) -> Result<Cgroup, Error> {
    let resources = spec.linux().as_ref().and_then(|linux| linux.resources().as_ref());
    let cgroup = place::root()?.make(&record.cgroup, resources)?;
    for lacking in resources.map(|resources| cgroup.lacking(resources)).transpose()?.into_iter().flatten() {
        report.warn(&format!("this machine has no cgroup controller {lacking}: its limits don't hold"));
    }
    report.debug(&format!("made the cgroup {}", cgroup.path().display()));
    Ok(cgroup)
}

/// The caller's own streams, or a terminal.
pub(super) fn stdio(spec: &Spec) -> Result<Stdio, Error> {
    if !terminal(spec) {
        return inherited();
    }
    Ok(Stdio::Terminal(spec.process().as_ref().and_then(console::size)))
}

/// The caller's own streams.
pub(super) fn inherited() -> Result<Stdio, Error> {
    let own = |fd: std::os::fd::BorrowedFd<'_>| -> Result<OwnedFd, Error> {
        rustix::io::fcntl_dupfd_cloexec(fd, 3).doing("inherit a standard stream")
    };
    Ok(Stdio::Pipes {
        stdin: own(rustix::stdio::stdin())?,
        stdout: own(rustix::stdio::stdout())?,
        stderr: own(rustix::stdio::stderr())?,
    })
}

/// Beside and renamed: who waits for the file reads a whole number.
pub(super) fn write_pid(file: &Path, pid: i32) -> Result<(), Error> {
    let mut name = file.file_name().unwrap_or_default().to_os_string();
    name.push(".new");
    let beside = file.with_file_name(name);
    std::fs::write(&beside, pid.to_string()).on("write", &beside)?;
    std::fs::rename(&beside, file).on("rename to", file)
}
