//! Shared folders without a queue: the kernel's requests are read off `/dev/fuse` and go over a stream that the host
//! opens; its replies come back the same way. PID 1 looks at their lengths and numbers alone.
//!
//! The host is waited for, but not for long: what was under way when its stream ended fails, and so does what is asked
//! when it has been gone for a while. The next stream goes on with all that the kernel knows.

#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::io::{BufReader, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use protocol::guest::SHARES_TAG;
use protocol::vsock::SHARES;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::mount as mount_file_system;

use super::{FLAGS, HEADER, vsock};

/// How long the host may be gone: as long as it may take to come, at first.
const PATIENCE: Duration = Duration::from_secs(30);
/// The longest request and the longest reply: 1 MiB of data and what is said of it.
const LONGEST: usize = (1 << 20) + 4096;
/// Most replies are a few hundred bytes long: so many are read at once.
const READ_AHEAD: usize = 16 << 10;
/// What wants no reply: two kinds of forgetting, interrupting, answering a notification.
const UNANSWERED: [u32; 4] = [2, 42, 36, 41];

/// Mounts them and carries requests and replies from then on; returns the kernel's device, which takes notifications.
pub(super) fn mount(place: &Path) -> anyhow::Result<Arc<OwnedFd>> {
    let line = Arc::new(Line::mount(place, PATIENCE)?);
    let (device, served) = (Arc::clone(&line.device), Arc::clone(&line));
    vsock::serve_each("shares", vsock::listen(SHARES)?, move |stream| served.serve(stream))?;
    line.begin()?;
    Ok(device)
}

/// Whether the kernel raises events, as ours does: it knows the message, of whose folder nobody ever heard.
pub(super) fn hears_events(device: &OwnedFd) -> bool {
    /// Its header, what it is about, and a name's end.
    const LENGTH: u8 = 16 + 32 + 1;
    let mut message = [0; LENGTH as usize];
    message[0] = LENGTH;
    message[4..8].copy_from_slice(&0x4001_u32.to_le_bytes());
    rustix::io::write(device, &message) == Err(Errno::NOENT)
}

/// Between the kernel and the host.
struct Line {
    device: Arc<OwnedFd>,
    host: Mutex<Host>,
    came: Condvar,
    patience: Duration,
}

/// The host's end.
struct Host {
    stream: Option<Arc<UnixStream>>,
    /// The numbers of the requests that it hasn't answered.
    asked: HashSet<u64>,
    /// Since when it is gone, if it is.
    gone: Instant,
}

impl Line {
    fn mount(place: &Path, patience: Duration) -> anyhow::Result<Self> {
        let device = rustix::fs::open("/dev/fuse", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty());
        let device = Arc::new(device.context("open /dev/fuse")?);
        let options = format!(
            "fd={},rootmode=40000,user_id=0,group_id=0,default_permissions,allow_other",
            device.as_raw_fd()
        );
        let options = std::ffi::CString::new(options)?;
        mount_file_system(SHARES_TAG, place, "fuse", FLAGS, &*options)?;
        let host = Host { stream: None, asked: HashSet::new(), gone: Instant::now() };
        Ok(Self { device, host: Mutex::new(host), came: Condvar::new(), patience })
    }

    /// Carries requests on a thread of its own, until the mount is gone.
    fn begin(self: Arc<Self>) -> anyhow::Result<()> {
        let thread = std::thread::Builder::new().name("shares requests".to_owned());
        let carry = move || {
            let error = self.carry_requests();
            tracing::info!(%error, "shared folders ask for nothing more");
        };
        thread.spawn(carry).map(drop).context("carry requests for shared folders")
    }

    fn carry_requests(&self) -> Errno {
        let mut request = vec![0; LONGEST];
        loop {
            match rustix::io::read(&self.device, &mut *request) {
                Ok(length) => self.ask(&request[..length]),
                // It was taken back in the meantime.
                Err(Errno::NOENT | Errno::INTR | Errno::AGAIN) => {}
                Err(error) => return error,
            }
        }
    }

