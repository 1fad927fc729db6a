//! Unpacks a layer's tar stream into a folder that overlayfs can use as a lower one.
//!
//! Whiteouts become 0/0 character devices and opaque marks `trusted.overlay.opaque`, as overlayfs has them (OCI image
//! layer specification, "Whiteouts"). Names are resolved by [`Tree`] alone. Attributes of overlayfs itself in an
//! archive are left out, since they would point the mount at other files.

mod archive;
mod decompress;
mod extract;
mod limits;
mod pax;
mod sparse;
mod tree;

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, makedev};
use rustix::io::Errno;
use tar::EntryType;

pub(crate) use archive::{Archive, Entry};
pub(crate) use decompress::decompress;
pub use extract::{Dress, extract, is_archive};
pub(crate) use limits::Limits;

use self::limits::Spent;
use self::tree::Tree;
use crate::digest::Hashed;
use crate::{Digest, Error, Result};

const WHITEOUT: &[u8] = b".wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";
/// What is read and written at a time; large enough that a copy is few calls.
const BUFFER: usize = 128 << 10;

/// What unpacking found out.
#[derive(Debug)]
pub(crate) struct Unpacked {
    /// The digest of the uncompressed stream.
    pub(crate) diff_id: Digest,
    /// The files' sizes together, as Docker counts a layer.
    pub(crate) size: u64,
}

/// What unpacking a blob found out.
#[derive(Debug)]
pub(crate) enum UnpackedBlob {
    /// Its digest is the uncompressed stream's, too, and wasn't computed.
    Plain {
        size: u64,
    },
    Compressed(Unpacked),
}

impl UnpackedBlob {
    /// The same, of the blob with this digest.
    pub(crate) fn of(self, blob: &Digest) -> Unpacked {
        match self {
            Self::Plain { size } => Unpacked { diff_id: blob.clone(), size },
            Self::Compressed(unpacked) => unpacked,
        }
    }
}

/// Unpacks the uncompressed or compressed tar in `source` into the empty folder `root`.
pub(crate) fn unpack(source: impl Read + Send, root: &Path, limits: &Limits) -> Result<Unpacked> {
    decompress::piped(source, |plain| {
        let mut archive = Archive::new(Hashed::new(plain));
        let size = unpack_entries(&mut archive, root, limits)?;
        let (_, diff_id, _) = archive.finish()?.finish();
        Ok(Unpacked { diff_id, size })
    })
}

/// Whether what starts so may be a layer: it is compressed, or a tar archive as they have been since 1988 (POSIX.1,
/// "ustar Interchange Format").
pub(crate) fn may_be_layer(start: &[u8]) -> bool {
    !decompress::is_plain(start) || start.get(257..262) == Some(b"ustar")
}

/// As [`unpack`], of a blob whose own digest somebody else computes.
pub(crate) fn unpack_blob(blob: impl Read + Send, root: &Path, limits: &Limits) -> Result<UnpackedBlob> {
    let mut blob = BufReader::with_capacity(BUFFER, blob);
    if decompress::is_plain(blob.fill_buf().map_err(Error::reading)?) {
        return Ok(UnpackedBlob::Plain { size: unpack_entries(&mut Archive::new(blob), root, limits)? });
    }
    unpack(blob, root, limits).map(UnpackedBlob::Compressed)
}

/// Runs `work` on the uncompressed content of `source`.
pub(crate) fn decompressed<T>(
    source: impl Read + Send,
    work: impl FnOnce(&mut dyn Read) -> Result<T>,
) -> Result<T> {
    decompress::piped(source, work)
}

/// How entries are placed.
#[derive(Debug, Clone, Default)]
pub(crate) struct Placing<'a> {
    /// The folder beneath the root that names start at, without slashes around it.
    pub(crate) beneath: Vec<u8>,
    /// Whether `.wh.` names are whiteouts, as in a layer, or names like others.
    pub(crate) whiteouts: bool,
    /// Whether a folder and something that isn't one may not replace each other.
    pub(crate) no_overwrite_dir_non_dir: bool,
    /// Owner and permissions of everything; what the archive says where none is given.
    pub(crate) dress: Dress<'a>,
    /// Whether the folder that names start at takes owner and mode of the archive's own top folder.
    pub(crate) dress_folder: bool,
}

/// Unpacks all entries of a layer and says the files' sizes together.
fn unpack_entries<R: Read>(archive: &mut Archive<R>, root: &Path, limits: &Limits) -> Result<u64> {
    let tree = Tree::open(root).map_err(Error::file("open", root))?;
    place_all(archive, tree, Placing { whiteouts: true, dress_folder: true, ..Placing::default() }, limits)
}

