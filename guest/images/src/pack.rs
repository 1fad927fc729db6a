//! Writes folders as tar: a container's changes as a layer, or a whole root file system.
//!
//! A running container may change what is being read, so every folder is opened by its name in the one above and
//! never through a symbolic link: nothing outside can be reached, whatever is swapped meanwhile.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::thread;

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, Stat};
use tar::{EntryType, Header};

use crate::{Digest, Error, Result, changes};

/// Writes overlayfs' writable folder as a layer: whiteouts as `.wh.` files (OCI image layer specification). Of
/// `leave_out`, what is an empty file or folder is left out. Says the files' sizes together, each inode once and links by
/// what they say, as dockerd does.
pub(crate) fn layer(upper: &Path, leave_out: &[String], writer: impl Write) -> Result<u64> {
    let root = open(CWD, upper.as_os_str(), OFlags::DIRECTORY).map_err(Error::file("open", upper))?;
    Packer { leave_out, ..Packer::new(writer, true) }.run(root)
}

/// As [`layer`], with no file newer than `latest`, in seconds since 1970.
pub(crate) fn layer_until(latest: i64, upper: &Path, writer: impl Write) -> Result<u64> {
    let root = open(CWD, upper.as_os_str(), OFlags::DIRECTORY).map_err(Error::file("open", upper))?;
    Packer { latest, ..Packer::new(writer, true) }.run(root)
}

/// The digest of a layer that changes nothing.
pub(crate) fn empty_layer() -> Digest {
    Digest::of(&[0; 1024])
}

/// Writes a folder's content as it is.
pub(crate) fn tree(root: BorrowedFd<'_>, writer: impl Write) -> Result<()> {
    let root = open(root, OsStr::new("."), OFlags::DIRECTORY).map_err(Error::stream("open the root"))?;
    Packer::new(writer, false).run(root).map(drop)
}

/// Writes what is at `name` in `folder` and all in it, under the name `shown`; a `name` of `.` is the folder itself.
pub(crate) fn one(folder: BorrowedFd<'_>, name: &OsStr, shown: &[u8], writer: impl Write) -> Result<()> {
    let mut packer = Packer::new(writer, false);
    let entry = Child::of(folder, name).map_err(Error::stream("look at what is to be copied"))?;
    if let Some(found) = entry.look(folder)? {
        packer.entry(folder, &entry, found, shown)?;
    }
    if entry.kind == FileType::Directory {
        let inner = open(folder, name, OFlags::DIRECTORY).map_err(Error::stream("open the folder"))?;
        packer.folder(&inner, shown)?;
    }
    packer.end()
}

/// The files' sizes beneath a folder, each inode once.
pub(crate) fn size(root: &Path) -> Result<u64> {
    let mut seen = HashMap::new();
    let root = open(CWD, root.as_os_str(), OFlags::DIRECTORY).map_err(Error::file("open", root))?;
    measure(&root, &mut seen, 0)?;
    Ok(seen.values().sum())
}

fn measure(folder: &File, seen: &mut HashMap<u64, u64>, depth: usize) -> Result<()> {
    if depth > PATH_LONGEST / 2 {
        return Ok(());
    }
    for child in children(folder)? {
        if child.kind == FileType::Directory {
            // A running container may take it away meanwhile.
            if let Ok(inner) = open(folder.as_fd(), &child.name, OFlags::DIRECTORY) {
                measure(&inner, seen, depth + 1)?;
            }
        } else if matches!(child.kind, FileType::RegularFile | FileType::Symlink)
            && let Ok(stat) = child.stat(folder.as_fd())
        {
            seen.insert(stat.st_ino, stat.st_size.unsigned_abs());
        }
    }
    Ok(())
}

/// The kernel's longest path, PATH_MAX without its NUL: what lies deeper can't be in an archive, and recursion ends.
const PATH_LONGEST: usize = 4095;

/// So many entries are looked at before they are written.
const AT_ONCE: usize = 256;
/// Fewer aren't worth a thread.
const FEW: usize = 64;
/// Files up to so many bytes are read when they are looked at.
const SMALL: i64 = 16 << 10;

/// One entry of a folder.
struct Child {
    name: OsString,
    kind: FileType,
}

