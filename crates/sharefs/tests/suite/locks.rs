//! Locks: those of the guest's programs and those of the host's exclude each other.
//!
//! This process is both: a file's path through the mount is the guest's, the other one the host's.

use std::fs::{self, File, TryLockError};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::io::Errno;

use crate::guest::Guest;
use crate::mounted::Mounted;
use crate::sys::{Locking, NONE, READ, WRITE, lock};

const ALL: (i64, i64) = (0, 0);

fn guest(share: &Mounted) -> File {
    File::options().read(true).write(true).create(true).truncate(false).open(share.guest("a")).unwrap()
}

fn host(share: &Mounted) -> File {
    File::options().read(true).write(true).create(true).truncate(false).open(share.host("a")).unwrap()
}

fn is_refused(locked: std::io::Result<crate::sys::Range>) -> bool {
    locked.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock)
}

fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !is_so() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn ranges_exclude_each_other_across_the_mount() {
    let Some(share) = Mounted::watched() else { return };
    let (guest, host) = (guest(&share), host(&share));
    lock(&guest, Locking::Process, WRITE, (10, 10)).unwrap();
    assert!(is_refused(lock(&host, Locking::File, READ, (19, 1))));
    lock(&host, Locking::File, WRITE, (20, 0)).unwrap();
    assert!(is_refused(lock(&guest, Locking::Process, WRITE, (25, 1))));
    lock(&guest, Locking::Process, NONE, (10, 5)).unwrap();
    lock(&host, Locking::File, WRITE, (10, 5)).unwrap();
    assert!(is_refused(lock(&host, Locking::File, WRITE, (14, 2))));
}

#[test]
fn readers_share_and_are_told_of_by_range() {
    let Some(share) = Mounted::watched() else { return };
    let (guest, host) = (guest(&share), host(&share));
    lock(&host, Locking::File, READ, (5, 3)).unwrap();
    lock(&guest, Locking::Process, READ, ALL).unwrap();
    let other = self::guest(&share);
    let found = lock(&other, Locking::GetOfFile, WRITE, (5, 1)).unwrap();
    assert_eq!(found.kind, READ);
    lock(&guest, Locking::Process, NONE, ALL).unwrap();
    let found = lock(&other, Locking::GetOfFile, WRITE, ALL).unwrap();
    assert_eq!((found.kind, found.start, found.length), (READ, 5, 3));
    assert_eq!(lock(&other, Locking::GetOfFile, READ, ALL).unwrap().kind, NONE);
}

#[test]
fn whole_files_exclude_each_other_across_the_mount() {
    let Some(share) = Mounted::watched() else { return };
    let (guest, host) = (guest(&share), host(&share));
    guest.lock().unwrap();
    assert!(matches!(host.try_lock_shared(), Err(TryLockError::WouldBlock)));
    guest.unlock().unwrap();
    host.lock_shared().unwrap();
    guest.lock_shared().unwrap();
    assert!(matches!(guest.try_lock(), Err(TryLockError::WouldBlock)));
    host.unlock().unwrap();
    guest.try_lock().unwrap();
}

#[test]
fn locks_hold_between_programs_of_the_guest() {
    let Some(share) = Mounted::watched() else { return };
    let (one, other) = (guest(&share), guest(&share));
    lock(&one, Locking::File, WRITE, ALL).unwrap();
    assert!(is_refused(lock(&other, Locking::File, WRITE, (7, 1))));
    one.lock().unwrap();
    assert!(matches!(other.try_lock(), Err(TryLockError::WouldBlock)));
    drop(one);
    until("a lock outlives its file", || lock(&other, Locking::File, WRITE, ALL).is_ok());
    other.lock().unwrap();
}

#[test]
fn locks_end_with_the_guests_file_and_with_the_guest() {
    let Some(share) = Mounted::new() else { return };
    let host = host(&share);
    let first = guest(&share);
    first.lock().unwrap();
    lock(&first, Locking::Process, WRITE, ALL).unwrap();
    drop(first);
    until("a lock outlives its file", || {
        host.try_lock().is_ok() && lock(&host, Locking::File, WRITE, ALL).is_ok()
    });
    host.unlock().unwrap();
    lock(&host, Locking::File, NONE, ALL).unwrap();
    let second = guest(&share);
    second.lock().unwrap();
    lock(&second, Locking::Process, WRITE, ALL).unwrap();
    drop((share, second));
    until("a lock outlives the guest", || {
        host.try_lock().is_ok() && lock(&host, Locking::File, WRITE, ALL).is_ok()
    });
}

