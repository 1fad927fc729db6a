//! A container's files as its processes see them: its root with everything that is mounted in it.
//!
//! A running container's are those of its mount namespace. For one that doesn't run a namespace is made: its root, its
//! volumes and binds, and nothing else. Either is looked into through its root's descriptor alone, beneath which
//! `openat2` keeps every lookup.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use berth_runtime::beneath;
use rustix::fs::{CWD, FileType, Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{MountFlags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags};
use tokio::sync::OwnedMutexGuard;

use crate::container::Container;
use crate::spec::Bind;
use crate::{Engine, Error, sys};

/// How long the engine may take to note that a process ended.
const EXIT_DEADLINE: Duration = Duration::from_secs(10);

/// A container's files.
#[derive(Debug)]
pub(crate) struct View {
    /// The root (`O_PATH`).
    pub(crate) root: OwnedFd,
    /// Keeps the mounts of a container that doesn't run.
    _namespace: Option<File>,
    /// Keeps it from being started on the same writable folder meanwhile.
    _verb: Option<OwnedMutexGuard<()>>,
}

impl Engine {
    /// Opens a container's files, with all that is mounted in it.
    pub(crate) async fn view(&self, container: &Arc<Container>) -> Result<View, Error> {
        let verb = container.verb.clone().lock_owned().await;
        let state = container.state();
        if state.status.has_process() {
            let (id, pid) = (container.id.clone(), state.pid);
            let entered = tokio::task::spawn_blocking(move || enter(&id, pid)).await?;
            if let Ok(root) = entered {
                return Ok(View { root, _namespace: None, _verb: None });
            }
            // It has just ended: its files are there all the same, once that is noted.
            let mut moments = container.moments();
            let ended = tokio::time::timeout(EXIT_DEADLINE, moments.wait_for(|moment| !moment.running)).await;
            if ended.is_err() {
                entered?;
            }
        }
        let binds = self.all_binds(container)?;
        self.view_at_rest(container, binds, verb).await
    }

    /// Opens the root of a container without what is mounted in it.
    pub(crate) async fn bare_view(&self, container: &Arc<Container>) -> Result<View, Error> {
        let verb = container.verb.clone().lock_owned().await;
        if container.state().status.has_process() {
            let mounted = container.exec_folder.join("rootfs");
            let root = open(&mounted).map_err(failed("open its root"))?;
            return Ok(View { root, _namespace: None, _verb: None });
        }
        self.view_at_rest(container, Vec::new(), verb).await
    }

    async fn view_at_rest(
        &self,
        container: &Arc<Container>,
        binds: Vec<Bind>,
        verb: OwnedMutexGuard<()>,
    ) -> Result<View, Error> {
        let (images, container) = (self.images.clone(), container.clone());
        let readonly = container.with(|record| record.host_config.readonly_rootfs);
        tokio::task::spawn_blocking(move || {
            let (root, namespace) = in_thread(|| {
                let trees = binds.iter().map(copy_tree).collect::<Result<Vec<_>, _>>()?;
                sys::own_mounts().map_err(failed("make a mount namespace"))?;
                // Held while the machine's /proc is there.
                let namespace =
                    File::open("/proc/thread-self/ns/mnt").map_err(failed("keep the namespace"))?;
                let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
                rustix::mount::mount_change("/", private)
                    .map_err(|errno| failed("make the mounts private")(errno.into()))?;
                // Any folder of our own does: nobody else sees this.
                images.mount(&container.id, &container.folder)?;
                let root = open(&container.folder).map_err(failed("open its root"))?;
                for (bind, tree) in binds.iter().zip(trees) {
                    attach(&root, bind, &tree)?;
                }
                only(&root, readonly).map_err(failed("leave the machine's mounts"))?;
                let root = open(Path::new("/")).map_err(failed("open its root"))?;
                Ok((root, namespace))
            })?;
            Ok(View { root, _namespace: Some(namespace), _verb: Some(verb) })
        })
        .await?
    }

    /// Everything of ours and the user's that is bound into a container, parents first.
    fn all_binds(&self, container: &Container) -> Result<Vec<Bind>, Error> {
        let record = container.record();
        let mut binds = self.binds(&record)?;
        for file in ["resolv.conf", "hostname", "hosts"] {
            let source = container.folder.join(file);
            let destination = format!("/etc/{file}");
            if source.exists() && !binds.iter().any(|bind| bind.destination == destination) {
                let writable = !record.host_config.readonly_rootfs;
                binds.push(Bind {
                    source,
                    destination,
                    writable,
                    propagation: "rprivate".to_owned(),
                    recursive: false,
                });
            }
        }
        binds.sort_by_key(|bind| bind.destination.matches('/').count());
        Ok(binds)
    }
}

/// The root of the mount namespace of a container's process.
fn enter(id: &str, pid: i32) -> Result<OwnedFd, Error> {
    let namespace =
        File::open(format!("/proc/{pid}/ns/mnt")).map_err(failed("open the container's namespace"))?;
    // A number may be another process's by now; that one isn't in the container's cgroup.
    let cgroup = std::fs::read_to_string(format!("/proc/{pid}/cgroup"));
    if !cgroup.map_err(failed("look at the container's process"))?.contains(id) {
        return Err(failed("find the container's process")(io::ErrorKind::NotFound.into()));
    }
    in_thread(|| {
        sys::join_mounts(namespace.as_fd()).map_err(failed("enter the container's namespace"))?;
        open(Path::new("/")).map_err(failed("open its root"))
    })
}

/// A copy of a bind's mounts, attached nowhere.
fn copy_tree(bind: &Bind) -> Result<OwnedFd, Error> {
    let mut flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    if bind.recursive {
        flags |= OpenTreeFlags::AT_RECURSIVE;
    }
    let opened = rustix::mount::open_tree(CWD, &bind.source, flags);
    opened.map_err(|errno| Error::Read { path: bind.source.clone(), source: errno.into() })
}

/// Attaches a bind beneath the root.
fn attach(root: &OwnedFd, bind: &Bind, tree: &OwnedFd) -> Result<(), Error> {
    let failed = |step| move |errno: Errno| failed(step)(errno.into());
    let stat = rustix::fs::fstat(tree).map_err(failed("look at a volume"))?;
    let destination = Path::new(&bind.destination);
    let root = root.as_fd();
    let target = if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
        beneath::make_folders(root, destination)?
    } else {
        beneath::make_file(root, destination)?
    };
    let empty = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    rustix::mount::move_mount(tree, "", &target, "", empty).map_err(failed("attach a volume"))?;
    if !bind.writable {
        let path = format!("/proc/thread-self/fd/{}", tree.as_raw_fd());
        rustix::mount::mount_remount(path, MountFlags::BIND | MountFlags::RDONLY, "")
            .map_err(failed("make a volume read-only"))?;
    }
    Ok(())
}

/// Makes `root` the only thing in this namespace.
fn only(root: &OwnedFd, readonly: bool) -> io::Result<()> {
    if readonly {
        let path = format!("/proc/thread-self/fd/{}", root.as_raw_fd());
        rustix::mount::mount_remount(path, MountFlags::BIND | MountFlags::RDONLY, "")?;
    }
    rustix::process::fchdir(root)?;
    rustix::process::pivot_root(".", ".")?;
    // What was the root lies on top of the new one now.
    rustix::mount::unmount(".", UnmountFlags::DETACH)?;
    rustix::process::chdir("/")?;
    Ok(())
}

fn open(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(rustix::fs::open(path, flags, Mode::empty())?)
}

/// Runs `work` in a thread that ends with it, and with it whatever it did to its view of the file system.
fn in_thread<T: Send>(work: impl FnOnce() -> Result<T, Error> + Send) -> Result<T, Error> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("view".to_owned()).spawn_scoped(scope, work);
        let thread = thread.map_err(failed("start a thread"))?;
        thread.join().unwrap_or_else(|panicked| std::panic::resume_unwind(panicked))
    })
}

fn failed(step: &'static str) -> impl FnOnce(io::Error) -> Error {
    move |source| Error::View { step, source }
}
