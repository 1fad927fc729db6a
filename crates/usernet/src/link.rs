//! What carries frames between the guest and us.

use std::io;

/// Frames of a guest.
pub trait Link {
    /// Takes the next frame from the guest, in place of what `frame` held; false when there is none now.
    ///
    /// # Errors
    /// When the guest is gone, or what carries the frames broke.
    fn receive(&mut self, frame: &mut Vec<u8>) -> io::Result<bool>;

    /// Room for one frame of exactly this length, which is on its way as soon as it is filled. None while the guest
    /// takes them too slowly: then whoever sends waits or drops.
    fn room(&mut self, length: usize) -> Option<&mut [u8]>;

    /// Passes on what is on its way; true when nothing is left.
    ///
    /// # Errors
    /// As [`Link::receive`].
    fn flush(&mut self) -> io::Result<bool>;
}
