//! POSIX shared memory (`/dev/shm`) of containers that share their IPC namespace: a file system of the engine's, bound into
//! the one that shares it (`--ipc shareable`) and into those that join it (`--ipc container:NAME`), as in Docker.

use std::ffi::CString;
use std::path::{Path, PathBuf};

use rustix::mount::MountFlags;

use crate::container::Container;
use crate::{Engine, Error, local_driver};

/// Its size when nobody says otherwise, in bytes.
pub(crate) const SIZE: i64 = 64 << 20;

impl Engine {
    /// Where the shared memory lies that a container shares or joins; none when it has its own, the machine's or none.
    pub(crate) fn shared_memory(&self, container: &Container) -> Result<Option<PathBuf>, Error> {
        let mode = container.with(|record| record.host_config.ipc_mode.clone());
        let Some(other) = mode.strip_prefix("container:") else {
            return Ok((mode == "shareable").then(|| folder(&container.exec_folder)));
        };
        let other = self.containers.find(other)?;
        if other.with(|record| record.host_config.ipc_mode != "shareable") {
            return Err(Error::InvalidRequest(format!(
                "failed to join IPC namespace: container {}: non-shareable IPC (hint: use IpcMode:shareable for the donor \
                 container)",
                other.id
            )));
        }
        Ok(Some(folder(&other.exec_folder)))
    }
}

/// Mounts what a container shares, if it does.
pub(crate) fn mount(container: &Container) -> Result<(), Error> {
    let (mode, size) = container.with(|record| {
        let host = &record.host_config;
        (host.ipc_mode.clone(), host.shm_size)
    });
    if mode != "shareable" {
        return Ok(());
    }
    let folder = folder(&container.exec_folder);
    let failed = |source| Error::Folder { folder: folder.clone(), source };
    std::fs::create_dir_all(&folder).map_err(failed)?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    let data = CString::new(format!("mode=1777,size={}", size_of(size))).unwrap_or_default();
    rustix::mount::mount("shm", &folder, "tmpfs", flags, data.as_c_str())
        .map_err(|errno| failed(errno.into()))
}

/// Takes it away; nothing is fine. Those that joined it keep it.
pub(crate) fn unmount(exec_folder: &Path) -> Result<(), Error> {
    local_driver::unmount(&folder(exec_folder))
}

/// Bytes of `/dev/shm`, as asked for or the usual.
pub(crate) fn size_of(asked: i64) -> i64 {
    if asked > 0 { asked } else { SIZE }
}

fn folder(exec_folder: &Path) -> PathBuf {
    exec_folder.join("shm")
}
