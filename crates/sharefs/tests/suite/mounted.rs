//! A folder, shared and mounted through `/dev/fuse`.

use std::fs::File;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use rustix::fs::{Mode, OFlags};
use rustix::mount::{MountFlags, UnmountFlags};
use sharefs::{Server, Share};

/// The longest request: a write of 1 MiB and its headers.
const LONGEST: usize = (1 << 20) + 4096;

/// Set to `vsock`, it has everything go over a stream, as in a machine without a device for shared folders.
const OVER: &str = "BERTH_TEST_SHARES_OVER";

/// The folder as the host has it and as the mount shows it. Unmounted when dropped.
pub(crate) struct Mounted {
    folder: PathBuf,
    /// Removed in the end, when the folder is the mount's own.
    own: Option<tempfile::TempDir>,
    place: tempfile::TempDir,
    server: Arc<Server>,
    device: Arc<OwnedFd>,
}

impl Mounted {
    /// A shared folder whose kernel isn't told of the host's changes; none, with the reason printed, where this machine can't mount it.
    pub(crate) fn new() -> Option<Self> {
        Self::by(0)
    }

    /// The same, shared by another user than root.
    pub(crate) fn by(user: u32) -> Option<Self> {
        let own = tempfile::tempdir().unwrap();
        let mut mounted = Self::of(own.path(), user)?;
        mounted.own = Some(own);
        Some(mounted)
    }

    fn of(folder: &Path, user: u32) -> Option<Self> {
        let device = rustix::fs::open("/dev/fuse", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty());
        let (Ok(device), true) = (device, rustix::process::geteuid().is_root()) else {
            eprintln!("skipped: mounting /dev/fuse needs root");
            return None;
        };
        let place = tempfile::tempdir().unwrap();
        let share = Share { name: "0".to_owned(), folder: folder.to_owned() };
        std::os::unix::fs::chown(folder, Some(user), Some(user)).unwrap();
        let server = Arc::new(as_user(user, || Server::new(vec![share], 1024).unwrap()));
        let options = format!(
            "fd={},rootmode=40000,user_id=0,group_id=0,default_permissions,allow_other",
            device.as_raw_fd()
        );
        let options = std::ffi::CString::new(options).unwrap();
        let flags = MountFlags::NODEV | MountFlags::NOSUID;
        rustix::mount::mount("berth-test", place.path(), "fuse", flags, &*options).unwrap();
        let device = Arc::new(device);
        match std::env::var(OVER).as_deref() {
            Ok("vsock") => carry_over_a_stream(&server, &device, user),
            _ => (0..2).for_each(|_| {
                let (server, device) = (Arc::clone(&server), Arc::clone(&device));
                std::thread::spawn(move || {
                    crate::sys::become_user(user);
                    pump(&server, &device);
                });
            }),
        }
        Some(Self { folder: folder.to_owned(), own: None, place, server, device })
    }

    /// The same with its kernel told of the host's changes.
    pub(crate) fn watched() -> Option<Self> {
        Some(Self::new()?.told())
    }

    /// The same of a folder that is there already.
    pub(crate) fn watched_of(folder: &Path) -> Option<Self> {
        Some(Self::of(folder, 0)?.told())
    }

    /// Returns when its folder is watched.
    fn told(self) -> Self {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let (server, device) = (Arc::clone(&self.server), Arc::clone(&self.device));
        let (sender, is_told) = mpsc::channel();
        std::thread::spawn(move || server.tell_changes(theirs));
        std::thread::spawn(move || pass_on(ours, &device, &sender));
        let [host, guest] = [self.host("probe"), self.guest("probe")];
        while is_told.recv_timeout(Duration::from_millis(10)).is_err() {
            assert!(!guest.exists());
            File::create(&host).unwrap();
            std::fs::remove_file(&host).unwrap();
        }
        self
    }

    /// A path as the host has it.
    pub(crate) fn host(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The same path through the mount.
    pub(crate) fn guest(&self, name: &str) -> PathBuf {
        self.place.path().join("0").join(name)
    }

    /// The mount's own root.
    pub(crate) fn root(&self) -> &Path {
        self.place.path()
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = rustix::mount::unmount(self.place.path(), UnmountFlags::DETACH);
        drop(self.own.take());
    }
}

/// Carries requests and replies until the mount is gone.
fn pump(server: &Server, device: &Arc<OwnedFd>) {
    let (mut request, mut reply) = (vec![0; LONGEST], Vec::new());
    while let Some(length) = next(device, &mut request) {
        let later = || {
            let device = Arc::clone(device);
            Box::new(move |reply: &[u8]| {
                let _ = rustix::io::write(&*device, reply);
            }) as sharefs::Later
        };
        if server.answer_message(&request[..length], LONGEST, &mut reply, &later) && !reply.is_empty() {
            // A request that was interrupted in the meantime takes no reply.
            let _ = rustix::io::write(device, &reply);
        }
    }
}

/// The same over a stream: what PID 1 and the machine's process do.
fn carry_over_a_stream(server: &Arc<Server>, device: &Arc<OwnedFd>, user: u32) {
    let (guest, host) = UnixStream::pair().unwrap();
    let server = Arc::clone(server);
    std::thread::spawn(move || {
        crate::sys::become_user(user);
        let replies = host.try_clone().unwrap();
        server.answer_stream(host, replies).unwrap();
    });
    let (mut replies, for_replies) = (guest.try_clone().unwrap(), Arc::clone(device));
    std::thread::spawn(move || {
        let mut reply = vec![0; LONGEST];
        while replies.read_exact(&mut reply[..4]).is_ok() {
            let length = u32::from_le_bytes(reply[..4].try_into().unwrap()) as usize;
            replies.read_exact(&mut reply[4..length]).unwrap();
            let _ = rustix::io::write(&*for_replies, &reply[..length]);
        }
    });
    let (mut requests, device) = (guest, Arc::clone(device));
    std::thread::spawn(move || {
        let mut request = vec![0; LONGEST];
        while let Some(length) = next(&device, &mut request) {
            requests.write_all(&request[..length]).unwrap();
        }
        requests.shutdown(Shutdown::Both).unwrap();
    });
}

/// The kernel's next request; none when the mount is gone.
fn next(device: &OwnedFd, request: &mut [u8]) -> Option<usize> {
    loop {
        match rustix::io::read(device, &mut *request) {
            Ok(length) => return Some(length),
            Err(rustix::io::Errno::INTR | rustix::io::Errno::NOENT | rustix::io::Errno::AGAIN) => {}
            Err(_) => return None,
        }
    }
}

/// Hands notifications to the kernel, which refuses those about what it doesn't know, and our patch's own.
fn pass_on(mut changes: UnixStream, device: &OwnedFd, is_told: &mpsc::Sender<()>) {
    let mut message = [0; 4096];
    while changes.read_exact(&mut message[..4]).is_ok() {
        let length = u32::from_le_bytes(message[..4].try_into().unwrap()) as usize;
        changes.read_exact(&mut message[4..length]).unwrap();
        let _ = rustix::io::write(device, &message[..length]);
        let _ = is_told.send(());
    }
}

/// Runs `work` as another user, with none of root's rights.
pub(crate) fn as_user<T: Send>(id: u32, work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let run = scope.spawn(move || {
            crate::sys::become_user(id);
            work()
        });
        run.join().unwrap()
    })
}
