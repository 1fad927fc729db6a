//! One container, held: from its making to its exit record.
//!
//! ```text
//! launch.json -> listen -> create -> Created -Start-> Running -exit, drained-> Exited -Ack-> end
//!                             |          |
//!                       CreateFailed   engine gone: kill, end
//! ```

mod connection;
pub(crate) mod error;
mod events;
mod log;
mod process;
mod session;

use std::path::Path;

use berth_guard::{LAUNCH_FILE, Launch, SOCKET_FILE};
use berth_runtime::Spec;
use berth_runtime::cgroup::{Cgroup, CgroupRoot};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use rustix::process::{Pid, Resource, Rlimit};

use error::{Doing, Error};
use session::Session;

/// Everything, in order.
pub(crate) fn run(folder: &Path) -> Result<(), Error> {
    // Paths of sockets are short (unix(7)): all names are relative to the folder from here on.
    rustix::process::chdir(folder).doing("enter the guard's folder")?;
    let here = Path::new(".");
    let launch: Launch = read_json(&here.join(LAUNCH_FILE))?;
    if let Some(files) = launch.open_files {
        open_at_most(files);
    }
    let root = launch.cgroup_mount.clone().map(|mount| CgroupRoot { mount });
    if let (Some(root), Some(path)) = (&root, &launch.guard_cgroup)
        && !root.make(path, None)?.copy_self()?
    {
        return Ok(());
    }
    // By the copy itself: whoever reads this hears next that the guard is ready.
    say_number(rustix::process::getpid().as_raw_pid())?;
    let _ = std::fs::remove_file(berth_guard::EXIT_FILE);
    let _ = rustix::process::setsid();
    rustix::process::set_child_subreaper(Pid::from_raw(1)).doing("become a subreaper")?;
    let children = crate::sys::child_events().doing("watch for ended children")?;
    let listener = listen()?;
    say_ready()?;

    let spec: Spec = read_json(&launch.bundle.join("config.json"))?;
    let mut session = Session::new(launch, spec, listener, children)?;
    let ended = session.make_container(root.as_ref()).and_then(|()| session.run());
    session.clean_up();
    let _ = std::fs::remove_file(SOCKET_FILE);
    ended
}

/// Lowers the soft limit of open files, which everything from here on inherits.
fn open_at_most(files: u64) {
    let limit = rustix::process::getrlimit(Resource::Nofile);
    let current = limit.current.map_or(files, |current| current.min(files));
    // Lowering it needs no right, so it can't be refused.
    let _ = rustix::process::setrlimit(Resource::Nofile, Rlimit { current: Some(current), ..limit });
}

/// The cgroup of the launch, limited as the specification says.
fn make_cgroup(launch: &Launch, spec: &Spec, root: Option<&CgroupRoot>) -> Result<Option<Cgroup>, Error> {
    let Some(root) = root else { return Ok(None) };
    let resources = spec.linux().as_ref().and_then(|linux| linux.resources().as_ref());
    Ok(Some(root.make(&launch.cgroup_path, resources)?))
}

pub(crate) fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T, Error> {
    let bytes = std::fs::read(path).map_err(|source| Error::Read { path: path.into(), source })?;
    serde_json::from_slice(&bytes).map_err(|source| Error::Parse { path: path.into(), source })
}

fn listen() -> Result<std::os::fd::OwnedFd, Error> {
    let _ = std::fs::remove_file(SOCKET_FILE);
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None);
    let socket = socket.doing("make the socket")?;
    let address = SocketAddrUnix::new(SOCKET_FILE).doing("name the socket")?;
    rustix::net::bind(&socket, &address).doing("bind the socket")?;
    rustix::net::listen(&socket, 4).doing("listen on the socket")?;
    Ok(socket)
}

/// Tells whoever started the guard which process it is from here on.
fn say_number(process: i32) -> Result<(), Error> {
    let written = rustix::io::write(rustix::stdio::stdout(), &process.to_be_bytes());
    written.map(drop).doing("say the guard's number")
}

/// Tells whoever started the guard that it may connect, and leaves its streams alone from then on.
fn say_ready() -> Result<(), Error> {
    let _ = rustix::io::write(rustix::stdio::stdout(), b"ready\n");
    let null = std::fs::File::options().read(true).write(true).open("/dev/null").doing("open /dev/null")?;
    rustix::stdio::dup2_stdin(&null).doing("close standard input")?;
    rustix::stdio::dup2_stdout(&null).doing("close standard output")
}
