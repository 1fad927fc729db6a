use std::fs::File;

use super::*;
use crate::launch::LogFile;
use crate::log::LogWriter;
use crate::message::Stream;

fn driver(folder: &tempfile::TempDir, max_size: Option<u64>, max_file: u32) -> [LogDriver; 2] {
    let file = |name: &str| LogFile { path: folder.path().join(name), max_size, max_file, compress: false };
    [LogDriver::JsonFile(file("json")), LogDriver::Local(file("local"))]
}

/// Drivers with files of 300 bytes that are compressed.
fn compressing(folder: &tempfile::TempDir, max_file: u32) -> [LogDriver; 2] {
    let file = |name: &str| LogFile {
        path: folder.path().join(name),
        max_size: Some(300),
        max_file,
        compress: true,
    };
    [LogDriver::JsonFile(file("json")), LogDriver::Local(file("local"))]
}

fn write(writer: &mut LogWriter, numbers: std::ops::Range<u64>) {
    for number in numbers {
        writer.append(Stream::Stdout, number, format!("line {number}\n").as_bytes()).unwrap();
    }
    writer.flush().unwrap();
}

/// Does what there is to be compressed, as a process beside the writer does.
fn compress_all(writer: &mut LogWriter) {
    while let Some((from, to)) = writer.next_to_compress() {
        crate::log::compress(&File::open(from).unwrap(), &to).unwrap();
        writer.compressed(true).unwrap();
    }
}

/// The names in a folder that end so.
fn names(folder: &tempfile::TempDir, end: &str) -> usize {
    let names = std::fs::read_dir(folder.path()).unwrap();
    names.filter(|entry| entry.as_ref().unwrap().file_name().to_str().unwrap().ends_with(end)).count()
}

fn path(driver: &LogDriver) -> &std::path::Path {
    let (LogDriver::JsonFile(settings) | LogDriver::Local(settings)) = driver else { unreachable!() };
    &settings.path
}

fn times(reader: &mut LogReader) -> Vec<u64> {
    std::iter::from_fn(|| reader.next_record().unwrap()).map(|record| record.time).collect()
}

fn open(driver: &LogDriver, selection: Selection) -> LogReader {
    LogReader::open(driver, selection).unwrap().unwrap()
}

#[test]
fn since_until_and_tail_select() {
    let folder = tempfile::tempdir().unwrap();
    for driver in driver(&folder, None, 1) {
        write(&mut LogWriter::open(&driver).unwrap().unwrap(), 0..100);
        let selection = Selection { since: Some(10), until: Some(12), tail: None };
        assert_eq!(times(&mut open(&driver, selection)), [10, 11, 12]);
        let selection = Selection { tail: Some(3), ..Selection::default() };
        assert_eq!(times(&mut open(&driver, selection)), [97, 98, 99]);
        let selection = Selection { tail: Some(0), ..Selection::default() };
        assert_eq!(times(&mut open(&driver, selection)), [0; 0]);
    }
}

#[test]
fn a_tail_reaches_into_rotated_files() {
    let folder = tempfile::tempdir().unwrap();
    for driver in driver(&folder, Some(300), 50) {
        write(&mut LogWriter::open(&driver).unwrap().unwrap(), 0..100);
        let selection = Selection { tail: Some(25), ..Selection::default() };
        assert_eq!(times(&mut open(&driver, selection)), (75..100).collect::<Vec<_>>());
        assert_eq!(times(&mut open(&driver, Selection::default())), (0..100).collect::<Vec<_>>());
    }
}

#[test]
fn only_so_many_files_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    for driver in driver(&folder, Some(300), 2) {
        write(&mut LogWriter::open(&driver).unwrap().unwrap(), 0..100);
        let kept = times(&mut open(&driver, Selection::default()));
        assert!(kept.len() < 30, "{kept:?}");
        assert_eq!(kept.last(), Some(&99));
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 4);
}

#[test]
fn a_reader_goes_on_over_a_rotation() {
    let folder = tempfile::tempdir().unwrap();
    for driver in driver(&folder, Some(300), 50) {
        let mut writer = LogWriter::open(&driver).unwrap().unwrap();
        let mut reader = open(&driver, Selection::default());
        write(&mut writer, 0..3);
        assert_eq!(times(&mut reader), [0, 1, 2]);
        write(&mut writer, 3..60);
        assert_eq!(times(&mut reader), (3..60).collect::<Vec<_>>());
    }
}

