//! Our vsock device, carried by vhost-user: the emulator shares the guest's memory and its queues with us.

use std::fs;
use std::io;
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, Once, PoisonError};

use vhost::vhost_user::message::{VhostUserProtocolFeatures, VhostUserVirtioFeatures};
use vhost_user_backend::{VhostUserBackend, VringRwLock, VringT};
use virtio::vsock::{QUEUE_SIZE, QUEUES, Vsock};
use virtio_queue::QueueT;
use vm_memory::{GuestAddressSpace, GuestMemoryMmap};
use vmm_sys_util::epoll::EventSet;
use vmm_sys_util::event::{EventConsumer, EventFlag, EventNotifier, new_event_consumer_and_notifier};

use super::carrier::{self, Carried, FEATURES, GuestMemory};
use crate::Error;
use crate::config::Config;

/// Marks the clients' side among the events; queues and the exit come first.
const CLIENTS: u16 = QUEUES as u16 + 1;
/// The device and the place of its clients.
pub(super) struct Device {
    carried: Option<Carried>,
    clients: PathBuf,
}

impl Device {
    /// Listens for the emulator and for clients. `on_driver` is called once, when the guest's driver is there.
    pub(super) fn listen(
        config: &Config,
        on_driver: impl Fn() + Send + Sync + 'static,
    ) -> Result<Self, Error> {
        let clients = config.vsock_socket();
        let device = Vsock::new(protocol::vsock::GUEST_CID, carrier::listen(&clients)?)?;
        let beside = vec![(device.readiness().as_raw_fd(), CLIENTS)];
        let memory = GuestMemory::new(GuestMemoryMmap::new());
        let backend = Arc::new(Backend {
            device: Mutex::new(device),
            memory: memory.clone(),
            driver_seen: Once::new(),
            on_driver: Box::new(on_driver),
        });
        let carried = Carried::start("vsock", config.device_socket(), backend, memory, beside)?;
        Ok(Self { carried: Some(carried), clients })
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        drop(self.carried.take());
        drop(fs::remove_file(&self.clients));
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
