//! What programs of the host see of a guest: its changes raise their events, and it gets at nothing but what is shared.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;

use crate::guest::Guest;
use crate::mounted::Mounted;

const SET_ATTRIBUTES: u32 = 4;
const MAKE_FOLDER: u32 = 9;
const UNLINK: u32 = 10;
const RENAME: u32 = 12;
const OPEN: u32 = 14;
const READ: u32 = 15;
const RELEASE: u32 = 18;
const CREATE: u32 = 35;

/// What happens in a folder of the host from now on, as its programs hear it.
struct Watching(OwnedFd);

impl Watching {
    fn new(folder: &Path) -> Self {
        let watcher = inotify::init(CreateFlags::CLOEXEC).unwrap();
        let wanted = WatchFlags::CREATE
            | WatchFlags::MODIFY
            | WatchFlags::CLOSE_WRITE
            | WatchFlags::ATTRIB
            | WatchFlags::MOVE
            | WatchFlags::DELETE;
        inotify::add_watch(&watcher, folder, wanted).unwrap();
        Self(watcher)
    }

    /// Everything until this happens: what, of which name, and the cookie. Nothing may follow before the next call.
    fn until(&self, last: (ReadFlags, &str)) -> Vec<(ReadFlags, String, u32)> {
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let (mut reader, mut events) = (Reader::new(&self.0, &mut buffer), Vec::new());
        loop {
            let event = reader.next().unwrap();
            let name = event.file_name().unwrap().to_str().unwrap().to_owned();
            let ended = (event.events(), name.as_str()) == last;
            events.push((event.events(), name, event.cookie()));
            if ended {
                return events;
            }
        }
    }
}

#[test]
fn a_guests_changes_raise_the_hosts_events() {
    let Some(share) = Mounted::new() else { return };
    let host = Watching::new(&share.host(""));
    fs::write(share.guest("a"), "text").unwrap();
    // The guest's kernel waits for no answer to that a file is closed: what comes next may overtake it.
    let mut events = host.until((ReadFlags::CLOSE_WRITE, "a"));
    fs::set_permissions(share.guest("a"), Permissions::from_mode(0o600)).unwrap();
    fs::rename(share.guest("a"), share.guest("b")).unwrap();
    fs::create_dir(share.guest("d")).unwrap();
    fs::remove_file(share.guest("b")).unwrap();
    events.extend(host.until((ReadFlags::DELETE, "b")));
    let kinds: Vec<(ReadFlags, &str)> = events.iter().map(|(kind, name, _)| (*kind, name.as_str())).collect();
    let expected = [
        (ReadFlags::CREATE, "a"),
        (ReadFlags::MODIFY, "a"),
        (ReadFlags::CLOSE_WRITE, "a"),
        (ReadFlags::ATTRIB, "a"),
        (ReadFlags::MOVED_FROM, "a"),
        (ReadFlags::MOVED_TO, "b"),
        (ReadFlags::CREATE | ReadFlags::ISDIR, "d"),
        (ReadFlags::DELETE, "b"),
    ];
    assert_eq!(kinds, expected);
    assert!(events[4].2 != 0 && events[4].2 == events[5].2, "both halves of the move have its cookie");
}

/// A guest that works in `d`, which is a folder at one moment and a link to the outside at the next.
struct Racing<'g> {
    guest: &'g Guest,
    shared: u64,
    as_folder: usize,
    as_link: usize,
}