#[test]
fn a_half_written_end_is_skipped() {
    let folder = tempfile::tempdir().unwrap();
    for driver in driver(&folder, None, 1) {
        write(&mut LogWriter::open(&driver).unwrap().unwrap(), 0..5);
        let (LogDriver::JsonFile(settings) | LogDriver::Local(settings)) = &driver else { unreachable!() };
        let file = File::options().write(true).open(&settings.path).unwrap();
        file.set_len(file.metadata().unwrap().len() - 3).unwrap();
        assert_eq!(times(&mut open(&driver, Selection::default())), [0, 1, 2, 3]);
        write(&mut LogWriter::open(&driver).unwrap().unwrap(), 9..10);
        assert_eq!(times(&mut open(&driver, Selection::default())), [0, 1, 2, 3, 9]);
    }
}

#[test]
fn compressed_files_are_read_as_others_are() {
    let folder = tempfile::tempdir().unwrap();
    for driver in compressing(&folder, 50) {
        let mut writer = LogWriter::open(&driver).unwrap().unwrap();
        write(&mut writer, 0..80);
        compress_all(&mut writer);
        // Some of what follows is rotated while nothing is compressed.
        write(&mut writer, 80..100);
        assert_eq!(times(&mut open(&driver, Selection::default())), (0..100).collect::<Vec<_>>());
        for wanted in [0, 3, 25, 77, 100, 200] {
            let selection = Selection { tail: Some(wanted), ..Selection::default() };
            let first = 100_u64.saturating_sub(wanted);
            assert_eq!(times(&mut open(&driver, selection)), (first..100).collect::<Vec<_>>(), "{wanted}");
        }
        let selection = Selection { since: Some(10), until: Some(12), tail: None };
        assert_eq!(times(&mut open(&driver, selection)), [10, 11, 12]);
    }
    assert!(names(&folder, ".gz") > 10);
}

#[test]
fn a_reader_knows_its_file_after_it_was_compressed() {
    let folder = tempfile::tempdir().unwrap();
    for driver in compressing(&folder, 50) {
        let mut writer = LogWriter::open(&driver).unwrap().unwrap();
        let mut reader = open(&driver, Selection::default());
        for start in (0..60).step_by(3) {
            write(&mut writer, start..start + 3);
            if start % 2 == 0 {
                compress_all(&mut writer);
            }
            assert_eq!(times(&mut reader), [start, start + 1, start + 2]);
        }
        write(&mut writer, 60..90);
        compress_all(&mut writer);
        assert_eq!(times(&mut reader), (60..90).collect::<Vec<_>>());
    }
}

#[test]
fn a_file_that_ages_while_it_is_compressed_keeps_its_place() {
    let folder = tempfile::tempdir().unwrap();
    for driver in compressing(&folder, 4) {
        let mut writer = LogWriter::open(&driver).unwrap().unwrap();
        let mut written = 0;
        // So many rotations that the file is gone when it is compressed, and fewer.
        for more in [5, 10, 60] {
            write(&mut writer, written..written + 30);
            let (from, to) = writer.next_to_compress().unwrap();
            let from = File::open(from).unwrap();
            assert_eq!(writer.next_to_compress(), None, "one at a time");
            write(&mut writer, written + 30..written + 30 + more);
            written += 30 + more;
            crate::log::compress(&from, &to).unwrap();
            writer.compressed(true).unwrap();
            let read = times(&mut open(&driver, Selection::default()));
            assert_eq!(read, (read[0]..written).collect::<Vec<_>>());
        }
        compress_all(&mut writer);
        let read = times(&mut open(&driver, Selection::default()));
        assert_eq!(read, (read[0]..written).collect::<Vec<_>>());
    }
    assert_eq!((names(&folder, ".gz"), names(&folder, ".tmp"), names(&folder, "")), (6, 0, 8));
}

