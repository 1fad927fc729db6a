//! A commit's files, written into an empty folder. Nothing but this writes there meanwhile, and every name is made
//! new, so that no link of the repository's leads anywhere.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, Mode, OFlags, Timespec, Timestamps};

use super::object::{self, Commit, Id, Kind};
use super::pack::{self, Pack};
use super::{Module, Tracked, modules, wrong};
use crate::beneath::Root;
use crate::{Error, Result};

/// Folders within folders.
const DEEPEST: usize = 256;
/// Files and folders of one checkout.
const MOST: usize = 4_000_000;
/// The longest target of a link.
const LONGEST_LINK: usize = 4095;

/// What was written.
pub(super) struct CheckedOut {
    /// The commit, where a tag was asked for, too.
    pub(super) commit: Id,
    /// The submodules among it, still empty.
    pub(super) modules: Vec<Module>,
    /// Everything that isn't a folder.
    pub(super) tracked: Vec<Tracked>,
}

/// Writes the files of a commit that lie in `subfolder`.
pub(super) fn check_out(pack: &Pack, commit: &Id, subfolder: &str, to: &Path) -> Result<CheckedOut> {
    let (head, commit) = commit_of(pack, commit)?;
    let root = tree(pack, &commit.tree)?;
    let declared = modules::declared(pack, &root)?;
    let mut id = commit.tree;
    for part in subfolder.split('/').filter(|part| !part.is_empty()) {
        let content = tree(pack, &id)?;
        let found = object::entries(&content)?.into_iter().find(|entry| entry.name == part);
        id = match found {
            Some(entry) if entry.kind == Kind::Folder => entry.id,
            _ => return Err(wrong(format!("{subfolder:?} isn't a folder of the repository"))),
        };
    }
    let folder = Root::open(to).and_then(|root| root.folder(".")).map_err(Error::file("open", to))?;
    let mut writer = Writer { pack, time: commit.time, modules: Vec::new(), tracked: Vec::new(), count: 0 };
    writer.folder(&id, folder.as_fd(), "", 0)?;
    let within = |path: &str| match subfolder {
        "" => path.to_owned(),
        subfolder => format!("{subfolder}/{path}"),
    };
    let Writer { modules, tracked, .. } = writer;
    let known = modules.into_iter().filter_map(|(path, commit)| {
        // A commit that no `.gitmodules` speaks of stays an empty folder, as with git.
        let url = declared.get(&within(&path))?.clone();
        Some(Module { path, url, commit })
    });
    Ok(CheckedOut { commit: head, modules: known.collect(), tracked })
}

fn commit_of(pack: &Pack, id: &Id) -> Result<(Id, Commit)> {
    let mut id = *id;
    for _ in 0..8 {
        match pack.read(&id)? {
            (pack::Kind::Commit, content) => return Ok((id, Commit::parse(&content)?)),
            (pack::Kind::Tag, content) => id = object::tagged(&content)?,
            _ => break,
        }
    }
    Err(wrong(format!("{id} isn't a commit")))
}

fn tree(pack: &Pack, id: &Id) -> Result<std::sync::Arc<Vec<u8>>> {
    match pack.read(id)? {
        (pack::Kind::Tree, content) => Ok(content),
        _ => Err(wrong(format!("{id} isn't a folder"))),
    }
}

struct Writer<'a> {
    pack: &'a Pack,
    time: i64,
    modules: Vec<(String, Id)>,
    tracked: Vec<Tracked>,
    /// Files and folders so far.
    count: usize,
}

impl Writer<'_> {
    fn folder(&mut self, id: &Id, to: BorrowedFd<'_>, path: &str, depth: usize) -> Result<()> {
        if depth > DEEPEST {
            return Err(wrong(format!("folders are nested deeper than {DEEPEST}")));
        }
        let content = tree(self.pack, id)?;
        for entry in object::entries(&content)? {
            self.count += 1;
            if self.count > MOST {
                return Err(wrong(format!("there are more than {MOST} files")));
            }
            let path = if path.is_empty() { entry.name.to_owned() } else { format!("{path}/{}", entry.name) };
            match entry.kind {
                Kind::Folder => {
                    let inner = self.make_folder(to, entry.name, &path)?;
                    self.folder(&entry.id, inner.as_fd(), &path, depth + 1)?;
                }
                Kind::File { executable } => self.file(&entry.id, to, entry.name, executable, &path)?,
                Kind::Link => self.link(&entry.id, to, entry.name, &path)?,
                Kind::Module => {
                    drop(self.make_folder(to, entry.name, &path)?);
                    self.modules.push((path.clone(), entry.id));
                }
            }
            if let Some(mode) = entry.kind.mode() {
                self.tracked.push(Tracked { path: path.clone(), mode, id: entry.id });
            }
            let failed = |errno: rustix::io::Errno| Error::file("date", &path)(errno.into());
            rustix::fs::utimensat(to, entry.name, &self.times(), AtFlags::SYMLINK_NOFOLLOW)
                .map_err(failed)?;
        }
        Ok(())
    }

    /// The commit's own time, so that the same commit is the same files.
    fn times(&self) -> Timestamps {
        let time = Timespec { tv_sec: self.time, tv_nsec: 0 };
        Timestamps { last_access: time, last_modification: time }
    }

    fn make_folder(&self, to: BorrowedFd<'_>, name: &str, path: &str) -> Result<OwnedFd> {
        let made = || -> rustix::io::Result<OwnedFd> {
            rustix::fs::mkdirat(to, name, Mode::from_raw_mode(0o755))?;
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            rustix::fs::openat(to, name, flags, Mode::empty())
        };
        made().map_err(|errno| Error::file("make folder", path)(errno.into()))
    }

    fn file(&self, id: &Id, to: BorrowedFd<'_>, name: &str, executable: bool, path: &str) -> Result<()> {
        let mode = Mode::from_raw_mode(if executable { 0o755 } else { 0o644 });
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let failed = |errno: rustix::io::Errno| Error::file("create", path)(errno.into());
        let file = File::from(rustix::fs::openat(to, name, flags, mode).map_err(failed)?);
        // Whatever the umask says.
        rustix::fs::fchmod(&file, mode).map_err(failed)?;
        let mut file = BufWriter::new(file);
        self.pack.write_blob(id, &mut file)?;
        file.flush().map_err(Error::file("write", path))
    }

    fn link(&self, id: &Id, to: BorrowedFd<'_>, name: &str, path: &str) -> Result<()> {
        let (_, target) = self.pack.read(id)?;
        if target.is_empty() || target.len() > LONGEST_LINK || target.contains(&0) {
            return Err(wrong(format!("{path:?} is a link to nowhere")));
        }
        let failed = |errno: rustix::io::Errno| Error::file("link", path)(errno.into());
        rustix::fs::symlinkat(target.as_slice(), to, name).map_err(failed)
    }
}