    /// Sends one request to the host. The kernel's own are never shorter than a header.
    fn ask(&self, request: &[u8]) {
        let (Some(opcode), Some(unique)) = (field(request, 4), field(request, 8)) else { return };
        let unique = u64::from_le_bytes(unique);
        let wants_reply = !UNANSWERED.contains(&u32::from_le_bytes(opcode));
        let Some(stream) = self.wait_for_host(wants_reply.then_some(unique)) else {
            if wants_reply {
                self.refuse(unique);
            }
            return;
        };
        if let Err(error) = (&*stream).write_all(request) {
            tracing::info!(%error, "the host takes no requests for shared folders");
            self.lose(&stream);
        }
    }

    /// The host's stream, which from now on owes the answer to `asked`; none when it has been gone for long.
    fn wait_for_host(&self, asked: Option<u64>) -> Option<Arc<UnixStream>> {
        let host = self.lock();
        let left = self.patience.saturating_sub(host.gone.elapsed());
        let waited = self.came.wait_timeout_while(host, left, |host| host.stream.is_none());
        let mut host = waited.unwrap_or_else(PoisonError::into_inner).0;
        let stream = host.stream.clone()?;
        host.asked.extend(asked);
        Some(stream)
    }

    /// One stream of the host's, until it ends; the newest is the one that counts.
    fn serve(&self, stream: UnixStream) {
        let stream = Arc::new(stream);
        self.exchange(self.lock(), Some(Arc::clone(&stream)));
        if let Err(error) = self.carry_replies(&stream) {
            tracing::info!("shared folders wait for the host: {error:#}");
        }
        self.lose(&stream);
    }

    /// Hands replies to the kernel until the stream ends. One to a request that was taken back is refused there.
    fn carry_replies(&self, stream: &UnixStream) -> anyhow::Result<()> {
        let (mut stream, mut reply) = (BufReader::with_capacity(READ_AHEAD, stream), vec![0; HEADER]);
        loop {
            stream.read_exact(&mut reply[..HEADER])?;
            let length = u32::from_le_bytes(field(&reply, 0).unwrap_or_default()) as usize;
            if !(HEADER..=LONGEST).contains(&length) {
                bail!("a reply of {length} bytes");
            }
            if reply.len() < length {
                reply.resize(length, 0);
            }
            stream.read_exact(&mut reply[HEADER..length])?;
            self.lock().asked.remove(&u64::from_le_bytes(field(&reply, 8).unwrap_or_default()));
            if let Err(error) = rustix::io::write(&self.device, &reply[..length]) {
                tracing::debug!(%error, "the kernel refuses a reply");
            }
        }
    }

    /// A stream is no more.
    fn lose(&self, stream: &Arc<UnixStream>) {
        let host = self.lock();
        if host.stream.as_ref().is_some_and(|current| Arc::ptr_eq(current, stream)) {
            self.exchange(host, None);
        }
    }

    /// Another stream takes the place of the one that there is, or none does. Nobody will hear what was asked over it.
    fn exchange(&self, mut host: MutexGuard<'_, Host>, stream: Option<Arc<UnixStream>>) {
        let old = std::mem::replace(&mut host.stream, stream);
        host.gone = Instant::now();
        let asked = std::mem::take(&mut host.asked);
        drop(host);
        self.came.notify_all();
        if let Some(old) = old {
            drop(old.shutdown(Shutdown::Both));
        }
        asked.into_iter().for_each(|unique| self.refuse(unique));
    }

    /// Fails a request.
    fn refuse(&self, unique: u64) {
        let error = -Errno::NOTCONN.raw_os_error();
        let length = u32::try_from(HEADER).unwrap_or_default().to_le_bytes();
        let reply = [&length[..], &error.to_le_bytes(), &unique.to_le_bytes()].concat();
        if let Err(error) = rustix::io::write(&self.device, &reply) {
            tracing::debug!(%error, "the kernel refuses to hear of a failure");
        }
    }

    fn lock(&self) -> MutexGuard<'_, Host> {
        self.host.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A number of a message, as bytes.
fn field<const LENGTH: usize>(message: &[u8], at: usize) -> Option<[u8; LENGTH]> {
    message.get(at..at + LENGTH)?.try_into().ok()
}
