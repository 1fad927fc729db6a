//! Folders that ignore case, which the guest's kernel never does.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::io::Errno;

use crate::changes::{CREATE, Kernel, NAMES, Told};
use crate::guest::Guest;
use crate::mounted::Mounted;
use crate::ntfs::Ntfs;

const UNLINK: u32 = 10;
const RENAME: u32 = 12;
const CREATE_FILE: u32 = 35;

/// Waits until nothing has this name; names are believed for longer than it waits.
fn until_gone(name: &Path) {
    let deadline = Instant::now() + Duration::from_secs(5);
    while fs::symlink_metadata(name).is_ok() {
        assert!(Instant::now() < deadline, "{} is still there", name.display());
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn what_a_container_makes_it_finds_by_every_spelling() {
    let Some(ntfs) = Ntfs::new() else { return };
    let Some(share) = Mounted::watched_of(ntfs.path()) else { return };
    assert!(!share.guest("foo").exists());
    fs::write(share.guest("FOO"), "text").unwrap();
    assert_eq!(fs::read(share.guest("foo")).unwrap(), b"text");
    fs::remove_file(share.guest("FOO")).unwrap();
    assert!(!share.guest("foo").exists());
    fs::write(share.guest("Foo"), "new").unwrap();
    assert_eq!(fs::read(share.guest("foo")).unwrap(), b"new");
    assert!(!share.guest("sub").exists());
    fs::create_dir(share.guest("Sub")).unwrap();
    assert!(share.guest("sub").is_dir(), "its absence was believed");
    fs::write(share.guest("sUB/a"), "text").unwrap();
    assert_eq!(fs::read(share.guest("SUB/A")).unwrap(), b"text");
    assert_eq!(fs::create_dir(share.guest("sub")).unwrap_err().kind(), ErrorKind::AlreadyExists);
}

#[test]
fn what_the_host_removes_is_gone_by_every_spelling() {
    let Some(ntfs) = Ntfs::new() else { return };
    let Some(share) = Mounted::watched_of(ntfs.path()) else { return };
    fs::create_dir(share.host("sub")).unwrap();
    fs::write(share.host("sub/foo"), "").unwrap();
    for name in ["sub/foo", "sub/FOO", "Sub/Foo", "SUB/foo"] {
        assert!(share.guest(name).exists(), "{name}");
    }
    fs::remove_file(share.host("sub/fOO")).unwrap();
    ["sub/foo", "Sub/Foo", "SUB/FOO", "sub/fOO"].iter().for_each(|name| until_gone(&share.guest(name)));
    fs::rename(share.host("SUB"), share.host("bar")).unwrap();
    ["sub", "Sub", "SUB"].iter().for_each(|name| until_gone(&share.guest(name)));
    assert!(share.guest("BAR").is_dir());
}

#[test]
fn what_a_container_removes_or_moves_is_gone_by_every_spelling() {
    let Some(ntfs) = Ntfs::new() else { return };
    let Some(share) = Mounted::watched_of(ntfs.path()) else { return };
    for name in ["foo", "bar", "new"] {
        fs::write(share.guest(name), name).unwrap();
    }
    fs::remove_file(share.guest("FOO")).unwrap();
    assert!(!share.guest("foo").exists());
    fs::rename(share.guest("BAR"), share.guest("baz")).unwrap();
    until_gone(&share.guest("bar"));
    assert_eq!(fs::read(share.guest("Baz")).unwrap(), b"bar");
    // What is replaced is replaced by every spelling.
    fs::rename(share.guest("new"), share.guest("BAZ")).unwrap();
    assert_eq!(fs::read(share.guest("baz")).unwrap(), b"new");
}

#[test]
fn only_case_is_changed_by_way_of_another_name() {
    let Some(ntfs) = Ntfs::new() else { return };
    let Some(share) = Mounted::watched_of(ntfs.path()) else { return };
    fs::write(share.guest("readme"), "text").unwrap();
    // Linux moves no file to where it is already.
    fs::rename(share.guest("readme"), share.guest("README")).unwrap();
    assert_eq!(fs::read(share.guest("readme")).unwrap(), b"text");
    fs::rename(share.guest("readme"), share.guest("other")).unwrap();
    fs::rename(share.guest("other"), share.guest("README")).unwrap();
    assert_eq!(fs::read(share.guest("README")).unwrap(), b"text");
    until_gone(&share.guest("OTHER"));
}

#[test]
fn a_change_by_another_spelling_is_told_of_the_name_that_is_believed() {
    let Some(ntfs) = Ntfs::new() else { return };
    let guest = Guest::of(tempfile::tempdir_in(ntfs.path()).unwrap());
    let mut kernel = Kernel::of(&guest);
    let shared = guest.shared();
    fs::write(guest.path("foo"), "").unwrap();
    let (node, valid, _) = guest.entry(shared, "Foo").unwrap();
    assert!(node > 0 && valid > 1);
    assert_eq!(guest.entry(shared, "FOO").unwrap().1, 0, "one spelling is believed");
    assert_eq!(guest.entry(shared, "foo").unwrap().0, node);
    assert!(guest.entry(shared, "Foo").unwrap().1 > 1);
    fs::write(guest.path("FOO"), "text").unwrap();
    while kernel.next() != (Told::Stale { node }) {}
    fs::remove_file(guest.path("foo")).unwrap();
    let told = Told::StaleName { folder: shared, name: "Foo".to_owned() };
    while kernel.next() != told {}
    assert_eq!(kernel.event("foo").0, node);
    assert_eq!(guest.entry(shared, "Foo"), Err(Errno::NOENT), "that it leads nowhere isn't believed");
}

#[test]
fn a_containers_own_changes_of_names_do_not_come_back_in_another_spelling() {
    let Some(ntfs) = Ntfs::new() else { return };
    let guest = Guest::of(tempfile::tempdir_in(ntfs.path()).unwrap());
    let mut kernel = Kernel::of(&guest);
    let shared = guest.shared();
    guest.look_up(shared, "PROBE").unwrap();
    let create = [&0o101u32.to_le_bytes()[..], &0o644u32.to_le_bytes(), &[0; 8], b"Mine\0"].concat();
    let made = guest.ask(CREATE_FILE, shared, &create).unwrap();
    guest.ask(18, shared, &[&made[128..136], &[0; 16]].concat()).unwrap();
    guest.ask(RENAME, shared, &[&shared.to_le_bytes()[..], b"mINE\0Ours\0"].concat()).unwrap();
    guest.ask(UNLINK, shared, b"OURS\0").unwrap();
    fs::write(guest.path("host"), "").unwrap();
    let mut stale = Vec::new();
    loop {
        match kernel.next() {
            // Those of files are told from the host's by their times, of which NTFS is not sure while a file is open.
            Told::Event { mask, .. } if mask & NAMES == 0 => {}
            Told::Event { mask, name, .. } => {
                assert_eq!((mask, name.as_str()), (CREATE, "host"));
                break;
            }
            Told::StaleName { name, .. } => stale.push(name),
            Told::Stale { .. } => {}
        }
    }
    for believed in ["Mine", "Ours"] {
        assert!(stale.iter().any(|name| name == believed), "{believed}: {stale:?}");
    }
}

#[test]
fn names_that_differ_in_case_are_told_apart_where_they_are_two() {
    let guest = Guest::new();
    let _kernel = Kernel::of(&guest);
    let shared = guest.shared();
    fs::create_dir(guest.path("d")).unwrap();
    fs::write(guest.path("d/readme"), "").unwrap();
    fs::hard_link(guest.path("d/readme"), guest.path("d/README")).unwrap();
    let folder = guest.look_up(shared, "d").unwrap();
    assert_eq!(guest.look_up(folder, "readme"), guest.look_up(folder, "README"));
    assert_eq!(guest.entry(folder, "gone"), Err(Errno::NOENT), "nothing has told yet whether case matters");
    fs::write(guest.path("d/other"), "").unwrap();
    assert!(guest.entry(folder, "other").unwrap().1 > 1);
    assert_eq!(guest.entry(folder, "OTHER"), Ok((0, 1, 0)));
    fs::remove_file(guest.path("d/readme")).unwrap();
    assert!(guest.look_up(folder, "README").is_ok());
    assert_eq!(guest.look_up(folder, "readme"), Err(Errno::NOENT));
}

#[test]
fn a_name_that_windows_cannot_have_is_refused_and_nothing_is_made_of_it() {
    let Some(ntfs) = Ntfs::new() else { return };
    let Some(share) = Mounted::watched_of(ntfs.path()) else { return };
    fs::write(share.guest("kept"), "text").unwrap();
    for name in ["kept:stream", "con", "Nul.txt", "end.", "end ", "what?", "a*b", "a<b", "back\\slash"] {
        let refused = [
            ("file", fs::write(share.guest(name), "other").unwrap_err()),
            ("folder", fs::create_dir(share.guest(name)).unwrap_err()),
            ("move", fs::rename(share.guest("kept"), share.guest(name)).unwrap_err()),
        ];
        for (what, error) in refused {
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{what} {name}: {error}");
        }
    }
    let names: Vec<_> = fs::read_dir(ntfs.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["kept"]);
    assert_eq!(fs::read(share.host("kept")).unwrap(), b"text");
}
