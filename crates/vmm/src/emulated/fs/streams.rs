//! What of the shared folders goes over vsock: the host's changes, and the guest's requests where the machine has no
//! device for them.

use std::io;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use protocol::vsock::{SHARE_CHANGES, SHARES};
use sharefs::Server;

use crate::config::Config;
use crate::{Error, connect};

/// How long the guest may take until it listens, at first and when a stream was lost.
const BOOT: Duration = Duration::from_secs(120);
/// Before a stream that ended is opened again.
const PAUSE: Duration = Duration::from_millis(100);

/// Tells the guest what changes on the host.
pub(super) fn tell_changes(config: &Config, server: Arc<Server>) -> Result<(), Error> {
    keep(config, "changes", SHARE_CHANGES, move |stream| server.tell_changes(stream))
}

/// Answers what the guest asks.
pub(super) fn answer_requests(config: &Config, server: Arc<Server>) -> Result<(), Error> {
    keep(config, "shares", SHARES, move |stream| {
        let replies = stream.try_clone()?;
        let answered = server.answer_stream(&stream, replies);
        // Whoever waits for a lock has it open still.
        drop(stream.shutdown(Shutdown::Both));
        answered
    })
}

/// Has a stream to a port of the guest as soon as it listens, and another one when that ends. It ends with the guest.
fn keep(
    config: &Config,
    name: &'static str,
    port: u32,
    carry: impl Fn(UnixStream) -> io::Result<()> + Send + 'static,
) -> Result<(), Error> {
    let guest = config.vsock_socket();
    let keep = move || {
        while let Ok(stream) = connect::connect(&guest, port, Instant::now() + BOOT) {
            if let Err(error) = carry(stream) {
                tracing::info!(%error, name, "a stream of the shared folders ended");
            }
            std::thread::sleep(PAUSE);
        }
    };
    let thread = std::thread::Builder::new().name(name.to_owned());
    thread.spawn(keep).map(drop).map_err(Error::os("serve the shared folders"))
}
