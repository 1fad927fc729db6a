//! `berth-runtime attended <dir>`: one container from its making to its end, for as long as somebody attends.
//!
//! A build step has no guard: its container is worth nothing once the build is gone. The attendant keeps the other
//! end of this program's standard input open; when it closes, for whatever reason, the container is killed. Standard
//! output and error are the container's. What came of it lies in `<dir>/result.json` at the end.

use std::fs::File;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use oci_spec::runtime::Spec;
use rustix::event::{PollFd, PollFlags};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions};
use serde::{Deserialize, Serialize};

use crate::cgroup::{Cgroup, CgroupRoot};
use crate::create::{Container, Create, Life, create};
use crate::error::{Doing, Error};
use crate::stdio::Stdio;

/// The file that says what came of it.
pub const RESULT_FILE: &str = "result.json";
/// The file that says where the container's cgroup is.
pub const PLACE_FILE: &str = "place.json";
/// How long killed processes may take to be gone.
const EMPTY_DEADLINE: Duration = Duration::from_secs(10);

/// `place.json`: the container's cgroup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CgroupPlace {
    /// Where a cgroup v2 hierarchy is mounted.
    pub mount: PathBuf,
    /// The cgroup's path below it.
    pub path: String,
}

/// `result.json`: how the container ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// Its program ran and ended with this code.
    Exited(i32),
    /// Its program was never started.
    Failed(String),
    /// Nobody attended any more.
    Abandoned,
}

/// Runs the container whose `config.json` and `place.json` lie in `folder`.
pub fn run(folder: &Path) -> ExitCode {
    let ending = attend(folder).unwrap_or_else(|error| Ending::Failed(error.describe()));
    let written = serde_json::to_vec(&ending)
        .map_err(std::io::Error::from)
        .and_then(|json| std::fs::write(folder.join(RESULT_FILE), json));
    match written {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("berth-runtime: {error}");
            ExitCode::FAILURE
        }
    }
}

fn attend(folder: &Path) -> Result<Ending, Error> {
    crate::protect::run_from_readonly_mount()?;
    rustix::process::set_child_subreaper(Pid::from_raw(1)).doing("become a subreaper")?;
    let spec: Spec = read_json(&folder.join("config.json"))?;
    let place: CgroupPlace = read_json(&folder.join(PLACE_FILE))?;
    let resources = spec.linux().as_ref().and_then(|linux| linux.resources().as_ref());
    let cgroup = CgroupRoot { mount: place.mount }.make(&place.path, resources)?;
    let ended = in_cgroup(folder, &spec, &cgroup);
    // Whatever the step left running ends with it.
    let _ = cgroup.kill();
    let _ = cgroup.await_empty(EMPTY_DEADLINE);
    let _ = cgroup.remove();
    ended
}

fn in_cgroup(folder: &Path, spec: &Spec, cgroup: &Cgroup) -> Result<Ending, Error> {
    let stdin = File::open("/dev/null").on("open", "/dev/null")?.into();
    let stdout = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdout(), 3).doing("keep the output")?;
    let stderr = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stderr(), 3).doing("keep the output")?;
    let stdio = Stdio::Pipes { stdin, stdout, stderr };
    let mut container = create(Create {
        id: "attended",
        spec,
        bundle: folder,
        cgroup: Some(cgroup),
        stdio,
        life: Life::Tied,
        preserved: 0,
        no_pivot: false,
    })?;
    container.start()?;
    wait(&container)
}

/// Waits for the container's end or the attendant's.
fn wait(container: &Container) -> Result<Ending, Error> {
    let attendant = rustix::stdio::stdin();
    let mut abandoned = false;
    loop {
        let mut set = vec![PollFd::from_borrowed_fd(container.pidfd(), PollFlags::IN)];
        if !abandoned {
            set.push(PollFd::from_borrowed_fd(attendant.as_fd(), PollFlags::IN));
        }
        match rustix::event::poll(&mut set, None) {
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => continue,
            Err(errno) => return Err(errno).doing("wait for the container's end"),
        }
        if !set[0].revents().is_empty() {
            let code = reap(container)?;
            return Ok(if abandoned { Ending::Abandoned } else { Ending::Exited(code) });
        }
        if set.get(1).is_some_and(|attendant| !attendant.revents().is_empty()) {
            abandoned = true;
            let _ = rustix::process::pidfd_send_signal(container.pidfd(), Signal::KILL);
        }
    }
}

fn reap(container: &Container) -> Result<i32, Error> {
    let status = rustix::process::waitid(WaitId::PidFd(container.pidfd()), WaitIdOptions::EXITED)
        .doing("collect the container's process")?;
    let status = status.ok_or(Error::ChildVanished)?;
    Ok(status.exit_status().unwrap_or_else(|| 128 + status.terminating_signal().unwrap_or(0)))
}

fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T, Error> {
    let bytes = std::fs::read(path).on("read", path)?;
    serde_json::from_slice(&bytes).map_err(Error::Handshake)
}