impl Child {
    fn of(folder: BorrowedFd<'_>, name: &OsStr) -> io::Result<Self> {
        let mut child = Self { name: name.to_owned(), kind: FileType::Unknown };
        child.kind = FileType::from_raw_mode(child.stat(folder)?.st_mode);
        Ok(child)
    }

    fn stat(&self, folder: BorrowedFd<'_>) -> io::Result<Stat> {
        Ok(rustix::fs::statat(folder, self.name.as_os_str(), AtFlags::SYMLINK_NOFOLLOW)?)
    }

    /// What is to be written of it; none when it has gone, or became something else.
    fn look(&self, folder: BorrowedFd<'_>) -> Result<Option<Found>> {
        match self.found(folder) {
            Ok(found) => Ok(Some(found)),
            // A running container may remove it meanwhile.
            Err(error) if is_gone(&error) => Ok(None),
            Err(source) => Err(Error::File { operation: "read", path: self.path(folder), source }),
        }
    }

    /// Of a file that is open the kernel tells without looking its name up again.
    fn found(&self, folder: BorrowedFd<'_>) -> io::Result<Found> {
        if self.kind != FileType::RegularFile {
            let attributes = match self.kind {
                FileType::Socket => Vec::new(),
                _ => xattrs(self.path(folder).as_path())?,
            };
            return Found { stat: self.stat(folder)?, attributes, content: None }.if_still(self.kind);
        }
        let file = open(folder, &self.name, OFlags::empty())?;
        let (stat, attributes) = (rustix::fs::fstat(&file)?, xattrs(&file.as_fd())?);
        let content = if stat.st_size <= SMALL {
            let mut bytes = Vec::with_capacity(usize::try_from(stat.st_size).unwrap_or(0));
            file.take(stat.st_size.unsigned_abs()).read_to_end(&mut bytes)?;
            Content::Small(bytes)
        } else {
            Content::Large(file)
        };
        Found { stat, attributes, content: Some(content) }.if_still(self.kind)
    }

    /// Leads to the entry itself through its folder's descriptor, whose link in /proc nobody can swap.
    fn path(&self, folder: BorrowedFd<'_>) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}", folder.as_raw_fd())).join(&self.name)
    }

    /// A 0/0 character device, overlayfs' mark of something deleted.
    fn is_whiteout(&self, found: &Found) -> bool {
        self.kind == FileType::CharacterDevice && found.stat.st_rdev == 0
    }
}

/// What is to be written of an entry.
struct Found {
    stat: Stat,
    attributes: Vec<(String, Vec<u8>)>,
    /// A file's.
    content: Option<Content>,
}

enum Content {
    Small(Vec<u8>),
    Large(File),
}

impl Found {
    /// Itself, unless something else stands there by now.
    fn if_still(self, kind: FileType) -> io::Result<Self> {
        match FileType::from_raw_mode(self.stat.st_mode) == kind {
            true => Ok(self),
            false => Err(rustix::io::Errno::STALE.into()),
        }
    }
}

/// Looks at entries of a folder; of many, half by another thread.
fn look_at(folder: &File, some: &[Child]) -> Result<Vec<Result<Option<Found>>>> {
    let look = |some: &[Child]| some.iter().map(|child| child.look(folder.as_fd())).collect::<Vec<_>>();
    if some.len() < FEW {
        return Ok(look(some));
    }
    let (half, rest) = some.split_at(some.len() / 2);
    thread::scope(|scope| {
        let other = scope.spawn(|| look(rest));
        let mut all = look(half);
        all.extend(other.join().map_err(|_| Error::Interrupted("reading a folder"))?);
        Ok(all)
    })
}

/// Opens `name` in `folder` for reading, unless it is a symbolic link. Never waits for a FIFO's other end.
fn open(folder: BorrowedFd<'_>, name: &OsStr, more: OFlags) -> io::Result<File> {
    let flags =
        OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC | more;
    Ok(rustix::fs::openat(folder, name, flags, Mode::empty())?.into())
}

struct Packer<'a, W> {
    writer: W,
    as_layer: bool,
    leave_out: &'a [String],
    /// The newest time that a file may have, in seconds since 1970.
    latest: i64,
    /// First names of inodes with several.
    links: HashMap<(u64, u64), Vec<u8>>,
    /// The files' sizes together.
    size: u64,
}

