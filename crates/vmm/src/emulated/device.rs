//! A device of ours, and the questions of the framework that carries it, which all devices answer alike.

use std::io;

use vhost::vhost_user::message::{VhostUserProtocolFeatures, VhostUserVirtioFeatures};
use vhost_user_backend::{VhostUserBackend, VringRwLock, VringState};
use virtio::Owed;
use virtio_queue::QueueT;
use vm_memory::{GuestMemoryAtomic, GuestMemoryMmap};
use vmm_sys_util::epoll::EventSet;
use vmm_sys_util::event::{EventConsumer, EventFlag, EventNotifier, new_event_consumer_and_notifier};

/// The guest's memory, which comes and goes with the emulator's connection.
pub(super) type GuestMemory = GuestMemoryAtomic<GuestMemoryMmap>;

/// VIRTIO_F_VERSION_1, VIRTIO_RING_F_EVENT_IDX and VIRTIO_RING_F_INDIRECT_DESC.
const FEATURES: u64 = 1 << 32 | 1 << 29 | 1 << 28;

/// A device of ours.
pub(super) trait Device: Send + Sync + 'static {
    /// Entries of each of its queues at the most.
    const QUEUE_SIZE: u16;

    /// How many queues it has.
    fn queues(&self) -> usize;

    /// What it can do beside what all of them can.
    fn features(&self) -> u64 {
        0
    }

    /// Hears what the driver has chosen of the features.
    fn choose(&self, _features: u64) {}

    /// Its configuration space; none when that is the emulator's.
    fn config(&self) -> Option<Vec<u8>> {
        None
    }

    /// Whether each queue has a thread of its own; else one thread has them all.
    fn has_threads(&self) -> bool {
        false
    }

    /// Forgets its driver.
    fn reset(&self) {}

    /// Does what there is to do after an event: the number of a queue, or of what is waited for beside. `vrings` are the
    /// thread's.
    fn serve(
        &self,
        event: u16,
        vrings: &[VringRwLock],
        memory: &GuestMemory,
        thread: usize,
    ) -> io::Result<()>;
}

/// Whether a driver is there to use the queue.
pub(super) fn is_ready(vring: &VringState) -> bool {
    vring.is_enabled() && vring.get_queue().ready()
}

/// The guest broke its own ring: the queue stands still until it is set up anew.
pub(super) fn stand_still(vring: &mut VringState) {
    vring.get_queue_mut().set_ready(false);
}

/// Gives the guest the interrupts that it is owed.
pub(super) fn pay(owed: Owed, receive: &VringState, transmit: &VringState) -> io::Result<()> {
    if owed.receive {
        receive.signal_used_queue()?;
    }
    if owed.transmit {
        transmit.signal_used_queue()?;
    }
    Ok(())
}

/// A device, as the framework asks it.
pub(super) struct Backend<D> {
    pub(super) device: D,
    pub(super) memory: GuestMemory,
}

impl<D: Device> VhostUserBackend for Backend<D> {
    type Bitmap = ();
    type Vring = VringRwLock;

    fn num_queues(&self) -> usize {
        self.device.queues()
    }

    fn max_queue_size(&self) -> usize {
        D::QUEUE_SIZE.into()
    }

    fn features(&self) -> u64 {
        FEATURES | self.device.features() | VhostUserVirtioFeatures::PROTOCOL_FEATURES.bits()
    }

    fn acked_features(&self, features: u64) {
        self.device.choose(features);
    }

    fn protocol_features(&self) -> VhostUserProtocolFeatures {
        let mut features = VhostUserProtocolFeatures::MQ;
        features.set(VhostUserProtocolFeatures::CONFIG, self.device.config().is_some());
        features
    }

    fn reset_device(&self) {
        self.device.reset();
    }

    fn set_event_idx(&self, _enabled: bool) {
        // The framework sets it on the queues themselves, which is where our devices ask.
    }

    fn get_config(&self, offset: u32, size: u32) -> Vec<u8> {
        let config = self.device.config().unwrap_or_default();
        let start = (offset as usize).min(config.len());
        let end = start.saturating_add(size as usize).min(config.len());
        config[start..end].to_vec()
    }

    fn update_memory(&self, _memory: GuestMemory) -> io::Result<()> {
        // It is the atomic that we hold already.
        Ok(())
    }

    fn queues_per_thread(&self) -> Vec<u64> {
        let queues = (0..self.device.queues()).map(|queue| 1 << queue);
        if self.device.has_threads() { queues.collect() } else { vec![queues.sum()] }
    }

    fn exit_event(&self, _thread: usize) -> Option<(EventConsumer, EventNotifier)> {
        new_event_consumer_and_notifier(EventFlag::NONBLOCK | EventFlag::CLOEXEC).ok()
    }

    fn handle_event(
        &self,
        event: u16,
        _set: EventSet,
        vrings: &[VringRwLock],
        thread: usize,
    ) -> io::Result<()> {
        self.device.serve(event, vrings, &self.memory, thread)
    }
}
