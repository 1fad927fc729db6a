//! A disk that can lose power: a real block device (a loop device over a file that this process serves through FUSE)
//! which notes every write and flush, so that what lies on it after a power cut at any moment can be made again.
//!
//! A disk that loses power keeps what was written before its last flush. Of what was written later it has kept some
//! sectors and not others; which ones is up to chance. (No device mapper is needed: few machines have dm-log-writes.)

mod serve;

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::chance::Chance;
use crate::guard::{need_program, need_root};

/// What a disk writes as a whole or not at all.
const SECTOR: usize = 512;
/// As the machine makes its data disk, but for what the kernel would still be writing in the background.
const FORMAT: &[&str] = &["-q", "-F", "-t", "ext4", "-m", "0", "-E", "nodiscard,lazy_itable_init=0"];

/// A disk with an ext4 that is mounted. When dropped, it is unmounted.
pub struct Disk {
    folder: tempfile::TempDir,
    place: PathBuf,
    log: Arc<Mutex<Log>>,
}

/// What was done to the disk, in order.
struct Log {
    events: Vec<Event>,
    /// The data of all writes, one after the other.
    data: File,
    length: u64,
}

#[derive(Clone, Copy)]
enum Event {
    /// So many bytes, at this place of the disk, whose data lie here in the log.
    Write { length: usize, place: u64, data: u64 },
    /// What was written before stays.
    Flush,
}

impl Disk {
    /// Makes a disk of this size and mounts it on `place`; none, with the reason printed, where this machine can't.
    ///
    /// # Panics
    /// When it can't be made or mounted.
    pub fn mount(size: u64, place: &Path) -> Option<Self> {
        if !need_root() || !need_program("mkfs.ext4") {
            return None;
        }
        let Ok(device) = File::options().read(true).write(true).open("/dev/fuse") else {
            eprintln!("skipped: this machine has no /dev/fuse");
            return None;
        };
        let folder = tempfile::tempdir().expect("make a folder for the disk");
        let (before, now, served) =
            (folder.path().join("before"), folder.path().join("now"), folder.path().join("served"));
        File::create(&before).and_then(|file| file.set_len(size)).expect("make the disk");
        run(Command::new("mkfs.ext4").args(FORMAT).arg(&before));
        copy(&before, &now);
        File::create(&served).expect("make a place for the served disk");
        let data = File::options().read(true).write(true).create_new(true).open(folder.path().join("log"));
        let data = data.expect("make the log");
        let log = Arc::new(Mutex::new(Log { events: Vec::new(), data, length: 0 }));
        let fuse = device.try_clone().expect("the FUSE connection");
        let now = File::options().read(true).write(true).open(now).expect("open the disk");
        let options = "fd=0,rootmode=100000,user_id=0,group_id=0";
        run(Command::new("mount").args(["-i", "-t", "fuse", "-o", options, "disk"]).arg(&served).stdin(fuse));
        let noted = Arc::clone(&log);
        std::thread::spawn(move || serve::serve(&device, &now, size, &noted));
        let disk = Self { folder, place: place.to_owned(), log };
        disk.attach(&served);
        Some(disk)
    }

    /// How much was done to it so far.
    pub fn moment(&self) -> usize {
        self.log().events.len()
    }

    /// Puts in its place what lies on it after a power cut at `moment`, as `chance` has it. It isn't noted what is
    /// done to that.
    ///
    /// # Panics
    /// When it can't be mounted: then the file system broke, and not what lies on it.
    pub fn cut(&self, moment: usize, chance: &mut Chance) {
        let after = self.folder.path().join("after");
        copy(&self.folder.path().join("before"), &after);
        let file = File::options().write(true).open(&after).expect("open the disk");
        self.log().write_again(&file, moment, chance).expect("write the disk again");
        self.attach(&after);
    }

    /// Takes what is mounted away.
    ///
    /// # Panics
    /// When somebody uses it.
    pub fn detach(&self) {
        run(Command::new("umount").arg(&self.place));
    }

    fn attach(&self, file: &Path) {
        fs::create_dir_all(&self.place).expect("make the disk's place");
        run(Command::new("mount").args(["-t", "ext4", "-o", "loop,noatime"]).arg(file).arg(&self.place));
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Log {
    fn wrote(&mut self, place: u64, bytes: &[u8]) -> io::Result<()> {
        self.data.write_all_at(bytes, self.length)?;
        self.events.push(Event::Write { length: bytes.len(), place, data: self.length });
        self.length += bytes.len() as u64;
        Ok(())
    }

    fn flushed(&mut self) {
        self.events.push(Event::Flush);
    }

    /// Writes what a power cut at `moment` leaves.
    fn write_again(&self, disk: &File, moment: usize, chance: &mut Chance) -> io::Result<()> {
        let events = self.events.get(..moment).unwrap_or(&self.events);
        let flushed = events.iter().rposition(|event| matches!(event, Event::Flush)).unwrap_or(0);
        for (index, event) in events.iter().enumerate() {
            let Event::Write { length, place, data } = *event else { continue };
            let mut bytes = vec![0; length];
            self.data.read_exact_at(&mut bytes, data)?;
            let (from, to) = if index < flushed { (0, length) } else { survivors(length, chance) };
            disk.write_all_at(&bytes[from..to], place + from as u64)?;
        }
        Ok(())
    }
}

/// Which bytes of a write reach the disk that has lost power: all, none, or the sectors of some part.
fn survivors(length: usize, chance: &mut Chance) -> (usize, usize) {
    let sector = |chance: &mut Chance| chance.number((length / SECTOR) as u64 + 1) as usize * SECTOR;
    match chance.number(3) {
        0 => (0, 0),
        1 => (0, length),
        _ => {
            let (one, other) = (sector(chance), sector(chance));
            (one.min(other), one.max(other))
        }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Whatever still uses it: a test that fails must not leave it mounted.
        for place in [&self.place, &self.folder.path().join("served")] {
            drop(
                Command::new("umount").args(["--quiet", "--lazy"]).arg(place).stderr(Stdio::null()).status(),
            );
        }
    }
}

fn copy(from: &Path, to: &Path) {
    run(Command::new("cp").args(["--sparse=always", "--remove-destination"]).arg(from).arg(to));
}

fn run(command: &mut Command) {
    let output = command.output().expect("start a tool");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}