impl<W: Write> Packer<'_, W> {
    fn new(writer: W, as_layer: bool) -> Self {
        Self { writer, as_layer, leave_out: &[], latest: i64::MAX, links: HashMap::new(), size: 0 }
    }

    fn run(mut self, root: File) -> Result<u64> {
        self.folder(&root, b"")?;
        let size = self.size;
        self.end()?;
        Ok(size)
    }

    fn end(mut self) -> Result<()> {
        self.write(&[0; 1024])?;
        self.writer.flush().map_err(Error::stream("write the archive"))
    }

    fn folder(&mut self, folder: &File, shown: &[u8]) -> Result<()> {
        let children = children(folder)?;
        let both_flat = |a: &Child, b: &Child| [a, b].iter().all(|child| child.kind != FileType::Directory);
        // What was looked at is written before the next folder is gone into, however deep they lie.
        for some in children.chunk_by(both_flat).flat_map(|flat| flat.chunks(AT_ONCE)) {
            for (child, found) in some.iter().zip(look_at(folder, some)?) {
                self.child(folder, child, found?, shown)?;
            }
        }
        Ok(())
    }

    /// Writes an entry of a folder, and all in it.
    fn child(&mut self, folder: &File, child: &Child, found: Option<Found>, shown: &[u8]) -> Result<()> {
        let between: &[u8] = if shown.is_empty() || shown.ends_with(b"/") { b"" } else { b"/" };
        let name = [shown, between, child.name.as_bytes()].concat();
        if name.len() > PATH_LONGEST {
            return Err(Error::InvalidArchive("a path is too long for an archive".to_owned()));
        }
        let Some(found) = found else { return Ok(()) };
        if self.as_layer && child.is_whiteout(&found) {
            return self.whiteout(&beside(&name, b".wh."));
        }
        if self.leave_out.iter().any(|path| path.as_bytes() == name) && is_empty(folder, child, &found) {
            return Ok(());
        }
        self.entry(folder.as_fd(), child, found, &name)?;
        if child.kind != FileType::Directory {
            return Ok(());
        }
        if self.as_layer && changes::is_opaque(&child.path(folder.as_fd())) {
            self.whiteout(&[name.as_slice(), b"/.wh..wh..opq"].concat())?;
        }
        match open(folder.as_fd(), &child.name, OFlags::DIRECTORY) {
            Ok(inner) => self.folder(&inner, &name),
            // A running container may replace it meanwhile.
            Err(error) if is_gone(&error) => Ok(()),
            Err(source) => Err(Error::File { operation: "open", path: child.path(folder.as_fd()), source }),
        }
    }

    fn whiteout(&mut self, name: &[u8]) -> Result<()> {
        let mut header = Header::new_ustar();
        header.set_entry_type(EntryType::Regular);
        header.set_mode(0);
        self.header(header, name, b"", Vec::new(), 0)
    }

    fn entry(&mut self, folder: BorrowedFd<'_>, child: &Child, found: Found, name: &[u8]) -> Result<()> {
        let kind = child.kind;
        if kind == FileType::Socket {
            // Tar has no such thing, and it is dead without its process.
            return Ok(());
        }
        let Found { stat, attributes: mut pax, content } = found;
        let mut header = Header::new_ustar();
        header.set_mode(stat.st_mode & 0o7777);
        for (key, id) in [("uid", stat.st_uid), ("gid", stat.st_gid)] {
            if id > 0o7_777_777 {
                pax.push((key.to_owned(), id.to_string().into_bytes()));
            } else if key == "uid" {
                header.set_uid(id.into());
            } else {
                header.set_gid(id.into());
            }
        }
        let (seconds, nanoseconds) = match stat.st_mtime {
            seconds if seconds < self.latest => (seconds, i64::try_from(stat.st_mtime_nsec).unwrap_or(0)),
            _ => (self.latest, 0),
        };
        header.set_mtime(seconds.max(0).unsigned_abs());
        if nanoseconds != 0 || seconds < 0 {
            pax.push(("mtime".to_owned(), pax_time(seconds, nanoseconds).into_bytes()));
        }
        if kind != FileType::Directory && stat.st_nlink > 1 {
            if let Some(first) = self.links.get(&(stat.st_dev, stat.st_ino)).cloned() {
                header.set_entry_type(EntryType::Link);
                return self.header(header, name, &first, pax, 0);
            }
            self.links.insert((stat.st_dev, stat.st_ino), name.to_vec());
        }
        if kind == FileType::Directory {
            header.set_entry_type(EntryType::Directory);
            let slash: &[u8] = if name.ends_with(b"/") { b"" } else { b"/" };
            self.header(header, &[name, slash].concat(), b"", pax, 0)
        } else if kind == FileType::Symlink {
            let target = rustix::fs::readlinkat(folder, child.name.as_os_str(), Vec::new())
                .map_err(|error| Error::file("read link", child.path(folder))(error.into()))?;
            self.size += target.as_bytes().len() as u64;
            header.set_entry_type(EntryType::Symlink);
            self.header(header, name, target.as_bytes(), pax, 0)
        } else if let Some(content) = content {
            header.set_entry_type(EntryType::Regular);
            let size = stat.st_size.unsigned_abs();
            self.size += size;
            self.header(header, name, b"", pax, size)?;
            match content {
                Content::Small(bytes) => self.content(bytes.as_slice(), size),
                Content::Large(file) => self.content(file, size),
            }
        } else {
            header.set_entry_type(match kind {
                FileType::Fifo => EntryType::Fifo,
                FileType::BlockDevice => EntryType::Block,
                _ => EntryType::Char,
            });
            set_device(&mut header, stat.st_rdev)?;
            self.header(header, name, b"", pax, 0)
        }
    }

    /// Exactly as many bytes as the header says, whatever a running container does to the file meanwhile.
    fn content(&mut self, content: impl Read, size: u64) -> Result<()> {
        if size == 0 {
            return Ok(());
        }
        let mut content = content.chain(io::repeat(0)).take(size);
        io::copy(&mut content, &mut self.writer).map_err(Error::stream("write the archive"))?;
        self.pad(size)
    }

    /// Writes a header, after a PAX header when something doesn't fit the plain one.
    fn header(
        &mut self,
        mut header: Header,
        name: &[u8],
        link: &[u8],
        mut pax: Vec<(String, Vec<u8>)>,
        size: u64,
    ) -> Result<()> {
        put_text(&mut header.as_old_mut().name, name, "path", &mut pax);
        put_text(&mut header.as_old_mut().linkname, link, "linkpath", &mut pax);
        if size >= 1 << 33 {
            pax.push(("size".to_owned(), size.to_string().into_bytes()));
        }
        header.set_size(if size >= 1 << 33 { 0 } else { size });
        if !pax.is_empty() {
            let records: Vec<u8> = pax.iter().flat_map(|(key, value)| pax_record(key, value)).collect();
            let mut extended = Header::new_ustar();
            extended.set_entry_type(EntryType::XHeader);
            extended.set_mode(0o644);
            extended.set_size(records.len() as u64);
            put_text(&mut extended.as_old_mut().name, b"PaxHeaders.0/entry", "path", &mut Vec::new());
            extended.set_cksum();
            self.write(extended.as_bytes())?;
            self.write(&records)?;
            self.pad(records.len() as u64)?;
        }
        header.set_cksum();
        self.write(header.as_bytes())
    }

    fn pad(&mut self, size: u64) -> Result<()> {
        let padding = size.next_multiple_of(512) - size;
        self.write(&[0; 512][..usize::try_from(padding).unwrap_or(0)])
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.writer.write_all(bytes).map_err(Error::stream("write the archive"))
    }
}

