//! The shared folders as a file system device: each queue has a thread of its own, so that a slow disk delays nobody
//! who asks through another queue. What of them goes over vsock is [`streams`]' business.

mod streams;

use std::io;
use std::os::fd::BorrowedFd;
use std::sync::{Arc, Mutex, PoisonError};

use sharefs::Server;
use vhost_user_backend::{VringRwLock, VringState, VringT};
use virtio::fs::{Chain, Files, Lane, QUEUE_SIZE};
use vm_memory::GuestAddressSpace;

use super::carrier::Carried;
use super::device::{self, Device, GuestMemory};
use crate::config::Config;
use crate::{Error, sys};

/// Starts the device; none when nothing is shared, or not by it.
pub(super) fn start(config: &Config) -> Result<Option<Carried>, Error> {
    if config.shares.is_empty() {
        return Ok(None);
    }
    let shares = config
        .shares
        .iter()
        .map(|share| sharefs::Share { name: share.name.clone(), folder: share.folder.clone() });
    // The other half is for the guest's connections.
    let descriptors = sys::raise_descriptors() / 2;
    let server = Arc::new(Server::new(shares.collect(), descriptors)?);
    streams::tell_changes(config, Arc::clone(&server))?;
    if !config.has_folders_device() {
        streams::answer_requests(config, server)?;
        return Ok(None);
    }
    let lanes = (0..queues(config)).map(|_| Mutex::default()).collect();
    Carried::start("fs", config.folders_socket(), Folders { server, lanes }, Vec::new()).map(Some)
}

/// One queue for what wants no reply, and one per CPU for requests.
pub(super) fn queues(config: &Config) -> usize {
    /// More don't help: the emulator's CPUs are few.
    const MOST_REQUEST_QUEUES: usize = 4;
    1 + (config.cpus as usize).clamp(1, MOST_REQUEST_QUEUES)
}

/// The server, as one queue asks it.
struct Answers<'a> {
    server: &'a Server,
    vring: &'a VringRwLock,
    memory: &'a GuestMemory,
}

impl Files for Answers<'_> {
    fn copied(&self, start: &[u8]) -> usize {
        sharefs::copied(start)
    }

    fn answer(&self, request: &[u8], chain: &Chain<'_>, reply: &mut Vec<u8>) -> Option<usize> {
        let carrier = Carrier { chain, vring: self.vring, memory: self.memory };
        self.server.answer(request, chain.room(), &carrier, reply)
    }
}

/// A request's chain, as the server sees it.
struct Carrier<'a> {
    chain: &'a Chain<'a>,
    vring: &'a VringRwLock,
    memory: &'a GuestMemory,
}

impl sharefs::Carrier for Carrier<'_> {
    fn data(&self) -> usize {
        self.chain.data()
    }

    fn write(&self, to: BorrowedFd<'_>, length: usize, offset: Option<u64>) -> io::Result<usize> {
        self.chain.write(to, length, offset)
    }

    fn read(&self, from: BorrowedFd<'_>, length: usize, offset: u64) -> io::Result<usize> {
        self.chain.read(from, length, offset, sharefs::REPLY_HEADER)
    }

    fn later(&self) -> sharefs::Later {
        let (kept, vring, memory) = (self.chain.kept(), self.vring.clone(), self.memory.clone());
        Box::new(move |reply| {
            let mut vring = vring.get_mut();
            if !device::is_ready(&vring) {
                return;
            }
            match kept.answer(reply, vring.get_queue_mut(), &memory.memory()) {
                Ok(true) => drop(vring.signal_used_queue()),
                Ok(false) => {}
                Err(error) => stand_still(&mut vring, &error),
            }
        })
    }
}

/// The guest broke its own ring: its queue stands still until it is set up anew.
fn stand_still(vring: &mut VringState, error: &virtio::Error) {
    tracing::warn!(%error, "the guest's file system driver misbehaves");
    device::stand_still(vring);
}

/// The server and its queues.
struct Folders {
    server: Arc<Server>,
    /// By queue.
    lanes: Vec<Mutex<Lane>>,
}

impl Device for Folders {
    const QUEUE_SIZE: u16 = QUEUE_SIZE;

    fn queues(&self) -> usize {
        self.lanes.len()
    }

    fn has_threads(&self) -> bool {
        true
    }

    // The next driver greets the server anew, which then knows nothing of the last one's: a reset has nothing to do.

    fn serve(
        &self,
        _event: u16,
        vrings: &[VringRwLock],
        memory: &GuestMemory,
        thread: usize,
    ) -> io::Result<()> {
        // A thread has one queue, and the other way round.
        let (Some(ring), Some(lane)) = (vrings.first(), self.lanes.get(thread)) else { return Ok(()) };
        let mut lane = lane.lock().unwrap_or_else(PoisonError::into_inner);
        let answers = Answers { server: &self.server, vring: ring, memory };
        loop {
            // Not kept from one request to the next: a lock may have come to who waited for it.
            let mut vring = ring.get_mut();
            if !device::is_ready(&vring) {
                return Ok(());
            }
            match lane.serve_next(vring.get_queue_mut(), &memory.memory(), &answers) {
                // At once: what waits behind it may be a slow disk's.
                Ok(Some(true)) => vring.signal_used_queue()?,
                Ok(Some(false)) => {}
                Ok(None) => return Ok(()),
                Err(error) => stand_still(&mut vring, &error),
            }
        }
    }
}
