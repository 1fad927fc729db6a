//! Our vsock device, carried by vhost-user: the emulator shares the guest's memory and its queues with us.

use std::fs;
use std::io;
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, Once, PoisonError};

use vhost_user_backend::{VringRwLock, VringT};
use virtio::vsock::{QUEUE_SIZE, QUEUES, Vsock};
use vm_memory::GuestAddressSpace;

use super::carrier::{self, Carried};
use super::device::{self, GuestMemory};
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
        let device =
            Shared { device: Mutex::new(device), driver_seen: Once::new(), on_driver: Box::new(on_driver) };
        let carried = Carried::start("vsock", config.device_socket(), device, beside)?;
        Ok(Self { carried: Some(carried), clients })
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        drop(self.carried.take());
        drop(fs::remove_file(&self.clients));
    }
}

/// Our device, as the emulator asks it.
struct Shared {
    device: Mutex<Vsock>,
    driver_seen: Once,
    on_driver: Box<dyn Fn() + Send + Sync>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Vsock> {
        self.device.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl device::Device for Shared {
    const QUEUE_SIZE: u16 = QUEUE_SIZE;

    fn queues(&self) -> usize {
        QUEUES
    }

    fn config(&self) -> Option<Vec<u8>> {
        Some(self.lock().config().to_vec())
    }

    fn reset(&self) {
        self.lock().reset();
    }

    fn serve(
        &self,
        event: u16,
        vrings: &[VringRwLock],
        memory: &GuestMemory,
        _thread: usize,
    ) -> io::Result<()> {
        let [receive, transmit, ..] = vrings else { return Ok(()) };
        let mut device = self.lock();
        if event == CLIENTS {
            device.host_ready().map_err(io::Error::other)?;
        }
        let (mut receive, mut transmit) = (receive.get_mut(), transmit.get_mut());
        if !device::is_ready(&receive) || !device::is_ready(&transmit) {
            return Ok(());
        }
        self.driver_seen.call_once(&self.on_driver);
        let memory = memory.memory();
        match device.run(receive.get_queue_mut(), transmit.get_queue_mut(), &memory) {
            Ok(owed) => device::pay(owed, &receive, &transmit),
            Err(error) => {
                tracing::warn!(%error, "the guest's vsock driver misbehaves");
                device::stand_still(&mut receive);
                device::stand_still(&mut transmit);
                device.reset();
                Ok(())
            }
        }
    }
}
