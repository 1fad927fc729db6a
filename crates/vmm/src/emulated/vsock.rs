//! Our vsock device, carried by vhost-user: the emulator shares the guest's memory and its queues with us.

use std::fs;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, Once, PoisonError};
use std::thread::JoinHandle;

use vhost::vhost_user::Listener;
use vhost::vhost_user::message::{VhostUserProtocolFeatures, VhostUserVirtioFeatures};
use vhost_user_backend::{VhostUserBackend, VhostUserDaemon, VringRwLock, VringT};
use virtio::vsock::{QUEUE_SIZE, QUEUES, Vsock};
use virtio_queue::QueueT;
use vm_memory::{GuestAddressSpace, GuestMemoryAtomic, GuestMemoryMmap};
use vmm_sys_util::epoll::EventSet;
use vmm_sys_util::event::{EventConsumer, EventFlag, EventNotifier, new_event_consumer_and_notifier};

use crate::Error;
use crate::config::Config;

/// Marks the clients' side among the events; queues and the exit come first.
const CLIENTS: u16 = QUEUES as u16 + 1;
/// VIRTIO_F_VERSION_1, VIRTIO_RING_F_EVENT_IDX and VIRTIO_RING_F_INDIRECT_DESC.
const FEATURES: u64 = 1 << 32 | 1 << 29 | 1 << 28;

type GuestMemory = GuestMemoryAtomic<GuestMemoryMmap>;

/// The device with its threads; it ends with the emulator's connection.
pub(super) struct Device {
    socket: PathBuf,
    clients: PathBuf,
    thread: Option<JoinHandle<()>>,
}

impl Device {
    /// Listens for the emulator and for clients. `on_driver` is called once, when the guest's driver is there.
    pub(super) fn listen(
        config: &Config,
        on_driver: impl Fn() + Send + Sync + 'static,
    ) -> Result<Self, Error> {
        let (socket, clients) = (config.device_socket(), config.vsock_socket());
        let listen = |path: &PathBuf| {
            // A socket of a machine that was killed: nobody answers there any more.
            drop(fs::remove_file(path));
            UnixListener::bind(path).map_err(Error::os(format!("listen on {}", path.display())))
        };
        let device = Vsock::new(protocol::vsock::GUEST_CID, listen(&clients)?)?;
        let listener = listen(&socket)?;
        let backend = Arc::new(Backend {
            device: Mutex::new(device),
            memory: GuestMemory::new(GuestMemoryMmap::new()),
            driver_seen: Once::new(),
            on_driver: Box::new(on_driver),
        });
        let thread = std::thread::Builder::new().name("vsock".to_owned()).spawn(move || {
            if let Err(error) = serve(backend, listener) {
                tracing::error!(%error, "the vsock device ended");
            }
        });
        let thread = Some(thread.map_err(Error::os("start the vsock device"))?);
        Ok(Self { socket, clients, thread })
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        // An emulator that never came leaves the thread waiting for it: come in its place, and leave.
        drop(UnixStream::connect(&self.socket));
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        for path in [&self.socket, &self.clients] {
            drop(fs::remove_file(path));
        }
    }
}

/// Serves one emulator until it leaves.
fn serve(backend: Arc<Backend>, listener: UnixListener) -> Result<(), vhost_user_backend::Error> {
    let memory = backend.memory.clone();
    let clients = lock(&backend.device).readiness().as_raw_fd();
    let mut daemon = VhostUserDaemon::new("vsock-control".to_owned(), backend, memory)?;
    for handler in daemon.get_epoll_handlers() {
        handler
            .register_listener(clients, EventSet::IN, CLIENTS.into())
            .map_err(vhost_user_backend::Error::StartDaemon)?;
    }
    daemon.start(&mut Listener::from(listener))?;
    match daemon.wait() {
        Err(vhost_user_backend::Error::HandleRequest(vhost::vhost_user::Error::Disconnected)) => Ok(()),
        ended => ended,
    }
}

struct Backend {
    device: Mutex<Vsock>,
    memory: GuestMemory,
    driver_seen: Once,
    on_driver: Box<dyn Fn() + Send + Sync>,
}

impl VhostUserBackend for Backend {
    type Bitmap = ();
    type Vring = VringRwLock;

    fn num_queues(&self) -> usize {
        QUEUES
    }

    fn max_queue_size(&self) -> usize {
        QUEUE_SIZE.into()
    }

    fn features(&self) -> u64 {
        FEATURES | VhostUserVirtioFeatures::PROTOCOL_FEATURES.bits()
    }

    fn protocol_features(&self) -> VhostUserProtocolFeatures {
        VhostUserProtocolFeatures::CONFIG | VhostUserProtocolFeatures::MQ
    }

    fn reset_device(&self) {
        lock(&self.device).reset();
    }

    fn set_event_idx(&self, _enabled: bool) {
        // The framework sets it on the queues themselves, which is where our device asks.
    }

    fn get_config(&self, offset: u32, size: u32) -> Vec<u8> {
        let config = lock(&self.device).config();
        let start = (offset as usize).min(config.len());
        let end = start.saturating_add(size as usize).min(config.len());
        config[start..end].to_vec()
    }

    fn update_memory(&self, _memory: GuestMemory) -> io::Result<()> {
        // It is the atomic that we hold already.
        Ok(())
    }

    fn exit_event(&self, _thread: usize) -> Option<(EventConsumer, EventNotifier)> {
        new_event_consumer_and_notifier(EventFlag::NONBLOCK | EventFlag::CLOEXEC).ok()
    }

    fn handle_event(
        &self,
        event: u16,
        _set: EventSet,
        vrings: &[VringRwLock],
        _thread: usize,
    ) -> io::Result<()> {
        let mut device = lock(&self.device);
        if event == CLIENTS {
            device.host_ready().map_err(io::Error::other)?;
        }
        let (mut receive, mut transmit) = (vrings[0].get_mut(), vrings[1].get_mut());
        let ready = receive.is_enabled() && transmit.is_enabled();
        if !ready || !receive.get_queue().ready() || !transmit.get_queue().ready() {
            return Ok(());
        }
        self.driver_seen.call_once(&self.on_driver);
        let memory = self.memory.memory();
        let ran = device.run(receive.get_queue_mut(), transmit.get_queue_mut(), &memory);
        match ran {
            Ok(owed) => {
                if owed.receive {
                    receive.signal_used_queue()?;
                }
                if owed.transmit {
                    transmit.signal_used_queue()?;
                }
            }
            Err(error) => {
                // The guest broke its own rings: its device stands still until it is set up anew.
                tracing::warn!(%error, "the guest's vsock driver misbehaves");
                receive.get_queue_mut().set_ready(false);
                transmit.get_queue_mut().set_ready(false);
                device.reset();
            }
        }
        Ok(())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
