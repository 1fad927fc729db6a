//! Virtio devices (VIRTIO 1.2), independent of who carries their queues: the emulated machine hands them over by
//! vhost-user, our own machines by virtio-mmio.
//!
//! A device sees guest memory, its queues and the host side it serves; never the machine. What a guest writes is
//! not trusted: every descriptor chain is clamped and validated, and a hostile guest can stop its own device,
//! never the host.

mod chain;
pub mod fs;
pub mod net;
mod sys;
pub mod vsock;

/// Guest memory as devices see it.
pub type Memory = vm_memory::GuestMemoryMmap;

/// Which interrupts the guest of a device with two queues is owed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Owed {
    /// For the receive queue.
    pub receive: bool,
    /// For the transmit queue.
    pub transmit: bool,
}

/// Why a device can't be made or can't go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The operating system refused what the device waits on.
    #[error("can't wait for the host's streams")]
    Wait(#[source] std::io::Error),
    /// The driver's rings can't be used; the device stops until it is reset.
    #[error("the driver's ring is broken")]
    Ring(#[from] virtio_queue::Error),
}