/// A folder's entries by name, so that the same content is the same archive.
fn children(folder: &File) -> Result<Vec<Child>> {
    let mut entries = Vec::new();
    let reading = |error: rustix::io::Errno| Error::stream("read a folder")(error.into());
    for entry in rustix::fs::Dir::read_from(folder).map_err(reading)? {
        let entry = entry.map_err(reading)?;
        let name = OsStr::from_bytes(entry.file_name().to_bytes());
        if name == "." || name == ".." {
            continue;
        }
        let child = match entry.file_type() {
            // Not every file system tells.
            FileType::Unknown => Child::of(folder.as_fd(), name),
            kind => Ok(Child { name: name.to_owned(), kind }),
        };
        match child {
            Ok(child) => entries.push(child),
            // A running container may remove it meanwhile.
            Err(error) if is_gone(&error) => {}
            Err(source) => return Err(Error::File { operation: "look at", path: name.into(), source }),
        }
    }
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(entries)
}

/// Whether it is a file or folder with nothing in it.
fn is_empty(folder: &File, child: &Child, found: &Found) -> bool {
    if child.kind == FileType::Directory {
        let inner = open(folder.as_fd(), &child.name, OFlags::DIRECTORY);
        return inner.is_ok_and(|inner| children(&inner).is_ok_and(|children| children.is_empty()));
    }
    child.kind == FileType::RegularFile && found.stat.st_size == 0
}

