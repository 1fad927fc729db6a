//! A folder, shared and mounted through `/dev/fuse`.

use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{Mode, OFlags};
use rustix::mount::{MountFlags, UnmountFlags};
use sharefs::{Server, Share};

/// The longest request: a write of 1 MiB and its headers.
const LONGEST: usize = (1 << 20) + 4096;

/// The folder as the host has it and as the mount shows it. Unmounted when dropped.
pub(crate) struct Mounted {
    folder: tempfile::TempDir,
    place: tempfile::TempDir,
}

impl Mounted {
    /// A shared folder; none, with the reason printed, where this machine can't mount it.
    pub(crate) fn new() -> Option<Self> {
        let device = rustix::fs::open("/dev/fuse", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty());
        let (Ok(device), true) = (device, rustix::process::geteuid().is_root()) else {
            eprintln!("skipped: mounting /dev/fuse needs root");
            return None;
        };
        let (folder, place) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let share = Share { name: "0".to_owned(), folder: folder.path().to_owned() };
        let server = Arc::new(Server::new(vec![share], 1024).unwrap());
        let options = format!(
            "fd={},rootmode=40000,user_id=0,group_id=0,default_permissions,allow_other",
            device.as_raw_fd()
        );
        let options = std::ffi::CString::new(options).unwrap();
        let flags = MountFlags::NODEV | MountFlags::NOSUID;
        rustix::mount::mount("berth-test", place.path(), "fuse", flags, &*options).unwrap();
        let device = Arc::new(device);
        for _ in 0..2 {
            let (server, device) = (Arc::clone(&server), Arc::clone(&device));
            std::thread::spawn(move || pump(&server, &device));
        }
        Some(Self { folder, place })
    }

    /// A path as the host has it.
    pub(crate) fn host(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
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
    }
}

/// Carries requests and replies until the mount is gone.
fn pump(server: &Server, device: &OwnedFd) {
    let (mut request, mut reply) = (vec![0; LONGEST], Vec::new());
    loop {
        let length = match rustix::io::read(device, &mut *request) {
            Ok(length) => length,
            Err(rustix::io::Errno::INTR | rustix::io::Errno::NOENT | rustix::io::Errno::AGAIN) => continue,
            Err(_) => return,
        };
        server.answer(&request[..length], LONGEST, &mut reply);
        if !reply.is_empty() {
            // A request that was interrupted in the meantime takes no reply.
            let _ = rustix::io::write(device, &reply);
        }
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
