//! Writes folders as tar: a container's changes as a layer, or a whole root file system.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::{self, File, Metadata};
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use tar::{EntryType, Header};

use crate::{Error, Result, changes};

/// Writes overlayfs' writable folder as a layer: whiteouts as `.wh.` files (OCI image layer specification).
pub(crate) fn layer(upper: &Path, writer: impl Write) -> Result<()> {
    Packer::new(upper, writer, true).run()
}

/// Writes a folder as it is.
pub(crate) fn tree(root: &Path, writer: impl Write) -> Result<()> {
    Packer::new(root, writer, false).run()
}

/// The files' sizes beneath a folder, each inode once.
pub(crate) fn size(root: &Path) -> Result<u64> {
    let mut seen = HashMap::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for (path, metadata) in children(&folder)? {
            if metadata.is_dir() {
                folders.push(path);
            } else if metadata.is_file() {
                seen.insert(metadata.ino(), metadata.len());
            }
        }
    }
    Ok(seen.values().sum())
}

struct Packer<W> {
    root: PathBuf,
    writer: W,
    as_layer: bool,
    /// First names of inodes with several.
    links: HashMap<(u64, u64), Vec<u8>>,
}

impl<W: Write> Packer<W> {
    fn new(root: &Path, writer: W, as_layer: bool) -> Self {
        Self { root: root.to_owned(), writer, as_layer, links: HashMap::new() }
    }

    fn run(mut self) -> Result<()> {
        self.folder(&self.root.clone())?;
        self.write(&[0; 1024])?;
        self.writer.flush().map_err(Error::stream("write the archive"))
    }

    fn folder(&mut self, folder: &Path) -> Result<()> {
        for (path, metadata) in children(folder)? {
            let name = path.strip_prefix(&self.root).unwrap_or(&path).as_os_str().as_bytes().to_vec();
            if self.as_layer && changes::is_whiteout(&metadata) {
                self.whiteout(&beside(&name, b".wh."))?;
                continue;
            }
            self.entry(&path, &name, &metadata)?;
            if metadata.is_dir() {
                if self.as_layer && changes::is_opaque(&path) {
                    self.whiteout(&[name.as_slice(), b"/.wh..wh..opq"].concat())?;
                }
                self.folder(&path)?;
            }
        }
        Ok(())
    }

    fn whiteout(&mut self, name: &[u8]) -> Result<()> {
        let mut header = Header::new_ustar();
        header.set_entry_type(EntryType::Regular);
        header.set_mode(0);
        self.header(header, name, b"", Vec::new(), 0)
    }

    fn entry(&mut self, path: &Path, name: &[u8], metadata: &Metadata) -> Result<()> {
        let kind = metadata.file_type();
        if kind.is_socket() {
            // Tar has no such thing, and it is dead without its process.
            return Ok(());
        }
        let mut header = Header::new_ustar();
        header.set_mode(metadata.mode() & 0o7777);
        let mut pax = xattrs(path)?;
        for (key, id) in [("uid", metadata.uid()), ("gid", metadata.gid())] {
            if id > 0o7_777_777 {
                pax.push((key.to_owned(), id.to_string().into_bytes()));
            } else if key == "uid" {
                header.set_uid(id.into());
            } else {
                header.set_gid(id.into());
            }
        }
        header.set_mtime(metadata.mtime().max(0).unsigned_abs());
        if metadata.mtime_nsec() != 0 || metadata.mtime() < 0 {
            pax.push(("mtime".to_owned(), pax_time(metadata.mtime(), metadata.mtime_nsec()).into_bytes()));
        }
        if !metadata.is_dir() && metadata.nlink() > 1 {
            if let Some(first) = self.links.get(&(metadata.dev(), metadata.ino())).cloned() {
                header.set_entry_type(EntryType::Link);
                return self.header(header, name, &first, pax, 0);
            }
            self.links.insert((metadata.dev(), metadata.ino()), name.to_vec());
        }
        if kind.is_dir() {
            header.set_entry_type(EntryType::Directory);
            self.header(header, &[name, b"/"].concat(), b"", pax, 0)
        } else if kind.is_symlink() {
            let target = fs::read_link(path).map_err(Error::file("read link", path))?;
            header.set_entry_type(EntryType::Symlink);
            self.header(header, name, target.as_os_str().as_bytes(), pax, 0)
        } else if kind.is_file() {
            header.set_entry_type(EntryType::Regular);
            self.header(header, name, b"", pax, metadata.len())?;
            self.content(path, metadata.len())
        } else {
            header.set_entry_type(match kind {
                _ if kind.is_fifo() => EntryType::Fifo,
                _ if kind.is_block_device() => EntryType::Block,
                _ => EntryType::Char,
            });
            set_device(&mut header, metadata.rdev())?;
            self.header(header, name, b"", pax, 0)
        }
    }

    /// Exactly as many bytes as the header says, whatever a running container does to the file meanwhile.
    fn content(&mut self, path: &Path, size: u64) -> Result<()> {
        let file = File::open(path).map_err(Error::file("open", path))?;
        let mut content = file.chain(io::repeat(0)).take(size);
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
fn children(folder: &Path) -> Result<Vec<(PathBuf, Metadata)>> {
    let mut entries = Vec::new();
    for entry in fs::read_dir(folder).map_err(Error::file("read folder", folder))? {
        let path = entry.map_err(Error::file("read folder", folder))?.path();
        match fs::symlink_metadata(&path) {
            Ok(metadata) => entries.push((path, metadata)),
            // A running container may remove it meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(source) => return Err(Error::File { operation: "look at", path, source }),
        }
    }
    entries.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(entries)
}

/// The attributes that belong into an archive.
fn xattrs(path: &Path) -> Result<Vec<(String, Vec<u8>)>> {
    let mut names = vec![0; 64 << 10];
    let length = match rustix::fs::llistxattr(path, &mut names[..]) {
        Ok(length) => length,
        Err(rustix::io::Errno::NOTSUP) => 0,
        Err(error) => return Err(Error::file("list attributes of", path)(error.into())),
    };
    let mut records = Vec::new();
    for name in names[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        let Ok(key) = str::from_utf8(name) else { continue };
        if key.starts_with("trusted.overlay.") || key == "security.selinux" {
            continue;
        }
        let mut value = vec![0; 64 << 10];
        if let Ok(length) = rustix::fs::lgetxattr(path, OsStr::from_bytes(name), &mut value[..]) {
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