impl Racing<'_> {
    /// Does everything that a guest can do to a folder, to what `d` is now, and with what it knew of it before.
    fn round(&mut self, number: usize, before: u64) -> u64 {
        let guest = self.guest;
        let folder = guest.look_up(self.shared, "d").unwrap();
        for folder in [folder, before] {
            match self.read_secret(folder) {
                Ok(content) => {
                    assert_eq!(content, b"inside");
                    self.as_folder += 1;
                }
                Err(_) => self.as_link += 1,
            }
            self.change_in(folder, number);
        }
        // So many others that the server keeps neither of them open.
        for filler in 0..40 {
            guest.look_up(self.shared, &format!("filler{filler}")).unwrap();
        }
        folder
    }

    fn read_secret(&self, folder: u64) -> Result<Vec<u8>, Errno> {
        let file = self.guest.look_up(folder, "secret")?;
        let handle = self.guest.ask(OPEN, file, &[0; 8])?[..8].to_vec();
        let read = [&handle[..], &[0; 8], &100u32.to_le_bytes(), &[0; 20]].concat();
        let content = self.guest.ask(READ, file, &read);
        self.guest.ask(RELEASE, file, &[&handle[..], &[0; 16]].concat())?;
        content
    }

    /// What fails, fails.
    fn change_in(&self, folder: u64, number: usize) {
        let ask = |opcode: u32, node: u64, body: &[u8]| drop(self.guest.ask(opcode, node, body));
        let name = |name: &str| format!("{name}{number}\0").into_bytes();
        let create = [&0o1101u32.to_le_bytes()[..], &0o666u32.to_le_bytes(), &[0; 8]].concat();
        if let Ok(made) = self.guest.ask(CREATE, folder, &[&create[..], &name("made")].concat()) {
            ask(RELEASE, folder, &[&made[128..136], &[0; 16]].concat());
        }
        if let Ok(made) = self.guest.ask(CREATE, folder, &[&create[..], b"untouched\0"].concat()) {
            ask(RELEASE, folder, &[&made[128..136], &[0; 16]].concat());
        }
        ask(MAKE_FOLDER, folder, &[&0o777u32.to_le_bytes()[..], &[0; 4], &name("folder")].concat());
        let renamed = [&folder.to_le_bytes()[..], &name("made"), &name("moved")].concat();
        ask(RENAME, folder, &renamed);
        ask(UNLINK, folder, &name("moved"));
        ask(UNLINK, folder, b"removable\0");
        // Open to everybody.
        let mut change = [0; 88];
        change[0] = 1;
        change[68..72].copy_from_slice(&0o777u32.to_le_bytes());
        ask(SET_ATTRIBUTES, folder, &change);
    }
}

/// Names, permissions, sizes and times of what is in a folder, and its own.
fn seen(folder: &Path) -> BTreeMap<String, (u32, u64, i64, i64)> {
    let of = |path: &Path| {
        let status = fs::symlink_metadata(path).unwrap();
        (status.mode(), status.size(), status.mtime(), status.ctime_nsec())
    };
    let entries = fs::read_dir(folder).unwrap().map(Result::unwrap);
    let inside = entries.map(|entry| (entry.file_name().into_string().unwrap(), of(&entry.path())));
    inside.chain([(".".to_owned(), of(folder))]).collect()
}

#[test]
fn nothing_outside_is_reached_while_the_host_swaps_a_folder_for_a_link() {
    const ROUNDS: usize = 600;
    let guest = Guest::new();
    let outside = guest.folder.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::create_dir(guest.path("d")).unwrap();
    for name in ["secret", "untouched", "removable"] {
        fs::write(outside.join(name), "outside").unwrap();
    }
    fs::write(guest.path("d/secret"), "inside").unwrap();
    for filler in 0..40 {
        fs::write(guest.path(&format!("filler{filler}")), "").unwrap();
    }
    symlink(&outside, guest.path("link")).unwrap();
    let before = seen(&outside);
    let mut racing = Racing { guest: &guest, shared: guest.shared(), as_folder: 0, as_link: 0 };
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let (folder, link) = (guest.path("d"), guest.path("link"));
            while !done.load(Ordering::Relaxed) {
                renameat_with(CWD, &folder, CWD, &link, RenameFlags::EXCHANGE).unwrap();
            }
        });
        let mut known = racing.shared;
        let finished = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for number in 0..ROUNDS {
                known = racing.round(number, known);
            }
        }));
        done.store(true, Ordering::Relaxed);
        finished.unwrap();
    });
    assert_eq!(seen(&outside), before);
    assert!(racing.as_folder > 10 && racing.as_link > 10, "{} {}", racing.as_folder, racing.as_link);
}
