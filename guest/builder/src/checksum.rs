//! What files are, as one digest: names, kinds, permissions, owners, links and content. Times don't count.

use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};

use berth_images::Digest;
use rustix::fs::{AtFlags, FileType};
use sha2::{Digest as _, Sha256};

use crate::beneath;
use crate::ignore::Ignore;
use crate::known::{Hash, Known};

/// Collects files into a digest.
pub(crate) struct Checksum<'a> {
    hash: Sha256,
    ignore: &'a Ignore,
    with_owners: bool,
    known: &'a Known,
    buffer: Vec<u8>,
    files: usize,
}

impl<'a> Checksum<'a> {
    /// Paths that `ignore` leaves out don't count, and owners only on demand: a context has none. Of files that are
    /// `known` the content isn't read.
    pub(crate) fn new(ignore: &'a Ignore, with_owners: bool, known: &'a Known) -> Self {
        Self { hash: Sha256::new(), ignore, with_owners, known, buffer: vec![0; 128 << 10], files: 0 }
    }

    /// Adds what is called `name` in `folder`, and everything in it. `path` is its path for the rules.
    pub(crate) fn add(&mut self, folder: BorrowedFd<'_>, name: &[u8], path: &str) -> io::Result<()> {
        let stat = rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)?;
        let kind = FileType::from_raw_mode(stat.st_mode);
        let ignored = !path.is_empty() && self.ignore.ignores(path);
        if ignored && !(kind == FileType::Directory && self.ignore.has_exceptions()) {
            return Ok(());
        }
        if !ignored {
            self.text(path.as_bytes());
            self.number(stat.st_mode.into());
            if self.with_owners {
                self.number(stat.st_uid.into());
                self.number(stat.st_gid.into());
            }
        }
        match kind {
            FileType::Directory => {
                let inner = beneath::open_folder(folder, name)?;
                for child in beneath::names(inner.as_fd())? {
                    let shown = String::from_utf8_lossy(&child);
                    let path = if path.is_empty() { shown.into_owned() } else { format!("{path}/{shown}") };
                    self.add(inner.as_fd(), &child, &path)?;
                }
            }
            FileType::RegularFile => {
                let content = match self.known.find(&stat) {
                    Some(known) => known,
                    None => self.content(folder, name)?,
                };
                self.hash.update(content);
                self.files += 1;
            }
            FileType::Symlink => {
                let target = rustix::fs::readlinkat(folder, name, Vec::new())?;
                self.text(target.as_bytes());
            }
            _ => self.number(stat.st_rdev),
        }
        Ok(())
    }

    fn content(&mut self, folder: BorrowedFd<'_>, name: &[u8]) -> io::Result<Hash> {
        let mut file = beneath::open_file(folder, name)?;
        let stat = rustix::fs::fstat(&file)?;
        let mut hash = Sha256::new();
        loop {
            let count = file.read(&mut self.buffer)?;
            if count == 0 {
                break;
            }
            hash.update(&self.buffer[..count]);
        }
        let hash = hash.finalize().into();
        self.known.note(&stat, hash);
        Ok(hash)
    }

    /// Adds a text that stands for itself.
    pub(crate) fn text(&mut self, text: &[u8]) {
        self.number(text.len() as u64);
        self.hash.update(text);
    }

    fn number(&mut self, number: u64) {
        self.hash.update(number.to_le_bytes());
    }

    /// How many files were added.
    pub(crate) fn files(&self) -> usize {
        self.files
    }

    pub(crate) fn finish(self) -> Digest {
        let hex: String = self.hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        // Sixty-four hexadecimal digits are a digest.
        Digest::from_hex(&hex).unwrap_or_else(|_| Digest::of(hex.as_bytes()))
    }
}
