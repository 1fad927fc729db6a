//! What a container sees of its layers and what it changed, through a real overlay mount.

use std::fs;
use std::io::Read as _;
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::process::Command;

use berth_images::{ChangeKind, CommitOptions, Error};
use tar::EntryType;

use crate::fixture::{Layer, Place, busybox, names, need_root};

#[test]
fn programs_run_in_a_mounted_snapshot() {
    if !need_root() {
        return;
    }
    let place = Place::new();
    let image = place.image("busybox", &[busybox()]);
    let mounted = place.mounted("c1", &image);
    let output = Command::new("chroot")
        .arg(mounted.path(""))
        .args(["/bin/sh", "-c", "echo hello > /x; read line < /x; echo $line"])
        .output();
    assert_eq!(String::from_utf8(output.unwrap().stdout).unwrap(), "hello\n");
}

#[test]
fn whiteouts_and_opaque_folders_hide_what_lies_below() {
    if !need_root() {
        return;
    }
    let place = Place::new();
    let lower =
        Layer::new().folder("d/").file("d/gone", "1").file("d/kept", "2").folder("o/").file("o/old", "3");
    let upper =
        Layer::new().whiteout("d/", "gone").folder("o/").file("o/.wh..wh..opq", "").file("o/new", "4");
    let image = place.image("a", &[lower.done(), upper.done()]);
    let mounted = place.mounted("c1", &image);
    assert_eq!(names(&mounted.path("d")), ["kept"]);
    assert_eq!(names(&mounted.path("o")), ["new"]);
}

#[test]
fn a_folder_deleted_and_made_anew_in_one_layer_shows_nothing_old() {
    if !need_root() {
        return;
    }
    let place = Place::new();
    let lower = Layer::new().folder("d/").file("d/old", "1").done();
    let first = Layer::new().whiteout("", "d").folder("d/").file("d/new", "2").done();
    let last = Layer::new().folder("d/").file("d/new", "2").whiteout("", "d").done();
    let image = place.image("a", &[lower.clone(), first]);
    assert_eq!(names(&place.mounted("c1", &image).path("d")), ["new"]);
    let image = place.image("b", &[lower, last]);
    assert_eq!(names(&place.mounted("c2", &image).path("d")), ["new"]);
}

#[test]
fn every_attribute_of_a_file_arrives() {
    if !need_root() {
        return;
    }
    let place = Place::new();
    let capability = [1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 10];
    let long = "n".repeat(200);
    let path = format!("{long}/{long}");
    let layer = Layer::new()
        .pax(&[("mtime", b"1000000001.123456789")])
        .folder("d/")
        .pax(&[
            ("uid", b"70000"),
            ("gid", b"3"),
            ("mtime", b"-1.5"),
            ("SCHILY.xattr.security.capability", &capability),
        ])
        .file("d/f", "x")
        .hard_link("d/h", "/d/f")
        .symlink("d/s", "f")
        .entry(EntryType::Char, "d/null", "", b"")
        .entry(EntryType::Fifo, "d/pipe", "", b"")
        .pax(&[("path", path.as_bytes()), ("SCHILY.xattr.user.note", b"a\nb")])
        .file("short", "long");
    let image = place.image("a", &[layer.done()]);
    let mounted = place.mounted("c1", &image);
    let file = fs::metadata(mounted.path("d/f")).unwrap();
    assert_eq!((file.uid(), file.gid(), file.mtime(), file.mtime_nsec()), (70000, 3, -2, 500_000_000));
    assert_eq!(file.nlink(), 2);
    let folder = fs::metadata(mounted.path("d")).unwrap();
    assert_eq!((folder.mtime(), folder.mtime_nsec()), (1_000_000_001, 123_456_789));
    let mut value = [0; 64];
    let length = rustix::fs::getxattr(mounted.path("d/f"), "security.capability", &mut value[..]).unwrap();
    assert_eq!(&value[..length], capability);
    let length = rustix::fs::getxattr(mounted.path(&path), "user.note", &mut value[..]).unwrap();
    assert_eq!(&value[..length], b"a\nb");
    assert_eq!(fs::read_link(mounted.path("d/s")).unwrap().to_str(), Some("f"));
    let device = fs::metadata(mounted.path("d/null")).unwrap();
    assert!(device.file_type().is_char_device() && device.rdev() == rustix::fs::makedev(1, 3));
    assert!(fs::metadata(mounted.path("d/pipe")).unwrap().file_type().is_fifo());
    assert_eq!(mounted.read(&path), "long");
}

#[test]
fn more_than_a_hundred_layers_mount() {
    if !need_root() {
        return;
    }
    let place = Place::new();
    let layers: Vec<_> = (0..120)
        .map(|n| Layer::new().file(&format!("f{n}"), "x").file("top", &n.to_string()).done())
        .collect();
    let image = place.image("deep", &layers);
    let mounted = place.mounted("c1", &image);
    assert_eq!(mounted.read("top"), "119");
    // One file a layer, the one that each has, and the mark of a container.
    assert_eq!(names(&mounted.path("")).len(), 122);
}

