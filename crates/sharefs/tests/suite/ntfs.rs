//! A file system that ignores case and has Windows's rules of names.

use std::path::Path;
use std::process::{Command, Stdio};

use rustix::mount::UnmountFlags;

/// An empty NTFS in a file, mounted by ntfs-3g. Unmounted when dropped.
pub(crate) struct Ntfs {
    place: tempfile::TempDir,
    /// What it lies in.
    _image: tempfile::NamedTempFile,
}

impl Ntfs {
    /// None, with the reason printed, where this machine can't have it.
    pub(crate) fn new() -> Option<Self> {
        let image = tempfile::NamedTempFile::new().unwrap();
        image.as_file().set_len(16 << 20).unwrap();
        let place = tempfile::tempdir().unwrap();
        let is_made = run(Command::new("mkntfs").args(["--force", "--fast", "--quiet"]).arg(image.path()));
        let mut mount = Command::new("lowntfs-3g");
        mount.args(["-o", "ignore_case,windows_names"]).arg(image.path()).arg(place.path());
        if !is_made || !run(&mut mount) {
            eprintln!("skipped: a file system that ignores case needs ntfs-3g and root");
            return None;
        }
        Some(Self { place, _image: image })
    }

    pub(crate) fn path(&self) -> &Path {
        self.place.path()
    }
}

impl Drop for Ntfs {
    fn drop(&mut self) {
        let _ = rustix::mount::unmount(self.path(), UnmountFlags::DETACH);
    }
}

fn run(command: &mut Command) -> bool {
    command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}
