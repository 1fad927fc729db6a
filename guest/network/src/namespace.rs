//! Network namespaces that a file holds: made, entered by short-lived threads, given up.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsFd;
use std::panic;
use std::path::Path;
use std::thread::{self, Builder};

use rustix::mount::UnmountFlags;
use rustix::thread::LinkNameSpaceType;

use crate::error::{Error, Result};
use crate::sys;

/// The file system that namespaces' files are of (`NSFS_MAGIC`).
const NAMESPACE_FILES: u64 = 0x6e73_6673;

/// Makes a namespace and mounts it onto the file `path`, which holds it from then on.
pub(crate) fn create(path: &Path) -> Result<()> {
    File::create(path).map_err(|source| Error::File {
        operation: "create",
        path: path.to_owned(),
        source,
    })?;
    let made = in_thread(|| {
        sys::unshare_network()?;
        Ok(rustix::mount::mount_bind("/proc/thread-self/ns/net", path)?)
    });
    made.map_err(|source| {
        let _ = fs::remove_file(path);
        Error::Kernel {
            operation: "create the network namespace",
            subject: path.display().to_string(),
            source,
        }
    })
}

/// Runs `work` inside the namespace, in a thread of its own that ends with it.
pub(crate) fn within<T: Send>(path: &Path, work: impl FnOnce() -> io::Result<T> + Send) -> Result<T> {
    let enter = || {
        let namespace = File::open(path)?;
        in_thread(move || {
            #[expect(clippy::disallowed_methods, reason = "this thread ends with the work")]
            rustix::thread::move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?;
            work()
        })
    };
    enter().map_err(|source| Error::Kernel {
        operation: "enter the network namespace",
        subject: path.display().to_string(),
        source,
    })
}

/// Whether the file holds a namespace.
pub(crate) fn is_held(path: &Path) -> bool {
    rustix::fs::statfs(path).is_ok_and(|stat| u64::try_from(stat.f_type) == Ok(NAMESPACE_FILES))
}

/// Lets go of the namespace and removes the file; twice is fine. The kernel destroys the namespace when nobody else
/// holds it.
pub(crate) fn remove(path: &Path) -> Result<()> {
    let wrong = |source| Error::File { operation: "remove the namespace", path: path.to_owned(), source };
    // An engine that crashed between two mounts may have left two.
    while is_held(path) {
        rustix::mount::unmount(path, UnmountFlags::DETACH).map_err(|errno| wrong(errno.into()))?;
    }
    match fs::remove_file(path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(wrong(source)),
        _ => Ok(()),
    }
}

fn in_thread<T: Send>(work: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
    thread::scope(|scope| {
        let thread = Builder::new().name("namespace".to_owned()).spawn_scoped(scope, work)?;
        thread.join().unwrap_or_else(|panicked| panic::resume_unwind(panicked))
    })
}
