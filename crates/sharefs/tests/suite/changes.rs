//! What the guest's kernel is told of the host's changes, and what it isn't told of its own.

use std::fs;
use std::io::Read;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use rustix::io::Errno;

use crate::guest::Guest;
use crate::mounted::Mounted;

const MODIFY: u32 = 0x2;
const CLOSE_WRITE: u32 = 0x8;
const MOVED_FROM: u32 = 0x40;
const MOVED_TO: u32 = 0x80;
pub(crate) const CREATE: u32 = 0x100;
const DELETE: u32 = 0x200;
pub(crate) const NAMES: u32 = MOVED_FROM | MOVED_TO | CREATE | DELETE;
const OF_FOLDER: u32 = 0x4000_0000;

/// One notification.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Told {
    Stale { node: u64 },
    StaleName { folder: u64, name: String },
    Event { folder: u64, child: u64, mask: u32, cookie: u32, name: String },
}

/// The kernel's end of the stream of changes.
pub(crate) struct Kernel<'g>(UnixStream, &'g Guest);

impl<'g> Kernel<'g> {
    /// Listens to the changes of a guest's folder, and waits until something is watched.
    pub(crate) fn of(guest: &'g Guest) -> Self {
        let (ours, theirs) = UnixStream::pair().unwrap();
        ours.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let server = Arc::clone(&guest.server);
        std::thread::spawn(move || server.tell_changes(theirs));
        let shared = guest.shared();
        fs::write(guest.path("probe"), "").unwrap();
        let deadline = Instant::now() + Duration::from_secs(5);
        while guest.entry(shared, "probe").unwrap().1 <= 1 {
            assert!(Instant::now() < deadline, "nothing is watched");
            std::thread::sleep(Duration::from_millis(1));
        }
        let mut kernel = Self(ours, guest);
        fs::write(guest.path("ready"), "").unwrap();
        while kernel.event("ready").1 != CLOSE_WRITE {}
        kernel
    }

    pub(crate) fn next(&mut self) -> Told {
        let mut header = [0; 16];
        self.0.read_exact(&mut header).unwrap();
        let word = |bytes: &[u8], at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
        assert_eq!(header[8..], [0; 8]);
        let mut body = vec![0; word(&header, 0) as usize - 16];
        self.0.read_exact(&mut body).unwrap();
        let long = |at: usize| u64::from_le_bytes(body[at..at + 8].try_into().unwrap());
        let name = |at: usize| String::from_utf8(body[at..body.len() - 1].to_vec()).unwrap();
        match word(&header, 4) {
            2 => Told::Stale { node: long(0) },
            3 => Told::StaleName { folder: long(0), name: name(16) },
            0x4001 => Told::Event {
                folder: long(0),
                child: long(8),
                mask: word(&body, 16),
                cookie: word(&body, 20),
                name: name(32),
            },
            // As the guest's init does.
            0x4002 => {
                let path = String::from_utf8(body).unwrap();
                let _ = self.1.look_up(self.1.shared(), path.strip_prefix("0/").unwrap());
                self.next()
            }
            other => panic!("message {other}"),
        }
    }

    /// The next event of a name, as (child, mask, cookie); what comes before is forgotten.
    pub(crate) fn event(&mut self, wanted: &str) -> (u64, u32, u32) {
        loop {
            if let Told::Event { child, mask, cookie, name, .. } = self.next()
                && name == wanted
            {
                return (child, mask, cookie);
            }
        }
    }

    /// Every event until one of this name, as (mask, name).
    pub(crate) fn events_until(&mut self, last: &str) -> Vec<(u32, String)> {
        let mut events = Vec::new();
        loop {
            if let Told::Event { mask, name, .. } = self.next() {
                let ended = name == last;
                events.push((mask, name));
                if ended {
                    return events;
                }
            }
        }
    }
}

#[test]
fn each_change_of_the_host_is_its_own_event() {
    let guest = Guest::new();
    let mut kernel = Kernel::of(&guest);
    let shared = guest.shared();
    fs::write(guest.path("a"), "text").unwrap();
    assert_eq!(kernel.event("a").1, CREATE);
    assert_eq!(kernel.event("a").1, MODIFY);
    assert_eq!(kernel.event("a").1, CLOSE_WRITE);
    let a = guest.look_up(shared, "a").unwrap();
    fs::rename(guest.path("a"), guest.path("b")).unwrap();
    let (from, to) = (kernel.event("a"), kernel.event("b"));
    assert_eq!((from.0, from.1, to.0, to.1), (a, MOVED_FROM, a, MOVED_TO));
    assert!(from.2 != 0 && from.2 == to.2);
    fs::remove_file(guest.path("b")).unwrap();
    let gone = kernel.event("b");
    assert_eq!((gone.0, gone.1), (a, DELETE));
    fs::create_dir(guest.path("d")).unwrap();
    assert_eq!(kernel.event("d").1, CREATE | OF_FOLDER);
}

