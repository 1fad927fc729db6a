//! Changes and watches that are lost: what the guest's kernel is told then, and for how long it may believe what.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use crate::changes::{CREATE, Kernel, Told};
use crate::guest::Guest;
use crate::sys;

const GET_ATTRIBUTES: u32 = 3;

/// For how many seconds attributes may be believed that are asked for by number: nothing is looked at by name.
fn attributes_valid(guest: &Guest, node: u64) -> u64 {
    let reply = guest.ask(GET_ATTRIBUTES, node, &[0; 16]).unwrap();
    u64::from_le_bytes(reply[..8].try_into().unwrap())
}

/// Reads until all of this was told, in any order.
fn until_told(kernel: &mut Kernel<'_>, mut wanted: Vec<Told>) {
    while !wanted.is_empty() {
        let told = kernel.next();
        wanted.retain(|one| *one != told);
    }
}

#[test]
fn when_changes_were_lost_everything_is_taken_back_and_watched_anew() {
    let guest = Guest::new();
    let mut kernel = Kernel::of(&guest);
    let (shared, files) = (guest.shared(), ["a", "b"].map(|name| guest.path(name)));
    for name in ["a", "b"] {
        fs::write(guest.path(name), "").unwrap();
        guest.look_up(shared, name).unwrap();
    }
    let probe = guest.look_up(shared, "probe").unwrap();
    assert!(attributes_valid(&guest, probe) > 1);
    // Nobody reads what is told, so that the host's queue fills up: it merges what is the same as the last event.
    let kept = fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").unwrap();
    for _ in 0..2 * kept.trim().parse::<usize>().unwrap() {
        files.iter().for_each(|file| fs::set_permissions(file, Permissions::from_mode(0o600)).unwrap());
    }
    let taken_back = vec![
        Told::StaleName { folder: crate::guest::ROOT, name: "0".to_owned() },
        Told::StaleName { folder: shared, name: "probe".to_owned() },
        Told::Stale { node: probe },
    ];
    until_told(&mut kernel, taken_back);
    assert_eq!(attributes_valid(&guest, probe), 1);
    let (_, name, attributes) = guest.entry(shared, "probe").unwrap();
    assert!(name > 1 && attributes > 1, "it was looked at again: {name} {attributes}");
    // What still came of before isn't taken for something new.
    fs::write(guest.path("after"), "").unwrap();
    assert_eq!(kernel.events_until("after"), [(CREATE, "after".to_owned())]);
}

#[test]
fn a_folder_whose_watch_is_lost_is_believed_for_a_second_until_it_is_looked_at() {
    let guest = Guest::new();
    fs::create_dir(guest.path("d")).unwrap();
    fs::write(guest.path("d/file"), "").unwrap();
    let mut kernel = Kernel::of(&guest);
    let shared = guest.shared();
    let folder = guest.look_up(shared, "d").unwrap();
    let file = guest.look_up(folder, "file").unwrap();
    assert!(attributes_valid(&guest, folder) > 1 && attributes_valid(&guest, file) > 1);
    sys::end_watch(&guest.path("d"));
    let taken_back = vec![
        Told::Stale { node: folder },
        Told::StaleName { folder, name: "file".to_owned() },
        Told::Stale { node: file },
    ];
    until_told(&mut kernel, taken_back);
    assert_eq!((attributes_valid(&guest, folder), attributes_valid(&guest, file)), (1, 1));
    let probe = guest.look_up(shared, "probe").unwrap();
    assert!(attributes_valid(&guest, probe) > 1, "other folders are watched as before");
    let (_, name, attributes) = guest.entry(folder, "file").unwrap();
    assert!(name > 1 && attributes > 1);
    fs::write(guest.path("d/new"), "").unwrap();
    assert_eq!(kernel.event("new").1, CREATE);
}

#[test]
fn when_nothing_can_be_watched_any_longer_nothing_is_believed_for_long() {
    let guest = Guest::new();
    let mut kernel = Kernel::of(&guest);
    let shared = guest.shared();
    let probe = guest.look_up(shared, "probe").unwrap();
    sys::break_watcher(&guest.path(""));
    // Wakes who waits for the next event.
    fs::write(guest.path("last"), "").unwrap();
    let taken_back =
        vec![Told::StaleName { folder: shared, name: "probe".to_owned() }, Told::Stale { node: probe }];
    until_told(&mut kernel, taken_back);
    assert_eq!(attributes_valid(&guest, probe), 1);
    assert_eq!(guest.entry(shared, "probe"), Ok((probe, 1, 1)));
}
