//! What our devices have in common: vhost-user. The emulator shares the guest's memory and queues with us, over one
//! socket per device.

use std::fs;
use std::os::fd::RawFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

use vhost::vhost_user::Listener;
use vhost_user_backend::{VhostUserBackend, VhostUserDaemon, VringRwLock};
use vm_memory::{GuestMemoryAtomic, GuestMemoryMmap};
use vmm_sys_util::epoll::EventSet;

use crate::Error;

/// The guest's memory, which comes and goes with the emulator's connection.
pub(super) type GuestMemory = GuestMemoryAtomic<GuestMemoryMmap>;

/// VIRTIO_F_VERSION_1, VIRTIO_RING_F_EVENT_IDX and VIRTIO_RING_F_INDIRECT_DESC.
pub(super) const FEATURES: u64 = 1 << 32 | 1 << 29 | 1 << 28;

/// A device on a thread of its own; it ends with the emulator's connection.
pub(super) struct Carried {
    socket: PathBuf,
    thread: Option<JoinHandle<()>>,
}

impl Carried {
    /// Waits for the emulator at `socket` and serves it. `beside` are more descriptors whose readiness each of the
    /// device's threads is told of, under those numbers.
    pub(super) fn start<B>(
        name: &'static str,
        socket: PathBuf,
        backend: B,
        memory: GuestMemory,
        beside: Vec<(RawFd, u16)>,
    ) -> Result<Self, Error>
    where
        B: VhostUserBackend<Bitmap = (), Vring = VringRwLock> + Clone + Send + Sync + 'static,
    {
        let listener = listen(&socket)?;
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(move || {
            if let Err(error) = serve(name, backend, memory, beside, listener) {
                tracing::error!(%error, name, "a device ended");
            }
        });
        let thread = thread.map_err(Error::os(format!("start the {name} device")))?;
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
fn serve<B>(
    name: &str,
    backend: B,
    memory: GuestMemory,
    beside: Vec<(RawFd, u16)>,
    listener: UnixListener,
) -> Result<(), vhost_user_backend::Error>
where
    B: VhostUserBackend<Bitmap = (), Vring = VringRwLock> + Clone + Send + Sync + 'static,
{
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