#[test]
fn what_is_no_longer_so_is_told_before_the_event() {
    let guest = Guest::new();
    let mut kernel = Kernel::of(&guest);
    let probe = guest.look_up(guest.shared(), "probe").unwrap();
    fs::write(guest.path("probe"), "changed").unwrap();
    let mut before = Vec::new();
    loop {
        match kernel.next() {
            Told::Event { mask: MODIFY, child, .. } if child == probe => break,
            other => before.push(other),
        }
    }
    assert!(before.contains(&Told::Stale { node: probe }), "{before:?}");
    fs::remove_file(guest.path("probe")).unwrap();
    let told = Told::StaleName { folder: guest.shared(), name: "probe".to_owned() };
    while kernel.next() != told {}
}

#[test]
fn the_guests_own_changes_do_not_come_back() {
    let guest = Guest::new();
    let mut kernel = Kernel::of(&guest);
    let shared = guest.shared();
    let create = [&0o101u32.to_le_bytes()[..], &0o644u32.to_le_bytes(), &[0; 8], b"mine\0"].concat();
    let made = guest.ask(35, shared, &create).unwrap();
    let handle = &made[128..136];
    let write = [handle, &[0; 8], &4u32.to_le_bytes(), &[0; 20], b"text"].concat();
    guest.ask(16, u64::from_le_bytes(made[..8].try_into().unwrap()), &write).unwrap();
    guest.ask(18, shared, &[handle, &[0; 16]].concat()).unwrap();
    let rename = [&shared.to_le_bytes()[..], b"mine\0ours\0"].concat();
    guest.ask(12, shared, &rename).unwrap();
    guest.ask(10, shared, b"ours\0").unwrap();
    assert!(!guest.path("ours").exists());
    fs::write(guest.path("host"), "").unwrap();
    let events = kernel.events_until("host");
    assert_eq!(events, [(CREATE, "host".to_owned())]);
}

#[test]
fn a_change_of_the_host_after_the_guests_is_told() {
    let guest = Guest::new();
    let mut kernel = Kernel::of(&guest);
    let create = [&0o101u32.to_le_bytes()[..], &0o644u32.to_le_bytes(), &[0; 8], b"both\0"].concat();
    let made = guest.ask(35, guest.shared(), &create).unwrap();
    let node = u64::from_le_bytes(made[..8].try_into().unwrap());
    for _ in 0..20 {
        let write = [&made[128..136], &[0; 8], &4u32.to_le_bytes(), &[0; 20], b"text"].concat();
        guest.ask(16, node, &write).unwrap();
        let written = SystemTime::now();
        let clock = guest.folder.path().join("clock");
        while fs::write(&clock, "").and_then(|()| fs::metadata(&clock)?.modified()).unwrap() <= written {}
        fs::write(guest.path("both"), "changed").unwrap();
        assert_eq!(kernel.event("both").1, MODIFY);
        while kernel.event("both").1 != CLOSE_WRITE {}
    }
}

#[test]
fn what_nobody_watches_is_believed_for_a_second() {
    let guest = Guest::new();
    fs::write(guest.path("a"), "").unwrap();
    let shared = guest.shared();
    let (_, name, attributes) = guest.entry(shared, "a").unwrap();
    assert_eq!((name, attributes), (1, 1));
    let kernel = Kernel::of(&guest);
    let (_, name, attributes) = guest.entry(shared, "a").unwrap();
    assert!(name > 1 && attributes > 1);
    // A second name may be somewhere that nobody watches.
    fs::hard_link(guest.path("a"), guest.folder.path().join("elsewhere")).unwrap();
    assert_eq!(guest.entry(shared, "a").unwrap().2, 1);
    drop(kernel);
    let deadline = Instant::now() + Duration::from_secs(5);
    while guest.entry(shared, "a").unwrap().1 > 1 {
        assert!(Instant::now() < deadline, "believed although nobody listens");
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn that_a_name_leads_nowhere_is_believed_where_its_coming_is_told() {
    let guest = Guest::new();
    let shared = guest.shared();
    assert_eq!(guest.entry(shared, "a"), Err(Errno::NOENT));
    let mut kernel = Kernel::of(&guest);
    assert_eq!(guest.entry(shared, "a"), Ok((0, 1, 0)));
    fs::write(guest.path("a"), "").unwrap();
    let told = Told::StaleName { folder: shared, name: "a".to_owned() };
    while kernel.next() != told {}
}

#[test]
fn a_watched_mount_sees_the_hosts_changes_at_once() {
    let Some(share) = Mounted::watched() else { return };
    fs::write(share.host("a"), "old").unwrap();
    let deadline = Instant::now() + Duration::from_secs(5);
    let seen = |wanted: &[u8]| fs::read(share.guest("a")).is_ok_and(|content| content == wanted);
    for round in 0..50_u32 {
        let text = format!("round {round}");
        if round % 3 == 0 {
            fs::write(share.host("new"), &text).unwrap();
            fs::rename(share.host("new"), share.host("a")).unwrap();
        } else {
            fs::write(share.host("a"), &text).unwrap();
        }
        while !seen(text.as_bytes()) {
            assert!(Instant::now() < deadline, "{text} isn't seen");
            std::thread::sleep(Duration::from_millis(1));
        }
        let length = text.len() as u64;
        assert_eq!(fs::metadata(share.guest("a")).unwrap().len(), length);
    }
    fs::remove_file(share.host("a")).unwrap();
    while share.guest("a").exists() {
        assert!(Instant::now() < deadline, "a removed file is still there");
        std::thread::sleep(Duration::from_millis(1));
    }
}
