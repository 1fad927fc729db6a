//! The page's TypeScript types, generated from the Rust ones into `ui/src/bindings`.
//!
//! After a change of these types: `BERTH_WRITE_BINDINGS=1 cargo test -p berth-desktop bindings`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use ts_rs::{Config, TS};

use crate::news::{LogNews, News, Snapshot};

fn committed() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../ui/src/bindings")
}

fn write(folder: &Path) {
    // Every number here is far below 2^53: milliseconds, bytes and seconds.
    let config = Config::default().with_large_int("number").with_out_dir(folder);
    Snapshot::export_all(&config).unwrap();
    News::export_all(&config).unwrap();
    LogNews::export_all(&config).unwrap();
}

fn files(folder: &Path) -> BTreeMap<String, String> {
    let entries = fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
    entries
        .map(|entry| {
            let text = fs::read_to_string(entry.path()).unwrap();
            (entry.file_name().to_string_lossy().into_owned(), text)
        })
        .collect()
}

#[test]
fn the_committed_bindings_are_fresh() {
    if std::env::var_os("BERTH_WRITE_BINDINGS").is_some() {
        drop(fs::remove_dir_all(committed()));
        write(&committed());
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    write(folder.path());
    assert_eq!(files(folder.path()), files(&committed()), "see this file's first lines");
}