/// Places all entries in the tree at `root`.
pub(crate) fn place_entries<R: Read>(
    archive: &mut Archive<R>,
    root: OwnedFd,
    placing: Placing<'_>,
) -> Result<()> {
    place_all(archive, Tree::at(root), placing, &Limits::default()).map(drop)
}

fn place_all<R: Read>(
    archive: &mut Archive<R>,
    tree: Tree,
    placing: Placing<'_>,
    limits: &Limits,
) -> Result<u64> {
    let mut unpacker = Unpacker {
        tree,
        placing,
        spent: Spent::new(*limits),
        folders: Vec::new(),
        buffer: vec![0; BUFFER],
        size: 0,
    };
    while let Some(mut entry) = archive.next()? {
        let Dress { owner, mode } = unpacker.placing.dress;
        (entry.uid, entry.gid) = owner.unwrap_or((entry.uid, entry.gid));
        if let Some(mode) = mode {
            entry.mode = mode(entry.mode, entry.kind.is_dir());
        }
        let path = unpacker.named(&entry.path)?;
        unpacker.spent.entry(&entry, &path)?;
        unpacker.place(&entry, &path, archive).map_err(|failed| failed.into_error(&path))?;
    }
    unpacker.date_folders()?;
    Ok(unpacker.size)
}

struct Unpacker<'a> {
    tree: Tree,
    placing: Placing<'a>,
    spent: Spent,
    /// Folders and their times, set when nothing is put into them any more.
    folders: Vec<(Vec<u8>, (i64, u32))>,
    buffer: Vec<u8>,
    size: u64,
}

/// A step that failed, or an error that already says all.
enum Failed {
    Step(&'static str, io::Error),
    Said(Error),
}

impl Failed {
    fn into_error(self, path: &[u8]) -> Error {
        match self {
            Self::Step(step, source) => Error::Unpack { entry: tree::shown(path), step, source },
            Self::Said(error) => error,
        }
    }
}

fn at<E: Into<io::Error>>(step: &'static str) -> impl FnOnce(E) -> Failed {
    move |source| Failed::Step(step, source.into())
}

impl Unpacker<'_> {
    /// Where an archive's name is in the tree.
    fn named(&self, name: &[u8]) -> Result<Vec<u8>> {
        let name = clean(name)?;
        Ok(match (self.placing.beneath.as_slice(), name.as_slice()) {
            (b"", _) => name,
            (beneath, b"") => beneath.to_vec(),
            (beneath, name) => [beneath, b"/", name].concat(),
        })
    }

    fn place<R: Read>(&mut self, entry: &Entry, path: &[u8], content: &mut Archive<R>) -> Result<(), Failed> {
        let (parent, name) = tree::split(path);
        if path == self.placing.beneath && !self.placing.dress_folder {
            // The folder that is copied into; it keeps its owner and mode, as with Docker.
            return Ok(());
        }
        if name.is_empty() {
            return self.root(entry);
        }
        if let Some(hidden) = name.strip_prefix(WHITEOUT).filter(|_| self.placing.whiteouts) {
            return self.whiteout(parent, name, hidden);
        }
        let is_folder = entry.kind.is_dir() || (entry.kind.is_file() && entry.path.ends_with(b"/"));
        if is_folder {
            return self.folder(entry, path);
        }
        self.clear(parent, name)?;
        match entry.kind {
            EntryType::Regular | EntryType::Continuous => self.file(entry, parent, name, content),
            EntryType::Link => self.hard_link(entry, parent, name),
            EntryType::Symlink => self.symbolic_link(entry, parent, name),
            EntryType::Char | EntryType::Block | EntryType::Fifo => self.node(entry, parent, name),
            _ => Err(Failed::Said(Error::InvalidLayer("an entry of unknown kind"))),
        }
    }

    /// The archive's entry for the layer's own top folder.
    fn root(&mut self, entry: &Entry) -> Result<(), Failed> {
        if entry.kind.is_dir() {
            self.dress(entry, b"", b".")?;
            self.folders.push((Vec::new(), entry.mtime));
        }
        Ok(())
    }

    fn whiteout(&mut self, parent: &[u8], name: &[u8], hidden: &[u8]) -> Result<(), Failed> {
        let folder = self.tree.folder(parent, true).map_err(at("open the folder"))?;
        if name == OPAQUE {
            return mark_opaque(folder, b"");
        }
        if hidden.starts_with(WHITEOUT) {
            // aufs' own bookkeeping, `.wh..wh.plnk` and the like.
            return Ok(());
        }
        if matches!(hidden, b"" | b"." | b"..") {
            return Err(Failed::Said(Error::InvalidLayer("a whiteout of no name")));
        }
        match tree::kind(folder, hidden).map_err(at("look"))? {
            // A whiteout hides what is below; what this layer itself has there stays.
            Some((FileType::Directory, _)) => mark_opaque(folder, hidden),
            Some(_) => Ok(()),
            None => make_whiteout(folder, hidden).map_err(at("make a whiteout")),
        }
    }

