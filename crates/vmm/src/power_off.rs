//! Asking the guest to power off, when the host daemon can't: the vmm process is its last link.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use protocol::frame;
use protocol::guest::{FromGuest, HostHello, HostOs, ToGuest};

use crate::Error;
use crate::connect;

/// Asks, and waits until the guest says that it goes or the deadline passes.
pub(crate) fn ask(socket: &Path, deadline: Instant) -> Result<(), Error> {
    let too_late =
        || Error::Deadline { waited_for: "powering the guest off", after: Duration::from_secs(10) };
    let mut stream = connect::connect(socket, protocol::vsock::CONTROL, deadline).map_err(|_| too_late())?;
    let failed = Error::os("ask the guest to power off");
    tell(&mut stream, deadline).map_err(failed)?;
    loop {
        let left = deadline.checked_duration_since(Instant::now()).ok_or_else(too_late)?;
        match read_message(&mut stream, left) {
            Ok(FromGuest::PoweringOff) => return Ok(()),
            Ok(_) => {}
            // The stream ends with the guest, at times before its last message is read.
            Err(Error::Os { source, .. }) if source.kind() == std::io::ErrorKind::UnexpectedEof => {
                return Ok(());
            }
            Err(error) => return Err(error),
        }
    }
}

fn tell(stream: &mut UnixStream, deadline: Instant) -> std::io::Result<()> {
    let left = deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
    stream.set_write_timeout(Some(left))?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let hello = ToGuest::Hello(HostHello {
        version: protocol::VERSION,
        unix_nanos: u64::try_from(now.as_nanos()).unwrap_or_default(),
        os: HostOs::Linux,
        shares: Vec::new(),
        door: crate::config::DOOR,
        host_subnets: Vec::new(),
        daemon_json: String::new(),
        files: BTreeMap::new(),
        certificates: BTreeMap::new(),
        proxies: BTreeMap::new(),
    });
    for message in [hello, ToGuest::PowerOff] {
        stream.write_all(&frame::encode(&message).map_err(std::io::Error::other)?)?;
    }
    Ok(())
}

fn read_message(stream: &mut UnixStream, within: Duration) -> Result<FromGuest, Error> {
    let mut read = |buffer: &mut [u8]| {
        stream.set_read_timeout(Some(within.max(Duration::from_millis(1))))?;
        stream.read_exact(buffer)
    };
    let mut prefix = [0; frame::PREFIX];
    read(&mut prefix).map_err(Error::os("hear from the guest"))?;
    let mut body = vec![0; frame::body_length(prefix)?];
    read(&mut body).map_err(Error::os("hear from the guest"))?;
    Ok(frame::decode(&body)?)
}
