//! Receives a client's folder (fsutil's protocol): every file's description comes, only what changed is asked for.
//!
//! The client is a stranger: names are cleaned and resolved beneath the folder, and what it didn't announce it can't
//! write.

use std::collections::{HashMap, HashSet, VecDeque};
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use rustix::fs::{AtFlags, FileType, Mode, Timespec, Timestamps};
use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;
use tonic::Streaming;
use tonic::metadata::{AsciiMetadataValue, MetadataMap};

use super::messages::files::{self, Packet, PacketKind, Stat};
use super::session::Session;
use super::sync::Folder;
use crate::beneath::{self, Root, clean};
use crate::known::Known;
use crate::{Error, Result};

/// The method that gives a folder.
const METHOD: &str = "/moby.filesync.v1.FileSync/DiffCopy";
/// Entries that a context may have, and open files at a time: the sender keeps four.
const MOST_ENTRIES: usize = 4_000_000;
const MOST_OPEN: usize = 64;
/// Files asked for at a time. A sender that is faster than the disk has the rest of them wait in memory, and HTTP/2 ends a
/// connection on which too many small frames wait.
const MOST_WANTED: usize = 512;
/// Packets that wait for the disk.
const BACKLOG: usize = 64;

/// What to receive.
#[derive(Debug, Default)]
pub(super) struct Wanted<'a> {
    /// The folder's name on the client.
    pub(super) name: &'a str,
    /// Nothing but these.
    pub(super) include: Vec<String>,
    /// Everything but these.
    pub(super) exclude: Vec<String>,
}

/// Makes `folder` like the client's; says how many bytes came.
pub(super) async fn receive(
    session: &Session,
    wanted: Wanted<'_>,
    folder: &Folder,
    moved: impl Fn(u64) + Send + 'static,
) -> Result<u64> {
    let refused =
        |status: tonic::Status| Error::Invalid(format!("receive {:?}: {}", wanted.name, status.message()));
    let mut metadata = MetadataMap::new();
    add(&mut metadata, "dir-name", &[wanted.name.to_owned()]);
    add(&mut metadata, "include-patterns", &wanted.include);
    add(&mut metadata, "exclude-patterns", &wanted.exclude);
    let (requests, outgoing) = mpsc::unbounded_channel::<Packet>();
    let outgoing = tokio_stream::wrappers::UnboundedReceiverStream::new(outgoing);
    let mut packets: Streaming<Packet> =
        session.converse(METHOD, metadata, outgoing).await.map_err(refused)?;
    let (sender, mut incoming) = mpsc::channel::<Packet>(BACKLOG);
    let (folder, known) = (folder.path.clone(), Arc::clone(&folder.known));
    let disk = tokio::task::spawn_blocking(move || -> Result<u64> {
        let fail = |error| Error::file("receive files into", &folder)(error);
        let root = Root::open(&folder).map_err(fail)?;
        let mut receiver = Receiver::new(root, known, requests);
        let fail = |error| Error::file("receive files into", &folder)(error);
        receiver.run(&mut incoming, &moved).map_err(fail)?;
        Ok(receiver.received)
    });
    let pump = async {
        while let Some(packet) = packets.message().await.map_err(refused)? {
            if sender.send(packet).await.is_err() {
                break;
            }
        }
        drop(sender);
        Ok::<_, Error>(())
    };
    let (pumped, written) = tokio::join!(pump, disk);
    let written = written??;
    pumped?;
    Ok(written)
}

/// Adds values, those beyond ASCII in the form that fsutil's side decodes.
fn add(metadata: &mut MetadataMap, key: &'static str, values: &[String]) {
    let encodes = !values.iter().all(|value| value.is_ascii() && !value.contains(['\n', '\r', '\0']));
    for value in values {
        let text = if encodes { escaped(value) } else { value.clone() };
        if let Ok(value) = AsciiMetadataValue::try_from(text) {
            metadata.append(key, value);
        }
    }
    if encodes
        && let Ok(key) = tonic::metadata::AsciiMetadataKey::from_bytes(format!("{key}-encoded").as_bytes())
    {
        metadata.insert(key, AsciiMetadataValue::from_static("1"));
    }
}