#[test]
fn who_waits_has_it_when_it_is_given_back() {
    let Some(share) = Mounted::watched() else { return };
    let (guest, host) = (guest(&share), host(&share));
    let other = self::guest(&share);
    lock(&host, Locking::File, WRITE, ALL).unwrap();
    std::thread::scope(|scope| {
        let waits = scope.spawn(|| lock(&guest, Locking::FileAndWait, WRITE, (3, 4)).unwrap());
        // The mount serves everybody else meanwhile.
        fs::write(share.guest("b"), "text").unwrap();
        assert!(!waits.is_finished());
        lock(&host, Locking::File, NONE, ALL).unwrap();
        waits.join().unwrap();
        let waits = scope.spawn(|| lock(&other, Locking::FileAndWait, WRITE, ALL).unwrap());
        assert!(is_refused(lock(&host, Locking::File, READ, (3, 1))));
        assert!(!waits.is_finished());
        lock(&guest, Locking::File, NONE, ALL).unwrap();
        waits.join().unwrap();
    });
    assert!(is_refused(lock(&host, Locking::File, READ, (100, 1))));
}

#[test]
fn who_is_killed_waits_no_longer_and_has_nothing() {
    let Some(share) = Mounted::watched() else { return };
    let host = host(&share);
    host.lock().unwrap();
    let mut waits = flock(&share);
    // It has opened the file when the host's kernel says so; whether it waits already makes no difference.
    until("the lock isn't asked for", || is_waiting(&waits));
    waits.kill().unwrap();
    until("a killed program waits for a lock", || waits.try_wait().unwrap().is_some());
    host.unlock().unwrap();
    until("a killed program has a lock", || host.try_lock().is_ok());
}

/// A program of the guest's that locks the file for ever.
fn flock(share: &Mounted) -> Child {
    let mut flock = Command::new("flock");
    flock.arg(share.guest("a")).args(["sleep", "1000"]).stdin(Stdio::null()).spawn().unwrap()
}

/// Whether a program sleeps in a system call on its file, rather than on anything before.
fn is_waiting(program: &Child) -> bool {
    let at = |name: &str| fs::read_to_string(format!("/proc/{}/{name}", program.id())).unwrap_or_default();
    // 73 is flock on x86-64, 32 where numbers are generic.
    matches!(at("syscall").split(' ').next(), Some("73" | "32"))
}

/// A guest's request about a lock of everything, through a handle.
fn asks_for(handle: u64, owner: u64, kind: u64) -> Vec<u8> {
    [handle, owner, 0, i64::MAX.cast_unsigned(), kind, 0].map(u64::to_le_bytes).concat()
}

fn handle_of(guest: &Guest, name: &str) -> (u64, u64) {
    fs::write(guest.path(name), "").unwrap();
    let node = guest.look_up(guest.shared(), name).unwrap();
    let reply = guest.ask(14, node, &[2, 0, 0, 0, 0, 0, 0, 0]).unwrap();
    (node, u64::from_le_bytes(reply[..8].try_into().unwrap()))
}

#[test]
fn closing_is_told_of_files_with_locks_alone_and_ends_them() {
    let guest = Guest::new();
    let (node, handle) = handle_of(&guest, "a");
    let flush = |owner: u64| guest.ask(25, node, &[handle, 0, owner].map(u64::to_le_bytes).concat());
    assert_eq!(flush(1), Err(Errno::NOSYS));
    guest.ask(32, node, &asks_for(handle, 1, 1)).unwrap();
    let host = File::options().write(true).open(guest.path("a")).unwrap();
    assert_eq!(flush(2), Err(Errno::NOSYS));
    assert!(is_refused(lock(&host, Locking::File, WRITE, ALL)));
    flush(1).unwrap();
    lock(&host, Locking::File, WRITE, ALL).unwrap();
}

#[test]
fn an_interruption_that_overtakes_its_request_counts() {
    let guest = Guest::new();
    let (node, handle) = handle_of(&guest, "a");
    let host = File::options().write(true).open(guest.path("a")).unwrap();
    lock(&host, Locking::File, WRITE, ALL).unwrap();
    // Every request of this guest has the number nine.
    guest.ask(36, 0, &9u64.to_le_bytes()).unwrap();
    assert_eq!(guest.ask(33, node, &asks_for(handle, 1, 1)), Err(Errno::INTR));
    assert_eq!(guest.ask(32, node, &asks_for(handle, 1, 1)), Err(Errno::AGAIN));
}

#[test]
fn a_lock_of_an_unknown_kind_is_refused() {
    let guest = Guest::new();
    let (node, handle) = handle_of(&guest, "a");
    assert_eq!(guest.ask(32, node, &asks_for(handle, 1, 9)), Err(Errno::INVAL));
    assert_eq!(guest.ask(32, node, &asks_for(77, 1, 1)), Err(Errno::BADF));
}