#[test]
fn changes_are_what_docker_diff_shows() {
    if !need_root() {
        return;
    }
    let place = Place::new();
    let layer = Layer::new()
        .folder("etc/")
        .file("etc/conf", "1")
        .file("etc/gone", "2")
        .folder("var/")
        .file("var/x", "3");
    let image = place.image("a", &[layer.done()]);
    let mounted = place.mounted("c1", &image);
    fs::write(mounted.path("etc/conf"), "changed").unwrap();
    fs::remove_file(mounted.path("etc/gone")).unwrap();
    fs::create_dir(mounted.path("new")).unwrap();
    fs::write(mounted.path("new/file"), "12345").unwrap();
    fs::write(mounted.path("temporary"), "x").unwrap();
    fs::remove_file(mounted.path("temporary")).unwrap();
    let changes = place.store.changes("c1").unwrap();
    let shown: Vec<_> = changes.iter().map(|c| (c.kind, c.path.to_str().unwrap())).collect();
    assert_eq!(
        shown,
        [
            (ChangeKind::Modified, "/etc"),
            (ChangeKind::Modified, "/etc/conf"),
            (ChangeKind::Deleted, "/etc/gone"),
            (ChangeKind::Added, "/new"),
            (ChangeKind::Added, "/new/file"),
        ]
    );
    assert_eq!(place.store.snapshot_size("c1").unwrap(), 12);
}

#[test]
fn a_commit_shows_what_its_container_showed() {
    if !need_root() {
        return;
    }
    let place = Place::new();
    let layer = Layer::new().folder("d/").file("d/a", "1").file("d/b", "2").folder("o/").file("o/old", "3");
    let image = place.image("a", &[layer.done()]);
    let mounted = place.mounted("c1", &image);
    fs::remove_file(mounted.path("d/a")).unwrap();
    fs::write(mounted.path("d/b"), "changed").unwrap();
    fs::set_permissions(mounted.path("d/b"), PermissionsExt::from_mode(0o4755)).unwrap();
    fs::hard_link(mounted.path("d/b"), mounted.path("d/c")).unwrap();
    fs::remove_dir_all(mounted.path("o")).unwrap();
    fs::create_dir(mounted.path("o")).unwrap();
    fs::write(mounted.path("o/new"), "4").unwrap();
    drop(mounted);
    let options = CommitOptions { name: Some("b".parse().unwrap()), ..CommitOptions::default() };
    let id = place.store.commit("c1", &options).unwrap();

    let committed = place.store.image("b").unwrap();
    assert_eq!(committed.id, id);
    assert_eq!(committed.parent, Some(image.id));
    assert_eq!(committed.layers.len(), 2);
    assert!(String::from_utf8_lossy(&committed.config_json).contains("berth.unknown"));
    let mounted = place.mounted("c2", &committed);
    assert_eq!(names(&mounted.path("d")), ["b", "c"]);
    assert_eq!(names(&mounted.path("o")), ["new"]);
    let file = fs::metadata(mounted.path("d/b")).unwrap();
    assert_eq!((file.mode() & 0o7777, file.nlink()), (0o4755, 2));
}

#[test]
fn an_export_holds_the_whole_root() {
    if !need_root() {
        return;
    }
    let place = Place::new();
    let image = place.image("a", &[Layer::new().folder("d/").file("d/a", "1").done()]);
    let mounted = place.mounted("c1", &image);
    fs::write(mounted.path("d/b"), "2").unwrap();
    let mut archive = Vec::new();
    berth_images::export(fs::File::open(mounted.path("")).unwrap().as_fd(), &mut archive).unwrap();
    let paths: Vec<_> = tar::Archive::new(archive.as_slice())
        .entries()
        .unwrap()
        .map(|entry| entry.unwrap().path().unwrap().to_str().unwrap().to_owned())
        .collect();
    assert_eq!(paths, [".dockerenv", "d/", "d/a", "d/b"]);
}

#[test]
fn folders_of_many_files_are_whole_and_in_order_in_an_archive() {
    let root = tempfile::tempdir().unwrap();
    let content = |number: usize| vec![b'a' + (number % 26) as u8; number * 300];
    let mut expected = Vec::new();
    // Each in the one before, so that several are on their way at a time.
    let mut folder = std::path::PathBuf::new();
    for depth in 0..4 {
        for number in 0..150 {
            let path = folder.join(format!("{number:03}"));
            fs::write(root.path().join(&path), content(depth + number)).unwrap();
            expected.push((path, content(depth + number)));
        }
        folder.push("inner");
        fs::create_dir(root.path().join(&folder)).unwrap();
    }
    let mut archive = Vec::new();
    berth_images::export(fs::File::open(root.path()).unwrap().as_fd(), &mut archive).unwrap();
    let mut found = Vec::new();
    for entry in tar::Archive::new(archive.as_slice()).entries().unwrap() {
        let mut entry = entry.unwrap();
        if entry.header().entry_type() == EntryType::Regular {
            let (path, mut bytes) = (entry.path().unwrap().into_owned(), Vec::new());
            entry.read_to_end(&mut bytes).unwrap();
            found.push((path, bytes));
        }
    }
    assert!(found == expected, "{:?}", found.iter().map(|(path, _)| path).collect::<Vec<_>>());
}

#[test]
fn a_snapshot_lives_until_it_is_removed() {
    if !need_root() {
        return;
    }
    let place = Place::new();
    let image = place.image("a", &[Layer::new().file("a", "1").done()]);
    let mounted = place.mounted("c1", &image);
    assert!(matches!(place.store.prepare("c1", Some(&image.id)).unwrap_err(), Error::SnapshotExists(_)));
    assert!(matches!(place.store.prepare("../x", None).unwrap_err(), Error::InvalidSnapshotName(_)));
    drop(mounted);
    place.store.remove_snapshot("c1").unwrap();
    place.store.remove_snapshot("c1").unwrap();
    assert!(matches!(place.store.snapshot("c1").unwrap_err(), Error::NoSuchSnapshot(_)));
    assert!(names(&place.path("snapshots")).is_empty());
}

#[test]
fn an_empty_root_mounts() {
    if !need_root() {
        return;
    }
    let place = Place::new();
    place.store.prepare("c1", None).unwrap();
    let mounted = place.mount("c1");
    fs::write(mounted.path("a"), "1").unwrap();
    assert_eq!(place.store.changes("c1").unwrap().len(), 1);
}
