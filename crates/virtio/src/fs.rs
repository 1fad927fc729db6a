//! The file system device (VIRTIO 1.2, 5.11): each chain of a queue is one FUSE request and the room for its reply.
//! Who answers isn't its business.
//!
//! The first queue carries what wants no reply, the others requests; all are served alike. The configuration space
//! (the tag and the number of queues) is the carrier's: the emulated machine keeps it itself.

#[cfg(test)]
mod tests;

use virtio_queue::{Queue, QueueT};

use crate::chain::Pieces;
use crate::{Error, Memory};

/// Entries of each queue at the most. A request of 1 MiB takes up to 260.
pub const QUEUE_SIZE: u16 = 1024;
/// The longest request or reply: 1 MiB of data and its headers.
const LONGEST: usize = (1 << 20) + 4096;

/// Answers FUSE requests.
pub trait Files: Send + Sync {
    /// Answers `request`; the answer, at most `room` bytes, replaces what `reply` holds.
    fn answer(&self, request: &[u8], room: usize, reply: &mut Vec<u8>);
}

/// One queue's buffers, used again for each request.
#[derive(Default)]
pub struct Lane {
    request: Vec<u8>,
    reply: Vec<u8>,
}

impl Lane {
    /// Serves everything that waits in the queue; returns whether the guest is owed an interrupt.
    ///
    /// # Errors
    /// When the driver's rings are broken: the queue is to be stopped until the device's reset.
    pub fn run(&mut self, queue: &mut Queue, memory: &Memory, files: &dyn Files) -> Result<bool, Error> {
        let (mut served, mut idle_rounds) = (0_usize, 0);
        // A ring that announces entries and gives none is broken; two idle rounds tell it from a late entry.
        while idle_rounds < 2 {
            queue.disable_notification(memory)?;
            let before = served;
            while let Some(chain) = queue.pop_descriptor_chain(memory) {
                let head = chain.head_index();
                let request = Pieces::readable(memory, chain.clone(), LONGEST);
                let room = Pieces::writable(memory, chain, LONGEST);
                let written = match (request, room) {
                    (Some(request), Some(room)) => self.serve(&request, &room, files),
                    _ => {
                        tracing::debug!("the guest asked from memory that it doesn't have");
                        0
                    }
                };
                queue.add_used(memory, head, u32::try_from(written).unwrap_or(u32::MAX))?;
                served += 1;
            }
            if !queue.enable_notification(memory)? {
                break;
            }
            idle_rounds = if served == before { idle_rounds + 1 } else { 0 };
        }
        Ok(served > 0 && queue.needs_notification(memory)?)
    }

    /// One request; returns how long its reply is.
    fn serve(&mut self, request: &Pieces<'_>, room: &Pieces<'_>, files: &dyn Files) -> usize {
        // Zeroed once, not for each request: it is overwritten anyway.
        if self.request.len() < request.len() {
            self.request.resize(request.len(), 0);
        }
        let bytes = &mut self.request[..request.len()];
        request.copy_to(bytes);
        files.answer(bytes, room.len(), &mut self.reply);
        let length = self.reply.len().min(room.len());
        room.copy_from(&self.reply[..length]);
        length
    }
}
