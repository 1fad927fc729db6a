//! What carries our devices: vhost-user. The emulator shares the guest's memory and queues with us, over one socket per
//! device.

use std::fs;
use std::os::fd::RawFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;

use vhost::vhost_user::Listener;
use vhost_user_backend::VhostUserDaemon;
use vm_memory::GuestMemoryMmap;
use vmm_sys_util::epoll::EventSet;

use super::device::{Backend, Device, GuestMemory};
use crate::Error;

/// A thread that waits for the emulator at a socket; it ends with the emulator's connection.
pub(super) struct Carried {
    socket: PathBuf,
    thread: Option<JoinHandle<()>>,
}

impl Carried {
    /// Waits for the emulator at `socket` and serves it a device. `beside` are more descriptors whose readiness each of the
    /// device's threads is told of, under those numbers.
    pub(super) fn start<D: Device>(
        name: &'static str,
        socket: PathBuf,
        device: D,
        beside: Vec<(RawFd, u16)>,
    ) -> Result<Self, Error> {
        Self::wait(name, socket, move |listener| {
            if let Err(error) = serve(name, device, beside, listener) {
                tracing::error!(%error, name, "a device ended");
            }
        })
    }

    /// Listens at `socket`, and leaves it to a thread of that name, which ends when the first who came has left.
    pub(super) fn wait(
        name: &str,
        socket: PathBuf,
        serve: impl FnOnce(UnixListener) + Send + 'static,
    ) -> Result<Self, Error> {
        let listener = listen(&socket)?;
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(move || serve(listener));
        let thread = thread.map_err(Error::os(format!("start the thread {name}")))?;
        Ok(Self { socket, thread: Some(thread) })
    }
}

impl Drop for Carried {
    fn drop(&mut self) {
        // An emulator that never came leaves the thread waiting for it: come in its place, and leave.
        drop(UnixStream::connect(&self.socket));
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        drop(fs::remove_file(&self.socket));
    }
}

/// Listens at a path, where a machine that was killed may have left a socket: nobody answers there any more.
pub(super) fn listen(path: &Path) -> Result<UnixListener, Error> {
    drop(fs::remove_file(path));
    UnixListener::bind(path).map_err(Error::os(format!("listen on {}", path.display())))
}

/// Serves one emulator until it leaves.
fn serve<D: Device>(
    name: &str,
    device: D,
    beside: Vec<(RawFd, u16)>,
    listener: UnixListener,
) -> Result<(), vhost_user_backend::Error> {
    let memory = GuestMemory::new(GuestMemoryMmap::new());
    let backend = Arc::new(Backend { device, memory: memory.clone() });
    let mut daemon = VhostUserDaemon::new(format!("{name}-control"), backend, memory)?;
    for (descriptor, number) in beside {
        for handler in daemon.get_epoll_handlers() {
            handler
                .register_listener(descriptor, EventSet::IN, number.into())
                .map_err(vhost_user_backend::Error::StartDaemon)?;
        }
    }
    daemon.start(&mut Listener::from(listener))?;
    match daemon.wait() {
        Err(vhost_user_backend::Error::HandleRequest(vhost::vhost_user::Error::Disconnected)) => Ok(()),
        ended => ended,
    }
}
