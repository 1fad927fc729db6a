//! Folders, links and what moves names.

use std::collections::BTreeSet;
use std::ffi::CString;
use std::fs::{self, File};
use std::os::unix::fs::{FileTypeExt, MetadataExt, symlink};

use rustix::fs::{CWD, Dir, FileType, Mode, RenameFlags, XattrFlags, mknodat, renameat_with};
use rustix::io::Errno;

use crate::mounted::Mounted;

#[test]
fn the_root_lists_the_shares_and_takes_nothing() {
    let Some(share) = Mounted::watched() else { return };
    let names: Vec<_> = fs::read_dir(share.root()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["0"]);
    for refused in [File::create(share.root().join("x")).map(drop), fs::create_dir(share.root().join("y"))] {
        assert_eq!(refused.unwrap_err().raw_os_error(), Some(Errno::PERM.raw_os_error()));
    }
    fs::remove_dir(share.root().join("0")).unwrap_err();
}

#[test]
fn a_long_folder_is_listed_whole() {
    let Some(share) = Mounted::watched() else { return };
    let names: BTreeSet<String> = (0..3000).map(|n| format!("file-with-a-long-name-{n}")).collect();
    fs::create_dir(share.guest("d")).unwrap();
    for name in &names {
        File::create(share.host("d").join(name)).unwrap();
    }
    let listed = fs::read_dir(share.guest("d")).unwrap();
    let listed: Vec<String> = listed.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(listed.len(), names.len());
    assert_eq!(listed.into_iter().collect::<BTreeSet<_>>(), names);
    fs::remove_dir(share.guest("d")).unwrap_err();
    fs::remove_dir_all(share.guest("d")).unwrap();
    assert!(!share.host("d").exists());
}

#[test]
fn a_list_is_read_again_from_any_place() {
    let Some(share) = Mounted::watched() else { return };
    fs::create_dir(share.guest("d")).unwrap();
    for n in 0..500 {
        File::create(share.host("d").join(format!("file-{n}"))).unwrap();
    }
    let mut list = Dir::new(File::open(share.guest("d")).unwrap()).unwrap();
    let all = rest(&mut list);
    assert_eq!(all.len(), 502);
    for place in [150, 30, 149, 500, 0] {
        list.seek(all[place].0).unwrap();
        assert_eq!(rest(&mut list), all[place + 1..], "after entry {place}");
    }
    File::create(share.host("d/new")).unwrap();
    list.rewind();
    assert!(rest(&mut list).iter().any(|(_, name)| name.as_c_str() == c"new"));
}

/// The entries from here on, each with the place after it.
fn rest(list: &mut Dir) -> Vec<(i64, CString)> {
    let entries = list.by_ref().map(|entry| entry.expect("an entry"));
    entries.map(|entry| (entry.offset(), entry.file_name().into())).collect()
}

#[test]
fn a_link_is_itself_and_leads_where_it_says() {
    let Some(share) = Mounted::watched() else { return };
    symlink("target/of/it", share.guest("link")).unwrap();
    assert_eq!(fs::read_link(share.host("link")).unwrap().to_str(), Some("target/of/it"));
    assert_eq!(fs::read_link(share.guest("link")).unwrap().to_str(), Some("target/of/it"));
    assert!(fs::symlink_metadata(share.guest("link")).unwrap().is_symlink());
    fs::create_dir_all(share.guest("target/of")).unwrap();
    fs::write(share.guest("target/of/it"), "text").unwrap();
    assert_eq!(fs::read(share.guest("link")).unwrap(), b"text");
}

#[test]
fn two_names_are_one_file() {
    let Some(share) = Mounted::watched() else { return };
    fs::write(share.guest("a"), "text").unwrap();
    fs::hard_link(share.guest("a"), share.guest("b")).unwrap();
    let (a, b) = (fs::metadata(share.guest("a")).unwrap(), fs::metadata(share.guest("b")).unwrap());
    assert_eq!((a.ino(), b.nlink()), (b.ino(), 2));
    fs::remove_file(share.guest("a")).unwrap();
    assert_eq!(fs::read(share.guest("b")).unwrap(), b"text");
    assert_eq!(fs::metadata(share.host("b")).unwrap().nlink(), 1);
}

#[test]
fn renames_replace_refuse_and_swap_as_asked() {
    let Some(share) = Mounted::watched() else { return };
    fs::create_dir(share.guest("d")).unwrap();
    fs::write(share.guest("a"), "a").unwrap();
    fs::write(share.guest("d/b"), "b").unwrap();
    let (a, b) = (share.guest("a"), share.guest("d/b"));
    let with = |flags| renameat_with(CWD, &a, CWD, &b, flags);
    assert_eq!(with(RenameFlags::NOREPLACE).unwrap_err(), Errno::EXIST);
    with(RenameFlags::EXCHANGE).unwrap();
    assert_eq!((fs::read(&a).unwrap(), fs::read(&b).unwrap()), (b"b".to_vec(), b"a".to_vec()));
    assert_eq!(with(RenameFlags::WHITEOUT).unwrap_err(), Errno::INVAL);
    with(RenameFlags::empty()).unwrap();
    assert_eq!(fs::read(share.host("d/b")).unwrap(), b"b");
    assert!(!share.host("a").exists());
    fs::rename(share.guest("d"), share.guest("e")).unwrap();
    assert_eq!(fs::read(share.guest("e/b")).unwrap(), b"b");
}

#[test]
fn fifos_are_made_and_devices_refused() {
    let Some(share) = Mounted::watched() else { return };
    let mode = Mode::from_raw_mode(0o600);
    mknodat(CWD, share.guest("fifo"), FileType::Fifo, mode, 0).unwrap();
    assert!(fs::metadata(share.host("fifo")).unwrap().file_type().is_fifo());
    let device = rustix::fs::makedev(1, 3);
    let refused = mknodat(CWD, share.guest("null"), FileType::CharacterDevice, mode, device);
    assert_eq!(refused.unwrap_err(), Errno::PERM);
}

#[test]
fn attributes_of_users_are_kept_and_others_refused() {
    let Some(share) = Mounted::watched() else { return };
    let file = share.guest("a");
    fs::write(&file, "").unwrap();
    rustix::fs::setxattr(&file, "user.colour", b"blue", XattrFlags::CREATE).unwrap();
    let mut value = [0; 16];
    let length = rustix::fs::getxattr(share.host("a"), "user.colour", &mut value).unwrap();
    assert_eq!(&value[..length], b"blue");
    assert_eq!(
        rustix::fs::setxattr(&file, "user.colour", b"x", XattrFlags::CREATE).unwrap_err(),
        Errno::EXIST
    );
    let names = |path| {
        let mut names = [0; 256];
        let length = rustix::fs::listxattr(path, &mut names).unwrap();
        String::from_utf8(names[..length].to_vec()).unwrap()
    };
    assert_eq!(names(&file), "user.colour\0");
    for name in ["trusted.overlay.opaque", "security.capability", "user.berth.owner"] {
        rustix::fs::setxattr(&file, name, b"x", XattrFlags::empty()).unwrap_err();
    }
    rustix::fs::removexattr(&file, "user.colour").unwrap();
    assert_eq!(names(&share.host("a")), "");
}