    fn folder(&mut self, entry: &Entry, path: &[u8]) -> Result<(), Failed> {
        let (parent, name) = tree::split(path);
        let folder = self.tree.folder(parent, true).map_err(at("open the folder"))?;
        match rustix::fs::mkdirat(folder, name, Mode::from_raw_mode(0o700)) {
            Ok(()) => {}
            Err(Errno::EXIST) => {
                let found = tree::kind(folder, name).map_err(at("look"))?;
                if !matches!(found, Some((FileType::Directory, _))) {
                    if self.placing.no_overwrite_dir_non_dir && found.is_some() {
                        return Err(Failed::Said(Error::Overwrite {
                            path: tree::shown(path),
                            is_folder: false,
                        }));
                    }
                    tree::remove(folder, name).map_err(at("replace"))?;
                    rustix::fs::mkdirat(folder, name, Mode::from_raw_mode(0o700))
                        .map_err(at("make a folder"))?;
                    // Deleted and made anew: what lies below must stay hidden.
                    if matches!(found, Some((FileType::CharacterDevice, 0))) {
                        mark_opaque(folder, name)?;
                    }
                    self.tree.forget();
                }
            }
            Err(error) => return Err(at("make a folder")(error)),
        }
        self.dress(entry, parent, name)?;
        self.folders.push((path.to_vec(), entry.mtime));
        Ok(())
    }

    /// Makes room for something that isn't a folder.
    fn clear(&mut self, parent: &[u8], name: &[u8]) -> Result<(), Failed> {
        let folder = self.tree.folder(parent, true).map_err(at("open the folder"))?;
        if let Some((kind, _)) = tree::kind(folder, name).map_err(at("look"))? {
            if self.placing.no_overwrite_dir_non_dir && kind == FileType::Directory {
                let path = [b"/", parent, b"/", name].concat();
                return Err(Failed::Said(Error::Overwrite { path: tree::shown(&path), is_folder: true }));
            }
            tree::remove(folder, name).map_err(at("replace"))?;
            self.tree.forget();
        }
        Ok(())
    }

    fn file<R: Read>(
        &mut self,
        entry: &Entry,
        parent: &[u8],
        name: &[u8],
        content: &mut Archive<R>,
    ) -> Result<(), Failed> {
        let folder = self.tree.folder(parent, true).map_err(at("open the folder"))?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let descriptor =
            rustix::fs::openat(folder, name, flags, Mode::from_raw_mode(0o600)).map_err(at("create"))?;
        let mut file = File::from(descriptor);
        match &entry.segments {
            None => copy(content, &mut file, entry.size, &mut self.buffer)?,
            Some(segments) => {
                file.set_len(entry.size).map_err(at("set the size"))?;
                for segment in segments {
                    file.seek(SeekFrom::Start(segment.offset)).map_err(at("seek"))?;
                    copy(content, &mut file, segment.length, &mut self.buffer)?;
                }
            }
        }
        self.size += entry.size;
        drop(file);
        self.dress(entry, parent, name)?;
        let folder = self.tree.folder(parent, true).map_err(at("open the folder"))?;
        tree::touch(folder, name, entry.mtime).map_err(at("set the time"))
    }

    fn hard_link(&mut self, entry: &Entry, parent: &[u8], name: &[u8]) -> Result<(), Failed> {
        let target = self.named(&entry.link).map_err(Failed::Said)?;
        let (target_parent, target_name) = tree::split(&target);
        let from = self.tree.folder(target_parent, false).map_err(at("open the link target's folder"))?;
        let from = from.try_clone_to_owned().map_err(at("open the link target's folder"))?;
        let folder = self.tree.folder(parent, true).map_err(at("open the folder"))?;
        rustix::fs::linkat(&from, target_name, folder, name, AtFlags::empty()).map_err(at("make a hard link"))
    }

    fn symbolic_link(&mut self, entry: &Entry, parent: &[u8], name: &[u8]) -> Result<(), Failed> {
        let folder = self.tree.folder(parent, true).map_err(at("open the folder"))?;
        rustix::fs::symlinkat(entry.link.as_slice(), folder, name).map_err(at("make a symbolic link"))?;
        // As dockerd counts them, and every file system.
        self.size += entry.link.len() as u64;
        tree::own(folder, name, entry.uid, entry.gid).map_err(at("set the owner"))?;
        set_xattrs(folder, entry, name)?;
        tree::touch(folder, name, entry.mtime).map_err(at("set the time"))
    }

