//! A file system that ignores case and has Windows's rules of names.

use std::path::Path;
use std::process::{Command, Stdio};

/// An empty NTFS in a file, mounted by ntfs-3g on a folder. Unmounted when dropped.
pub struct Ntfs<'a> {
    place: &'a Path,
    /// What it lies in.
    _image: tempfile::NamedTempFile,
}

impl<'a> Ntfs<'a> {
    /// One on `place`; none, with the reason printed, where this machine can't have it.
    ///
    /// # Panics
    /// When the file that it lies in can't be made.
    pub fn on(place: &'a Path) -> Option<Self> {
        let image = tempfile::NamedTempFile::new().expect("make a file");
        image.as_file().set_len(16 << 20).expect("give it a size");
        let is_made = run(Command::new("mkntfs").args(["--force", "--fast", "--quiet"]).arg(image.path()));
        let mut mount = Command::new("lowntfs-3g");
        mount.args(["-o", "ignore_case,windows_names"]).arg(image.path()).arg(place);
        if !is_made || !run(&mut mount) {
            eprintln!("skipped: a file system that ignores case needs ntfs-3g and root");
            return None;
        }
        Some(Self { place, _image: image })
    }
}

impl Drop for Ntfs<'_> {
    fn drop(&mut self) {
        run(Command::new("umount").arg("--lazy").arg(self.place));
    }
}

fn run(command: &mut Command) -> bool {
    command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}