/// Whether what was there has gone, or became something else.
fn is_gone(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let raw = Errno::from_io_error(error);
    matches!(raw, Some(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::NXIO | Errno::STALE))
}

/// Whose attributes are asked for: an open file's, which is faster, or what a path leads to.
trait Attributed {
    fn length(&self) -> rustix::io::Result<usize>;
    fn list(&self, names: &mut [u8]) -> rustix::io::Result<usize>;
    fn get(&self, name: &OsStr, value: &mut [u8]) -> rustix::io::Result<usize>;
}

impl Attributed for BorrowedFd<'_> {
    fn length(&self) -> rustix::io::Result<usize> {
        rustix::fs::flistxattr_query(self)
    }

    fn list(&self, names: &mut [u8]) -> rustix::io::Result<usize> {
        rustix::fs::flistxattr(self, names)
    }

    fn get(&self, name: &OsStr, value: &mut [u8]) -> rustix::io::Result<usize> {
        rustix::fs::fgetxattr(self, name, value)
    }
}

impl Attributed for Path {
    fn length(&self) -> rustix::io::Result<usize> {
        rustix::fs::llistxattr_query(self)
    }

    fn list(&self, names: &mut [u8]) -> rustix::io::Result<usize> {
        rustix::fs::llistxattr(self, names)
    }

    fn get(&self, name: &OsStr, value: &mut [u8]) -> rustix::io::Result<usize> {
        rustix::fs::lgetxattr(self, name, value)
    }
}

/// The attributes that belong into an archive.
fn xattrs(of: &(impl Attributed + ?Sized)) -> io::Result<Vec<(String, Vec<u8>)>> {
    // Most have none, and room for all of them takes longer than to ask.
    let mut names = match of.length() {
        Ok(0) | Err(rustix::io::Errno::NOTSUP) => return Ok(Vec::new()),
        _ => vec![0; 64 << 10],
    };
    let length = match of.list(&mut names) {
        Ok(length) => length,
        Err(rustix::io::Errno::NOTSUP) => 0,
        Err(error) => return Err(error.into()),
    };
    let mut records = Vec::new();
    for name in names[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        let Ok(key) = str::from_utf8(name) else { continue };
        if key.starts_with("trusted.overlay.") || key == "security.selinux" {
            continue;
        }
        let mut value = vec![0; 64 << 10];
        if let Ok(length) = of.get(OsStr::from_bytes(name), &mut value) {
            value.truncate(length);
            records.push((format!("SCHILY.xattr.{key}"), value));
        }
    }
    Ok(records)
}

/// `folder/name` as `folder/<mark>name`.
fn beside(name: &[u8], mark: &[u8]) -> Vec<u8> {
    match name.iter().rposition(|byte| *byte == b'/') {
        Some(at) => [&name[..=at], mark, &name[at + 1..]].concat(),
        None => [mark, name].concat(),
    }
}

fn put_text(field: &mut [u8; 100], text: &[u8], key: &str, pax: &mut Vec<(String, Vec<u8>)>) {
    if text.len() > field.len() || !text.is_ascii() {
        pax.push((key.to_owned(), text.to_vec()));
    }
    let length = text.len().min(field.len());
    field[..length].copy_from_slice(&text[..length]);
}

fn set_device(header: &mut Header, device: u64) -> Result<()> {
    let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
    header
        .set_device_major(major)
        .and_then(|()| header.set_device_minor(minor))
        .map_err(Error::stream("write a device's header"))
}

fn pax_time(seconds: i64, nanoseconds: i64) -> String {
    if seconds < 0 && nanoseconds > 0 {
        return format!("-{}.{:09}", (seconds + 1).unsigned_abs(), 1_000_000_000 - nanoseconds);
    }
    format!("{seconds}.{nanoseconds:09}")
}

/// `length key=value\n`, the length counting itself.
fn pax_record(key: &str, value: &[u8]) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    let mut record = format!("{length} {key}=").into_bytes();
    record.extend_from_slice(value);
    record.push(b'\n');
    record
}