fn escaped(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    text.bytes()
        .map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

/// A file that comes, and the hash of what has come.
struct Coming {
    file: File,
    hash: Sha256,
}

struct Receiver {
    root: Root,
    known: Arc<Known>,
    requests: mpsc::UnboundedSender<Packet>,
    /// Everything that was described, by its number.
    stats: Vec<Stat>,
    /// Files that are to be asked for.
    missing: VecDeque<u32>,
    /// Files that were asked for and haven't all come.
    wanted: HashSet<u32>,
    open: HashMap<u32, Coming>,
    /// The last file's folder and its path: the next one mostly lies there, too.
    folder: Option<(String, Arc<OwnedFd>)>,
    /// Inodes of the files that are there.
    kept: HashSet<u64>,
    received: u64,
}

impl Receiver {
    fn new(root: Root, known: Arc<Known>, requests: mpsc::UnboundedSender<Packet>) -> Self {
        Self {
            root,
            known,
            requests,
            stats: Vec::new(),
            missing: VecDeque::new(),
            wanted: HashSet::new(),
            open: HashMap::new(),
            folder: None,
            kept: HashSet::new(),
            received: 0,
        }
    }

    /// Puts each file in its place while the client still looks at others.
    fn run(&mut self, incoming: &mut mpsc::Receiver<Packet>, moved: &dyn Fn(u64)) -> io::Result<()> {
        let mut is_described = false;
        while !is_described || !self.wanted.is_empty() {
            let packet = incoming.blocking_recv().ok_or(io::ErrorKind::UnexpectedEof)?;
            match (PacketKind::try_from(packet.kind), packet.stat) {
                (Ok(PacketKind::Stat), Some(stat)) if !is_described => self.described(stat)?,
                (Ok(PacketKind::Stat), None) => is_described = true,
                (Ok(PacketKind::Data), _) => {
                    self.data(packet.id, &packet.data)?;
                    moved(self.received);
                }
                (Ok(PacketKind::Failed), _) if is_described => return Err(told(&packet.data)),
                (Ok(PacketKind::Failed), _) => return Err(io::Error::other(text(&packet.data))),
                _ => {}
            }
            self.ask()?;
        }
        self.known.retain(&self.kept);
        self.finish()?;
        self.request(Packet::of(PacketKind::Finished))?;
        while let Some(packet) = incoming.blocking_recv() {
            match PacketKind::try_from(packet.kind) {
                Ok(PacketKind::Finished) => break,
                Ok(PacketKind::Failed) => return Err(told(&packet.data)),
                _ => {}
            }
        }
        Ok(())
    }

    /// Takes a description.
    fn described(&mut self, mut stat: Stat) -> io::Result<()> {
        let id = u32::try_from(self.stats.len()).map_err(io::Error::other)?;
        stat.path = clean(&stat.path);
        if stat.path.is_empty() || self.stats.len() >= MOST_ENTRIES {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        if self.place(&stat)? {
            self.missing.push_back(id);
        }
        self.stats.push(stat);
        Ok(())
    }

    /// Asks for as many files as may be under way.
    fn ask(&mut self) -> io::Result<()> {
        while self.wanted.len() < MOST_WANTED
            && let Some(id) = self.missing.pop_front()
        {
            self.wanted.insert(id);
            self.request(Packet { id, ..Packet::of(PacketKind::Request) })?;
        }
        Ok(())
    }

    /// What is left to do once all files are there: links to others, and then folders' times, since nothing is put into
    /// them or removed any more.
    fn finish(&mut self) -> io::Result<()> {
        let stats = std::mem::take(&mut self.stats);
        let announced: HashSet<&str> = stats.iter().map(|stat| stat.path.as_str()).collect();
        remove_others(self.root.folder(".")?.as_fd(), "", &announced)?;
        for stat in stats.iter().filter(|stat| stat.is_regular() && !stat.link.is_empty()) {
            self.hard_link(stat)?;
        }
        for stat in stats.iter().rev().filter(|stat| stat.mode & files::FOLDER != 0) {
            let (parent, name) = self.parent(&stat.path)?;
            dress(beneath::open_folder(parent, name.as_bytes())?, stat)?;
        }
        Ok(())
    }

    fn request(&self, packet: Packet) -> io::Result<()> {
        self.requests.send(packet).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }

    fn parent<'p>(&mut self, path: &'p str) -> io::Result<(Arc<OwnedFd>, &'p str)> {
        let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
        if let Some((last, opened)) = &self.folder
            && last == parent
        {
            return Ok((Arc::clone(opened), name));
        }
        let opened = Arc::new(self.root.folder(parent)?);
        self.folder = Some((parent.to_owned(), Arc::clone(&opened)));
        Ok((opened, name))
    }

    /// Makes what needs no content; says whether the content must be asked for.
    fn place(&mut self, stat: &Stat) -> io::Result<bool> {
        let (parent, name) = self.parent(&stat.path)?;
        let found = rustix::fs::statat(&parent, name, AtFlags::SYMLINK_NOFOLLOW).ok();
        let kind = found.map(|found| FileType::from_raw_mode(found.st_mode));
        if stat.mode & files::FOLDER != 0 {
            if kind != Some(FileType::Directory) {
                remove(parent.as_fd(), name.as_bytes())?;
                rustix::fs::mkdirat(&parent, name, Mode::from_raw_mode(0o700))?;
            }
            return Ok(false);
        }
        if stat.is_regular() && !stat.link.is_empty() {
            return Ok(false);
        }
        if stat.is_regular() {
            let same = found.is_some_and(|found| {
                kind == Some(FileType::RegularFile)
                    && found.st_size == stat.size
                    && found.st_mode & 0o7777 == stat.permissions()
                    && found.st_mtime * 1_000_000_000 + i64::try_from(found.st_mtime_nsec).unwrap_or(0)
                        == stat.modified
            });
            // What were two names of one file are two files now.
            let is_there = found.filter(|_| same).is_some_and(|found| self.kept.insert(found.st_ino));
            if !is_there {
                remove(parent.as_fd(), name.as_bytes())?;
            }
            return Ok(!is_there);
        }
        remove(parent.as_fd(), name.as_bytes())?;
        if stat.mode & files::SYMLINK != 0 {
            rustix::fs::symlinkat(stat.link.as_str(), &parent, name)?;
        } else if stat.mode & files::PIPE != 0 {
            let mode = Mode::from_raw_mode(stat.permissions());
            rustix::fs::mknodat(&parent, name, FileType::Fifo, mode, 0)?;
            rustix::fs::chmodat(&parent, name, mode, AtFlags::empty())?;
        } else {
            // Devices and sockets of the client's machine are nothing here.
            return Ok(false);
        }
        rustix::fs::utimensat(&parent, name, &times(stat), AtFlags::SYMLINK_NOFOLLOW)?;
        Ok(false)
    }

    fn data(&mut self, id: u32, data: &[u8]) -> io::Result<()> {
        if !self.wanted.contains(&id) {
            return Err(io::Error::other("the client sent a file that wasn't asked for"));
        }
        if !self.open.contains_key(&id) {
            self.begin(id)?;
        }
        if data.is_empty() {
            return self.end(id);
        }
        self.received += data.len() as u64;
        match self.open.get_mut(&id) {
            Some(Coming { file, hash }) => {
                hash.update(data);
                file.write_all(data)
            }
            None => Ok(()),
        }
    }

    fn begin(&mut self, id: u32) -> io::Result<()> {
        if self.open.len() >= MOST_OPEN {
            return Err(io::Error::other("the client sends too many files at once"));
        }
        let path = self.stats[id as usize].path.clone();
        let (parent, name) = self.parent(&path)?;
        let file = beneath::create_file(&parent, name.as_bytes(), 0o600)?;
        self.open.insert(id, Coming { file, hash: Sha256::new() });
        Ok(())
    }

    fn end(&mut self, id: u32) -> io::Result<()> {
        self.wanted.remove(&id);
        let Some(Coming { file, hash }) = self.open.remove(&id) else { return Ok(()) };
        dress(&file, &self.stats[id as usize])?;
        let found = rustix::fs::fstat(&file)?;
        self.kept.insert(found.st_ino);
        self.known.note(&found, hash.finalize().into());
        Ok(())
    }

    fn hard_link(&mut self, stat: &Stat) -> io::Result<()> {
        let (parent, name) = self.parent(&stat.path)?;
        let target = clean(&stat.link);
        let (from, target) = self.parent(&target)?;
        remove(parent.as_fd(), name.as_bytes())?;
        Ok(rustix::fs::linkat(&from, target, &parent, name, AtFlags::empty())?)
    }
}

/// Permissions and time; the owner is always root here. Never by a name, which a client may have given to a link since.
fn dress(file: impl AsFd, stat: &Stat) -> io::Result<()> {
    rustix::fs::fchmod(&file, Mode::from_raw_mode(stat.permissions()))?;
    Ok(rustix::fs::futimens(&file, &times(stat))?)
}

fn times(stat: &Stat) -> Timestamps {
    let (seconds, nanoseconds) =
        (stat.modified.div_euclid(1_000_000_000), stat.modified.rem_euclid(1_000_000_000));
    let time = Timespec { tv_sec: seconds, tv_nsec: nanoseconds };
    Timestamps { last_access: time, last_modification: time }
}

/// Removes what the client doesn't have any more.
fn remove_others(
    folder: std::os::fd::BorrowedFd<'_>,
    path: &str,
    announced: &HashSet<&str>,
) -> io::Result<()> {
    for entry in rustix::fs::Dir::read_from(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name == b"." || name == b".." {
            continue;
        }
        let shown = String::from_utf8_lossy(name);
        let inner = if path.is_empty() { shown.into_owned() } else { format!("{path}/{shown}") };
        if !announced.contains(inner.as_str()) {
            remove(folder, name)?;
            continue;
        }
        if matches!(entry.file_type(), FileType::Directory | FileType::Unknown)
            && let Ok(opened) = beneath::open_folder(folder, name)
        {
            remove_others(opened.as_fd(), &inner, announced)?;
        }
    }
    Ok(())
}

/// Removes a name and everything in it; none is fine.
fn remove(folder: std::os::fd::BorrowedFd<'_>, name: &[u8]) -> io::Result<()> {
    use rustix::io::Errno;
    match rustix::fs::unlinkat(folder, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => return Ok(()),
        Err(Errno::ISDIR) => {}
        Err(error) => return Err(error.into()),
    }
    let inner = beneath::open_folder(folder, name)?;
    for child in beneath::names(inner.as_fd())? {
        remove(inner.as_fd(), &child)?;
    }
    Ok(rustix::fs::unlinkat(folder, name, AtFlags::REMOVEDIR)?)
}

fn told(data: &[u8]) -> io::Error {
    io::Error::other(format!("error from sender: {}", text(data)))
}

fn text(data: &[u8]) -> String {
    String::from_utf8_lossy(data).into_owned()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::checksum::Checksum;
    use crate::ignore::Ignore;

    /// A client's files, by path; each was changed last when it says.
    type Files = BTreeMap<String, (Vec<u8>, i64)>;

    /// Receives as from a client that has these; says what was asked for.
    fn receive_from(client: &Files, folder: &std::path::Path, known: &Arc<Known>) -> Vec<String> {
        let (requests, mut asked) = mpsc::unbounded_channel();
        let (sender, mut incoming) = mpsc::channel(BACKLOG);
        let files: Vec<_> = client.clone().into_iter().collect();
        let answering = std::thread::spawn(move || {
            let send = |packet| sender.blocking_send(packet).unwrap();
            for (path, (content, modified)) in &files {
                let size = i64::try_from(content.len()).unwrap();
                let stat =
                    Stat { path: path.clone(), mode: 0o644, size, modified: *modified, ..Stat::default() };
                send(Packet { stat: Some(stat), ..Packet::of(PacketKind::Stat) });
            }
            send(Packet::of(PacketKind::Stat));
            let mut wanted = Vec::new();
            while let Some(Packet { kind, id, .. }) = asked.blocking_recv() {
                if kind == i32::from(PacketKind::Finished) {
                    send(Packet::of(PacketKind::Finished));
                    break;
                }
                let (path, (content, _)) = &files[id as usize];
                wanted.push(path.clone());
                for data in [content.clone(), Vec::new()] {
                    send(Packet { id, data, ..Packet::of(PacketKind::Data) });
                }
            }
            wanted
        });
        let mut receiver = Receiver::new(Root::open(folder).unwrap(), Arc::clone(known), requests);
        receiver.run(&mut incoming, &|_| {}).unwrap();
        answering.join().unwrap()
    }

    fn sum(folder: &std::path::Path, known: &Known) -> berth_images::Digest {
        let (rules, root) = (Ignore::default(), Root::open(folder).unwrap());
        let mut sum = Checksum::new(&rules, false, known);
        sum.add(root.folder(".").unwrap().as_fd(), b".", "").unwrap();
        sum.finish()
    }

    #[test]
    fn of_many_files_only_the_changed_one_is_asked_for_and_none_is_read_again() {
        let place = tempfile::tempdir().unwrap();
        let (folder, record) = (place.path().join("folder"), place.path().join("folder.known"));
        std::fs::create_dir(&folder).unwrap();
        let file = |number: u32| (format!("file {number}"), (format!("{number}").into_bytes(), 1_000));
        let mut client: Files = (0..20_000).map(file).collect();
        let alone = || crate::Lock::default().try_lock_owned().unwrap();
        let known = Arc::new(Known::at(record.clone(), alone()));
        assert_eq!(receive_from(&client, &folder, &known).len(), 20_000);
        let first = sum(&folder, &known);
        drop(known);
        client.insert("file 7".to_owned(), (b"x".to_vec(), 2_000));
        client.remove("file 8");
        let known = Arc::new(Known::at(record, alone()));
        assert_eq!(receive_from(&client, &folder, &known), ["file 7"]);
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let stat = rustix::fs::stat(&path).unwrap();
            let content: [u8; 32] = Sha256::digest(std::fs::read(&path).unwrap()).into();
            assert_eq!(known.find(&stat), Some(content), "{}", path.display());
        }
        assert_eq!(sum(&folder, &known), sum(&folder, &Known::default()));
        assert_ne!(sum(&folder, &known), first);
    }
}
