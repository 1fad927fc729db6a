//! Whose files are, and what that allows.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, chown};

use crate::mounted::{Mounted, as_user};

const ANN: u32 = 1000;
const BEN: u32 = 2000;

#[test]
fn the_sharing_users_files_are_the_askers() {
    let Some(share) = Mounted::watched() else { return };
    open_to_all(&share);
    fs::write(share.host("a"), "text").unwrap();
    fs::set_permissions(share.host("a"), Permissions::from_mode(0o600)).unwrap();
    let (path, fresh) = (share.guest("a"), share.guest("new"));
    as_user(ANN, || {
        let about = fs::metadata(&path).unwrap();
        assert_eq!((about.uid(), about.gid(), about.mode() & 0o777), (ANN, ANN, 0o600));
        fs::write(&path, "written by ann").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        File::create(&fresh).unwrap();
    });
    // As a second user of the same file, which no cached answer to the first one keeps out.
    as_user(BEN, || fs::write(&path, "written by ben").unwrap());
    assert_eq!(fs::read(share.host("a")).unwrap(), b"written by ben");
    let host = fs::metadata(share.host("a")).unwrap();
    assert_eq!((host.uid(), host.mode() & 0o777), (0, 0o640));
    assert_eq!(fs::metadata(share.host("new")).unwrap().uid(), 0);
}

#[test]
fn a_changed_owner_is_remembered_and_the_hosts_stays() {
    let Some(share) = Mounted::watched() else { return };
    open_to_all(&share);
    fs::write(share.guest("a"), "text").unwrap();
    fs::set_permissions(share.guest("a"), Permissions::from_mode(0o600)).unwrap();
    chown(share.guest("a"), Some(ANN), Some(BEN)).unwrap();
    let about = fs::metadata(share.guest("a")).unwrap();
    assert_eq!((about.uid(), about.gid()), (ANN, BEN));
    let host = fs::metadata(share.host("a")).unwrap();
    assert_eq!((host.uid(), host.gid()), (0, 0));
    let path = share.guest("a");
    as_user(ANN, || assert_eq!(fs::read(&path).unwrap(), b"text"));
    as_user(BEN, || fs::read(&path).unwrap_err());
    as_user(BEN, || chown(&path, Some(BEN), None).unwrap_err());
    chown(share.guest("a"), None, Some(ANN)).unwrap();
    let about = fs::metadata(share.guest("a")).unwrap();
    assert_eq!((about.uid(), about.gid()), (ANN, ANN));
}

#[test]
fn an_owner_that_the_host_restores_is_seen_at_the_first_look() {
    let Some(share) = Mounted::watched() else { return };
    for name in ["a", "b", "listed"] {
        fs::write(share.host(name), "text").unwrap();
        let owner = format!("{ANN}:{BEN}");
        let flags = rustix::fs::XattrFlags::empty();
        rustix::fs::setxattr(share.host(name), "user.berth.owner", owner.as_bytes(), flags).unwrap();
    }
    let owner = |name: &str| {
        let about = fs::metadata(share.guest(name)).unwrap();
        (about.uid(), about.gid())
    };
    assert_eq!(owner("a"), (ANN, BEN));
    assert_eq!(fs::read_dir(share.guest("")).unwrap().count(), 3);
    assert_eq!(owner("listed"), (ANN, BEN));
    // Known by the name that another file takes.
    fs::write(share.guest("c"), "text").unwrap();
    assert_eq!(owner("c"), (0, 0));
    fs::rename(share.guest("b"), share.guest("c")).unwrap();
    assert_eq!(owner("c"), (ANN, BEN));
}

#[test]
fn other_users_files_are_theirs() {
    let Some(share) = Mounted::watched() else { return };
    open_to_all(&share);
    fs::write(share.host("a"), "text").unwrap();
    fs::set_permissions(share.host("a"), Permissions::from_mode(0o600)).unwrap();
    chown(share.host("a"), Some(BEN), Some(BEN)).unwrap();
    assert_eq!(fs::metadata(share.guest("a")).unwrap().uid(), BEN);
    let path = share.guest("a");
    as_user(ANN, || fs::read(&path).unwrap_err());
}

#[test]
fn set_id_bits_never_reach_the_host_nor_come_from_it() {
    let Some(share) = Mounted::watched() else { return };
    fs::write(share.guest("tool"), "").unwrap();
    fs::set_permissions(share.guest("tool"), Permissions::from_mode(0o6755)).unwrap();
    assert_eq!(fs::metadata(share.host("tool")).unwrap().mode() & 0o7777, 0o755);
    fs::write(share.host("sudo"), "").unwrap();
    fs::set_permissions(share.host("sudo"), Permissions::from_mode(0o4755)).unwrap();
    assert_eq!(fs::metadata(share.guest("sudo")).unwrap().mode() & 0o7777, 0o755);
}

#[test]
fn a_user_shares_what_is_the_users_and_no_more() {
    let Some(share) = Mounted::by(ANN) else { return };
    fs::write(share.host("roots"), "secret").unwrap();
    fs::set_permissions(share.host("roots"), Permissions::from_mode(0o600)).unwrap();
    // Root of the guest, which its own kernel refuses nothing.
    let refused = fs::read(share.guest("roots")).unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::PermissionDenied);
    fs::set_permissions(share.guest("roots"), Permissions::from_mode(0o666)).unwrap_err();
    fs::write(share.guest("mine"), "text").unwrap();
    chown(share.guest("mine"), Some(BEN), Some(BEN)).unwrap();
    assert_eq!(fs::metadata(share.guest("mine")).unwrap().uid(), BEN);
    assert_eq!(fs::metadata(share.host("mine")).unwrap().uid(), ANN);
    fs::hard_link(share.guest("mine"), share.guest("again")).unwrap();
    fs::rename(share.guest("again"), share.guest("moved")).unwrap();
    let nameless = rustix::fs::OFlags::TMPFILE.bits().cast_signed();
    let file = File::options().write(true).custom_flags(nameless).open(share.guest("")).unwrap();
    let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&file));
    let (here, follow) = (rustix::fs::CWD, rustix::fs::AtFlags::SYMLINK_FOLLOW);
    rustix::fs::linkat(here, path, here, share.guest("named"), follow).unwrap();
    assert_eq!(fs::metadata(share.host("named")).unwrap().uid(), ANN);
}

/// The way to the mount, for other users than root.
fn open_to_all(share: &Mounted) {
    fs::set_permissions(share.host(""), Permissions::from_mode(0o755)).unwrap();
}