    fn node(&mut self, entry: &Entry, parent: &[u8], name: &[u8]) -> Result<(), Failed> {
        let folder = self.tree.folder(parent, true).map_err(at("open the folder"))?;
        let kind = match entry.kind {
            EntryType::Char => FileType::CharacterDevice,
            EntryType::Block => FileType::BlockDevice,
            _ => FileType::Fifo,
        };
        let device = makedev(entry.device.0, entry.device.1);
        rustix::fs::mknodat(folder, name, kind, Mode::from_raw_mode(0o600), device)
            .map_err(at("make a device"))?;
        self.dress(entry, parent, name)?;
        let folder = self.tree.folder(parent, true).map_err(at("open the folder"))?;
        tree::touch(folder, name, entry.mtime).map_err(at("set the time"))
    }

    /// Owner, mode and attributes of something that is no link. The order matters: a change of owner clears
    /// setuid bits and capabilities.
    fn dress(&mut self, entry: &Entry, parent: &[u8], name: &[u8]) -> Result<(), Failed> {
        let folder = self.tree.folder(parent, true).map_err(at("open the folder"))?;
        tree::own(folder, name, entry.uid, entry.gid).map_err(at("set the owner"))?;
        rustix::fs::chmodat(folder, name, Mode::from_raw_mode(entry.mode), AtFlags::empty())
            .map_err(at("set the mode"))?;
        set_xattrs(folder, entry, name)
    }

    fn date_folders(&mut self) -> Result<()> {
        for (path, mtime) in std::mem::take(&mut self.folders).into_iter().rev() {
            let (parent, name) = tree::split(&path);
            let name = if name.is_empty() { b"." } else { name };
            // It may have been replaced since, by something that has its own time.
            let Ok(folder) = self.tree.folder(parent, false) else { continue };
            if matches!(tree::kind(folder, name), Ok(Some((FileType::Directory, _)))) {
                tree::touch(folder, name, mtime)
                    .map_err(|error| at("set the time")(error).into_error(&path))?;
            }
        }
        Ok(())
    }
}

fn copy(from: &mut impl Read, to: &mut File, mut length: u64, buffer: &mut [u8]) -> Result<(), Failed> {
    while length > 0 {
        let wanted = usize::try_from(length).unwrap_or(usize::MAX).min(buffer.len());
        let count = from.read(&mut buffer[..wanted]).map_err(|error| Failed::Said(Error::reading(error)))?;
        if count == 0 {
            return Err(Failed::Said(Error::UnexpectedEnd));
        }
        to.write_all(&buffer[..count]).map_err(at("write"))?;
        length -= count as u64;
    }
    Ok(())
}

fn set_xattrs(folder: std::os::fd::BorrowedFd<'_>, entry: &Entry, name: &[u8]) -> Result<(), Failed> {
    for (key, value) in entry.pax.xattrs() {
        if key.starts_with("trusted.overlay.") || key.starts_with("user.overlay.") {
            continue;
        }
        tree::set_xattr(folder, name, key, value).map_err(at("set an attribute"))?;
    }
    Ok(())
}

fn mark_opaque(folder: std::os::fd::BorrowedFd<'_>, name: &[u8]) -> Result<(), Failed> {
    tree::set_xattr(folder, name, "trusted.overlay.opaque", b"y").map_err(at("mark opaque"))
}

fn make_whiteout(folder: std::os::fd::BorrowedFd<'_>, name: &[u8]) -> io::Result<()> {
    Ok(rustix::fs::mknodat(folder, name, FileType::CharacterDevice, Mode::empty(), makedev(0, 0))?)
}

/// A path without empty parts, `.` and `..`; the empty path is the root.
pub(crate) fn clean(path: &[u8]) -> Result<Vec<u8>> {
    let mut parts: Vec<&[u8]> = Vec::new();
    for part in path.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => {
                parts.pop().ok_or(Error::InvalidLayer("a name that climbs out of the layer"))?;
            }
            part => parts.push(part),
        }
    }
    Ok(parts.join(&b'/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_cleaned_and_never_climb_out() {
        assert_eq!(clean(b"./a//b/../c/").unwrap(), b"a/c");
        assert_eq!(clean(b"/").unwrap(), b"");
        assert_eq!(clean(b"..a/...").unwrap(), b"..a/...");
        assert!(clean(b"a/../../b").is_err());
    }
}
