//! Reaching a port of the guest, from any process that may open the machine's `vsock.sock`.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

/// The status byte that says that bytes flow from here on; any other is a refusal.
pub const CONNECTED: u8 = virtio::vsock::CONNECTED;

/// The first pause between two tries; each is twice as long as the one before, up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_millis(100);

/// Why a port wasn't reached.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nobody listens at that port of the guest.
    #[error("nobody in the guest listens at vsock port {0}")]
    Refused(u32),
    /// The guest didn't answer in time.
    #[error("the guest doesn't answer at vsock port {0}")]
    TimedOut(u32),
    /// The machine itself isn't there.
    #[error("the machine can't be reached")]
    Gone(#[source] io::Error),
}

/// Connects once; the guest must answer before the deadline.
///
/// # Errors
/// As the guest or the machine answers.
pub fn connect_once(socket: &Path, port: u32, deadline: Instant) -> Result<UnixStream, Error> {
    let mut stream = UnixStream::connect(socket).map_err(Error::Gone)?;
    stream.write_all(&port.to_le_bytes()).map_err(Error::Gone)?;
    let left = deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
    stream.set_read_timeout(Some(left)).map_err(Error::Gone)?;
    let mut status = [0];
    match stream.read_exact(&mut status) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Err(Error::TimedOut(port)),
        Err(error) => return Err(Error::Gone(error)),
        Ok(()) => {}
    }
    match status[0] {
        CONNECTED => {
            stream.set_read_timeout(None).map_err(Error::Gone)?;
            Ok(stream)
        }
        virtio::vsock::TIMED_OUT => Err(Error::TimedOut(port)),
        _ => Err(Error::Refused(port)),
    }
}

/// Connects as soon as the guest listens: until then it refuses, or its driver isn't there yet and nobody answers.
///
/// # Errors
/// When the deadline passes (the last answer), or at once when the machine is gone.
pub fn connect(socket: &Path, port: u32, deadline: Instant) -> Result<UnixStream, Error> {
    let mut pause = FIRST_PAUSE;
    loop {
        match connect_once(socket, port, deadline) {
            Err(Error::Refused(_) | Error::TimedOut(_)) if Instant::now() + pause < deadline => {
                std::thread::sleep(pause);
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
            answered => return answered,
        }
    }
}