#[test]
fn a_compression_cut_off_anywhere_loses_nothing_and_tells_nothing_twice() {
    let folder = tempfile::tempdir().unwrap();
    for driver in compressing(&folder, 50) {
        let mut writer = LogWriter::open(&driver).unwrap().unwrap();
        write(&mut writer, 0..50);
        let (from, to) = writer.next_to_compress().unwrap();
        let plain = std::fs::read(&from).unwrap();
        crate::log::compress(&File::open(&from).unwrap(), &to).unwrap();
        // Before it has its name: half of it, and the whole.
        let whole = std::fs::read(&to).unwrap();
        for part in [&whole[..whole.len() / 2], &whole] {
            std::fs::write(&to, part).unwrap();
            assert_eq!(times(&mut open(&driver, Selection::default())), (0..50).collect::<Vec<_>>());
        }
        drop(writer);
        let mut writer = LogWriter::open(&driver).unwrap().unwrap();
        assert!(!to.exists());
        // After: the file it was made from is there, too.
        compress_all(&mut writer);
        assert!(!from.exists());
        std::fs::write(&from, plain).unwrap();
        assert_eq!(times(&mut open(&driver, Selection::default())), (0..50).collect::<Vec<_>>());
        drop(writer);
        LogWriter::open(&driver).unwrap();
        assert!(!from.exists());
        assert_eq!(times(&mut open(&driver, Selection::default())), (0..50).collect::<Vec<_>>());
    }
}

#[test]
fn a_damaged_compressed_file_costs_itself_alone() {
    let folder = tempfile::tempdir().unwrap();
    for driver in compressing(&folder, 50) {
        let mut writer = LogWriter::open(&driver).unwrap().unwrap();
        write(&mut writer, 0..50);
        compress_all(&mut writer);
        let all = times(&mut open(&driver, Selection::default()));
        let damaged = rotated::compressed(path(&driver), 2);
        let whole = std::fs::read(&damaged).unwrap();
        for broken in [&whole[..whole.len() - 9], &whole[..3], b"", b"no gzip at all"] {
            std::fs::write(&damaged, broken).unwrap();
            for tail in [None, Some(40)] {
                let mut reader = open(&driver, Selection { tail, ..Selection::default() });
                let mut read = Vec::new();
                let mut errors = 0;
                loop {
                    match reader.next_record() {
                        Ok(Some(record)) => read.push(record.time),
                        Ok(None) => break,
                        Err(error) => {
                            assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{error}");
                            errors += 1;
                        }
                    }
                }
                assert_eq!(errors, 1);
                assert_eq!(read.last(), Some(&49));
                assert!(read.is_sorted() && (30..=50).contains(&read.len()), "{read:?} of {all:?}");
            }
        }
    }
}

#[test]
fn a_number_that_is_free_is_taken_by_the_next_rotation() {
    let folder = tempfile::tempdir().unwrap();
    for driver in driver(&folder, Some(300), u32::MAX) {
        let mut writer = LogWriter::open(&driver).unwrap().unwrap();
        write(&mut writer, 0..50);
        let second = rotated::plain(path(&driver), 2);
        std::fs::rename(&second, second.with_extension("away")).unwrap();
        let left = times(&mut open(&driver, Selection::default()));
        assert!(left.is_sorted() && left.first() == Some(&0) && left.last() == Some(&49), "{left:?}");
        assert!(left.len() < 50);
        write(&mut writer, 50..60);
        write(&mut writer, 60..70);
        assert!(second.exists());
        let read = times(&mut open(&driver, Selection::default()));
        assert_eq!(read, [left, (50..70).collect()].concat());
    }
}

#[test]
fn files_that_age_twice_while_they_are_looked_for_keep_their_order() {
    let folder = tempfile::tempdir().unwrap();
    for driver in driver(&folder, Some(300), 100) {
        let mut writer = LogWriter::open(&driver).unwrap().unwrap();
        write(&mut writer, 0..20);
        let files = names(&folder, "");
        let writer = std::cell::RefCell::new(Some(writer));
        let ages = |_: &Source| {
            if let Some(mut writer) = writer.take() {
                write(&mut writer, 20..60);
            }
            true
        };
        let sources = rotated::open(path(&driver), 100, ages).unwrap();
        assert!(names(&folder, "") >= files + 2);
        let format = open(&driver, Selection::default()).format;
        let records = sources.into_iter().rev().flat_map(|source| {
            let mut cursor = Cursor::new(source, format);
            std::iter::from_fn(move || cursor.next_record().unwrap())
        });
        let read: Vec<u64> = records.map(|record| record.time).collect();
        assert_eq!(read, (0..60).collect::<Vec<_>>());
    }
}
