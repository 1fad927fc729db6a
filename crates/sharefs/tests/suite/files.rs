//! The content of files.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::time::{Duration, Instant, SystemTime};

use rustix::fs::{AtFlags, CWD, FallocateFlags, OFlags};

use crate::mounted::Mounted;
use crate::sys;

#[test]
fn what_is_written_is_read_on_both_sides() {
    let Some(share) = Mounted::watched() else { return };
    let bytes: Vec<u8> = (0..3_000_000u32).map(|n| (n % 251) as u8).collect();
    fs::write(share.guest("a"), &bytes).unwrap();
    assert!(fs::read(share.host("a")).unwrap() == bytes);
    fs::write(share.host("b"), &bytes).unwrap();
    assert!(fs::read(share.guest("b")).unwrap() == bytes);
    assert_eq!(fs::metadata(share.guest("b")).unwrap().len(), 3_000_000);
}

#[test]
fn appends_of_two_writers_lose_nothing() {
    let Some(share) = Mounted::watched() else { return };
    let open = || OpenOptions::new().append(true).create(true).open(share.guest("log")).unwrap();
    let (mut one, mut other) = (open(), open());
    let mut host = OpenOptions::new().append(true).open(share.host("log")).unwrap();
    for _ in 0..100 {
        one.write_all(b"one\n").unwrap();
        other.write_all(b"two\n").unwrap();
        host.write_all(b"xyz\n").unwrap();
    }
    assert_eq!(fs::read(share.host("log")).unwrap().len(), 1200);
}

#[test]
fn a_file_is_cut_and_extended() {
    let Some(share) = Mounted::watched() else { return };
    fs::write(share.guest("a"), "0123456789").unwrap();
    let file = OpenOptions::new().write(true).open(share.guest("a")).unwrap();
    file.set_len(4).unwrap();
    assert_eq!(fs::read(share.host("a")).unwrap(), b"0123");
    file.set_len(6).unwrap();
    assert_eq!(fs::read(share.guest("a")).unwrap(), b"0123\0\0");
    OpenOptions::new().write(true).truncate(true).open(share.guest("a")).unwrap();
    assert_eq!(fs::metadata(share.host("a")).unwrap().len(), 0);
}

#[test]
fn a_mapping_writes_the_file() {
    let Some(share) = Mounted::watched() else { return };
    fs::write(share.guest("a"), "0123456789").unwrap();
    let file = OpenOptions::new().read(true).write(true).open(share.guest("a")).unwrap();
    sys::write_mapped(&file, b"abcd");
    assert_eq!(fs::read(share.host("a")).unwrap(), b"abcd456789");
}

#[test]
fn holes_stay_holes_and_are_found() {
    let Some(share) = Mounted::watched() else { return };
    let file = File::options().read(true).write(true).create_new(true).open(share.guest("sparse")).unwrap();
    file.write_all_at(b"end", 8 << 20).unwrap();
    assert!(fs::metadata(share.host("sparse")).unwrap().blocks() < 64);
    let data = rustix::fs::seek(&file, rustix::fs::SeekFrom::Data(0)).unwrap();
    assert!(data > 4 << 20, "data at {data}");
    assert_eq!(rustix::fs::seek(&file, rustix::fs::SeekFrom::Hole(0)).unwrap(), 0);
    let punch = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    rustix::fs::fallocate(&file, punch, 8 << 20, 4096).unwrap();
    let mut end = [1; 3];
    file.read_exact_at(&mut end, 8 << 20).unwrap();
    assert_eq!(end, [0; 3]);
    rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, 9 << 20).unwrap();
    assert_eq!(fs::metadata(share.host("sparse")).unwrap().len(), 9 << 20);
}

#[test]
fn a_file_without_a_name_gets_one() {
    let Some(share) = Mounted::watched() else { return };
    let nameless = OFlags::TMPFILE.bits().cast_signed();
    let mut file =
        File::options().read(true).write(true).custom_flags(nameless).open(share.guest("")).unwrap();
    file.write_all(b"text").unwrap();
    assert_eq!(fs::read_dir(share.host("")).unwrap().count(), 0);
    let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&file));
    rustix::fs::linkat(CWD, path, CWD, share.guest("named"), AtFlags::SYMLINK_FOLLOW).unwrap();
    assert_eq!(fs::read(share.host("named")).unwrap(), b"text");
}

#[test]
fn a_removed_file_lives_as_long_as_it_is_open() {
    let Some(share) = Mounted::watched() else { return };
    fs::write(share.guest("a"), "text").unwrap();
    let mut file = File::options().read(true).write(true).open(share.guest("a")).unwrap();
    fs::remove_file(share.guest("a")).unwrap();
    assert!(!share.host("a").exists());
    file.write_all(b"more").unwrap();
    file.seek(SeekFrom::Start(0)).unwrap();
    let mut text = String::new();
    file.read_to_string(&mut text).unwrap();
    assert_eq!(text, "more");
    assert_eq!(file.metadata().unwrap().nlink(), 0);
}

#[test]
fn times_are_set_to_the_nanosecond_and_beyond_32_bits() {
    let Some(share) = Mounted::watched() else { return };
    let file = File::create(share.guest("a")).unwrap();
    let time = SystemTime::UNIX_EPOCH + Duration::new(5_000_000_000, 123_456_789);
    file.set_modified(time).unwrap();
    assert_eq!(fs::metadata(share.host("a")).unwrap().modified().unwrap(), time);
    assert_eq!(fs::metadata(share.guest("a")).unwrap().modified().unwrap(), time);
}

#[test]
fn copying_between_files_happens_on_the_host() {
    let Some(share) = Mounted::watched() else { return };
    let bytes = vec![7; 2_000_000];
    fs::write(share.guest("a"), &bytes).unwrap();
    let (from, to) = (File::open(share.guest("a")).unwrap(), File::create(share.guest("b")).unwrap());
    let mut left = bytes.len();
    while left > 0 {
        let copied = rustix::fs::copy_file_range(&from, None, &to, None, left).unwrap();
        assert!(copied > 0);
        left -= copied;
    }
    assert!(fs::read(share.host("b")).unwrap() == bytes);
}

#[test]
fn a_change_of_the_host_is_seen_within_its_lifetime() {
    let Some(share) = Mounted::new() else { return };
    fs::write(share.host("a"), "old").unwrap();
    assert_eq!(fs::read(share.guest("a")).unwrap(), b"old");
    fs::write(share.host("a"), "newer").unwrap();
    fs::write(share.host("late"), "").unwrap();
    let deadline = Instant::now() + Duration::from_secs(3);
    while fs::read(share.guest("a")).unwrap() != b"newer" {
        assert!(Instant::now() < deadline, "the old content stays");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(share.guest("late").exists());
}
