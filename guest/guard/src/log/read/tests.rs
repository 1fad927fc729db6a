use super::*;
use crate::launch::LogFile;
use crate::log::LogWriter;
use crate::message::Stream;

fn driver(folder: &tempfile::TempDir, max_size: Option<u64>, max_file: u32) -> [LogDriver; 2] {
    let file = |name: &str| LogFile { path: folder.path().join(name), max_size, max_file };
    [LogDriver::JsonFile(file("json")), LogDriver::Local(file("local"))]
}

fn write(writer: &mut LogWriter, numbers: std::ops::Range<u64>) {
    for number in numbers {
        writer.append(Stream::Stdout, number, format!("line {number}\n").as_bytes()).unwrap();
    }
    writer.flush().unwrap();
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
