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
use crate::container::mounts::MountKind;
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
        let view = match self.mount_volumes(container).and_then(|()| self.mount_images(container)) {
            Ok(()) => match self.all_binds(container) {
                Ok(binds) => self.view_at_rest(container, binds, verb).await,
                Err(error) => Err(error),
            },
            Err(error) => Err(error),
        };
        // The view has copies of its own.
        self.unmount_volumes(container)?;
        self.unmount_images(container)?;
        view
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

    /// Copies what the image has where a container's fresh volumes appear into them, with its owner and mode.
    pub(crate) async fn fill_volumes(&self, container: &Arc<Container>) -> Result<(), Error> {
        let fresh: Vec<_> = container.with(|record| {
            let mounts = record.mounts.iter().filter(|mount| mount.kind == MountKind::Volume);
            let mounts = mounts.filter(|mount| !mount.options.no_copy && mount.options.subpath.is_empty());
            mounts.map(|mount| (mount.destination.clone(), mount.name.clone())).collect()
        });
        let is_fresh = |name: &str| {
            self.volumes.find(name).is_ok_and(|volume| volume.options.is_empty())
                && std::fs::read_dir(self.volumes.data(name)).is_ok_and(|mut data| data.next().is_none())
        };
        let fresh: Vec<_> = fresh
            .into_iter()
            .filter(|(_, name)| is_fresh(name))
            .map(|(destination, name)| (destination, self.volumes.data(&name)))
            .collect();
        if fresh.is_empty() {
            return Ok(());
        }
        let verb = container.verb.clone().lock_owned().await;
        let view = self.view_at_rest(container, Vec::new(), verb).await?;
        tokio::task::spawn_blocking(move || {
            fresh.iter().try_for_each(|(destination, data)| {
                fill(&view, Path::new(destination), data)?;
                if Path::new(destination) == Path::new("/etc") { make_places(data) } else { Ok(()) }
            })
        })
        .await?
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
    fn all_binds(&self, container: &Arc<Container>) -> Result<Vec<Bind>, Error> {
        let record = container.record();
        let mut binds = self.binds(&record)?;
        let names = self.network_owner(container);
        for file in ["resolv.conf", "hostname", "hosts"] {
            let source = names.folder.join(file);
            let destination = format!("/etc/{file}");
            if source.exists() && !binds.iter().any(|bind| bind.destination == destination) {
                binds.push(Bind::ours(source, destination, !record.host_config.readonly_rootfs));
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

/// Makes the places where a container's names are mounted, which it couldn't itself in a volume that it only reads.
fn make_places(volume: &Path) -> Result<(), Error> {
    let folder = open(volume).map_err(failed("open the volume"))?;
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
    for file in ["hostname", "hosts", "resolv.conf"] {
        match rustix::fs::openat(&folder, file, flags, Mode::from_raw_mode(0o644)) {
            Ok(_) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(failed("make a place in the volume")(errno.into())),
        }
    }
    Ok(())
}

/// Copies the folder `source` of the image into `volume`; none there is fine.
fn fill(view: &View, source: &Path, volume: &Path) -> Result<(), Error> {
    let Ok(source) = beneath::look_up(view.root.as_fd(), source) else { return Ok(()) };
    let stat =
        rustix::fs::fstat(&source).map_err(|errno| failed("look at the image's folder")(errno.into()))?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
        return Ok(());
    }
    let volume = open(volume).map_err(failed("open the volume"))?;
    let (reader, writer) = io::pipe().map_err(failed("make a pipe"))?;
    std::thread::scope(|scope| {
        let here = std::ffi::OsStr::new(".");
        let sent = scope.spawn(move || berth_images::copy_out(source.as_fd(), here, b".", writer));
        let options = berth_images::CopyOptions { dress_folder: true, ..Default::default() };
        berth_images::copy_in(volume.as_fd(), b"/", reader, &options)?;
        Ok(sent.join().unwrap_or_else(|panicked| std::panic::resume_unwind(panicked))?)
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
