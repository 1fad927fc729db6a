//! Requests that no kernel sends: a guest that has its own says what it likes.

use std::fs;
use std::os::unix::fs::symlink;

use rustix::io::Errno;

use crate::guest::{Guest, ROOT};

const OPEN: u32 = 14;
const READ: u32 = 15;

#[test]
fn no_name_leads_out_of_the_share() {
    let guest = Guest::new();
    let shared = guest.shared();
    for name in [".", "..", "../secret", "/etc/passwd", "a/../../secret"] {
        assert_eq!(guest.look_up(shared, name).unwrap_err(), Errno::INVAL, "{name}");
        assert_eq!(guest.look_up(ROOT, name).unwrap_err(), Errno::INVAL, "{name}");
    }
    assert_eq!(guest.look_up(ROOT, "1").unwrap_err(), Errno::NOENT);
}

#[test]
fn a_link_is_followed_by_nothing_here() {
    let guest = Guest::new();
    symlink("../secret", guest.path("file")).unwrap();
    symlink("..", guest.path("folder")).unwrap();
    let shared = guest.shared();
    let (file, folder) = (guest.look_up(shared, "file").unwrap(), guest.look_up(shared, "folder").unwrap());
    assert_eq!(guest.ask(OPEN, file, &[0; 8]).unwrap_err(), Errno::LOOP);
    assert_eq!(guest.look_up(folder, "secret").unwrap_err(), Errno::NOTDIR);
    assert_eq!(guest.ask(27, folder, &[0; 8]).unwrap_err(), Errno::NOTDIR);
    // Creating "through" a dangling link doesn't make its target either.
    symlink("../made", guest.path("dangling")).unwrap();
    let create = [&[1, 0, 0, 0][..], &[0o244, 1, 0, 0], &[0; 8], b"dangling\0"].concat();
    assert!(guest.ask(35, shared, &create).is_err());
    assert!(!guest.folder.path().join("made").exists());
}

#[test]
fn a_folder_that_became_a_link_leads_nowhere() {
    let guest = Guest::new();
    fs::create_dir(guest.path("d")).unwrap();
    fs::write(guest.path("d/secret"), "ours").unwrap();
    let shared = guest.shared();
    let folder = guest.look_up(shared, "d").unwrap();
    let file = guest.look_up(folder, "secret").unwrap();
    // Enough others that the descriptors of these are closed.
    for n in 0..200 {
        fs::write(guest.path(&format!("f{n}")), "").unwrap();
        guest.look_up(shared, &format!("f{n}")).unwrap();
    }
    fs::rename(guest.path("d"), guest.path("old")).unwrap();
    symlink("..", guest.path("d")).unwrap();
    assert_eq!(guest.ask(OPEN, file, &[0; 8]).unwrap_err(), Errno::STALE);
    assert_eq!(guest.look_up(folder, "secret").unwrap_err(), Errno::STALE);
    // By its new name it is the same node again.
    assert_eq!(guest.look_up(shared, "old").unwrap(), folder);
    assert_eq!(guest.look_up(folder, "secret").unwrap(), file);
}

#[test]
fn many_known_files_are_few_descriptors() {
    let guest = Guest::new();
    let shared = guest.shared();
    let descriptors = || fs::read_dir("/proc/self/fd").unwrap().count();
    let before = descriptors();
    let nodes: Vec<u64> = (0..2000)
        .map(|n| {
            fs::write(guest.path(&format!("f{n}")), n.to_string()).unwrap();
            guest.look_up(shared, &format!("f{n}")).unwrap()
        })
        .collect();
    assert!(descriptors() < before + 200, "{} descriptors", descriptors());
    // Each can still be read, opened again by its name.
    let handle = guest.ask(OPEN, nodes[3], &[0; 8]).unwrap();
    let read = [&handle[..8], &0u64.to_le_bytes()[..], &100u32.to_le_bytes(), &[0; 20]].concat();
    assert_eq!(guest.ask(READ, nodes[3], &read).unwrap(), b"3");
}

#[test]
fn handles_are_bounded() {
    let guest = Guest::new();
    fs::write(guest.path("a"), "").unwrap();
    let file = guest.look_up(guest.shared(), "a").unwrap();
    let refused = (0..10_000).find_map(|_| guest.ask(OPEN, file, &[0; 8]).err());
    assert_eq!(refused, Some(Errno::NFILE));
}

#[test]
fn numbers_that_name_nothing_are_refused() {
    let guest = Guest::new();
    assert_eq!(guest.look_up(77, "a").unwrap_err(), Errno::STALE);
    assert_eq!(guest.ask(READ, ROOT, &[0xff; 40]).unwrap_err(), Errno::BADF);
    assert_eq!(guest.ask(3, 0, &[0; 16]).unwrap_err(), Errno::STALE);
    assert_eq!(guest.ask(63, ROOT, &[]).unwrap_err(), Errno::NOSYS);
    assert_eq!(guest.ask(39, ROOT, &[0; 32]).unwrap_err(), Errno::NOTTY);
}

#[test]
fn times_of_birth_are_not_served_so_that_no_look_takes_two_questions() {
    let guest = Guest::new();
    assert_eq!(guest.ask(52, guest.shared(), &[0; 24]).unwrap_err(), Errno::NOSYS);
}

#[test]
fn a_fifo_of_the_host_is_never_opened() {
    let guest = Guest::new();
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::mknodat(rustix::fs::CWD, guest.path("fifo"), rustix::fs::FileType::Fifo, mode, 0).unwrap();
    let fifo = guest.look_up(guest.shared(), "fifo").unwrap();
    assert_eq!(guest.ask(OPEN, fifo, &[0; 8]).unwrap_err(), Errno::NXIO);
}

#[test]
fn a_reply_never_exceeds_its_room() {
    let guest = Guest::new();
    let mut reply = Vec::new();
    let mut request = vec![0; 40];
    request[..8].copy_from_slice(&[40, 0, 0, 0, 17, 0, 0, 0]);
    for room in 0..200 {
        guest.server.answer_message(&request, room, &mut reply, &|| Box::new(|_| ()));
        assert!(reply.len() <= room, "{} bytes for {room}", reply.len());
    }
}
