//! The files of a log: the newest at its path, older ones beside it as `<path>.1`, `<path>.2` …, or `<path>.1.gz` …
//! once they are compressed. A number that stands for both is a compression that was cut off at its last step.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use super::source::Source;

/// Where the search for older files ends: a rotation under way leaves one number free, never so many in a row.
const GAP: u32 = 3;

/// The path of the `age`th file: 0 is the newest.
pub(super) fn plain(path: &Path, age: u32) -> PathBuf {
    if age == 0 { path.to_owned() } else { with(path, &format!(".{age}")) }
}

/// The path of the `age`th file once it is compressed.
pub(super) fn compressed(path: &Path, age: u32) -> PathBuf {
    with(path, &format!(".{age}.gz"))
}

/// Where a file is compressed, until it is whole.
pub(super) fn aside(path: &Path) -> PathBuf {
    with(path, ".gz.tmp")
}

fn with(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    name.into()
}

/// Ages every file by one, up to the first number that is free; with none free, the oldest file goes. Returns the
/// number that was free, or `kept`. Oldest first, so that a reader which goes from young to old misses none.
pub(super) fn shift(path: &Path, kept: u32) -> io::Result<u32> {
    let free = (1..kept).find(|age| !exists(path, *age)).unwrap_or(kept);
    let last = free.min(kept - 1);
    if free == kept {
        absent(std::fs::remove_file(plain(path, last)))?;
        absent(std::fs::remove_file(compressed(path, last)))?;
    }
    for age in (0..last).rev() {
        absent(std::fs::rename(plain(path, age), plain(path, age + 1)))?;
        if age > 0 {
            absent(std::fs::rename(compressed(path, age), compressed(path, age + 1)))?;
        }
    }
    Ok(free)
}

/// The oldest file that isn't compressed, of those that aren't written any more.
pub(super) fn oldest_plain(path: &Path, kept: u32) -> Option<u32> {
    numbers(path, kept).filter(|age| plain(path, *age).exists()).last()
}

/// Ends what a crash cut off: what is compressed and has its name is whole, and what has none is forgotten.
pub(super) fn mend(path: &Path, kept: u32) -> io::Result<()> {
    absent(std::fs::remove_file(aside(path)))?;
    for age in numbers(path, kept).filter(|age| compressed(path, *age).exists()) {
        absent(std::fs::remove_file(plain(path, age)))?;
    }
    Ok(())
}

/// Opens the files that are there, from the youngest to the oldest, as long as `wanted` says so. One that a rotation
/// moves on meanwhile comes once.
pub(super) fn open(path: &Path, kept: u32, wanted: impl Fn(&Source) -> bool) -> io::Result<Vec<Source>> {
    loop {
        let Some(youngest) = newest(path, kept)?.filter(&wanted) else { return Ok(Vec::new()) };
        let sources = older_than(youngest, path, kept, &wanted)?;
        // After more than one rotation, a file may stand behind those that are older, or be missing.
        if newest(path, kept)?.is_none_or(|newest| newest.is(&sources[0])) {
            return Ok(sources);
        }
    }
}

/// The newest file: a rotation under way has moved it on, and not yet begun another.
fn newest(path: &Path, kept: u32) -> io::Result<Option<Source>> {
    match open_one(path, 0)? {
        None if kept > 1 => open_one(path, 1),
        found => Ok(found),
    }
}

/// The youngest file, followed by older ones.
fn older_than(
    youngest: Source,
    path: &Path,
    kept: u32,
    wanted: impl Fn(&Source) -> bool,
) -> io::Result<Vec<Source>> {
    let mut sources = vec![youngest];
    let mut missing = 0;
    for age in 1..kept {
        match open_one(path, age)? {
            None => missing += 1,
            Some(source) if !wanted(&source) => break,
            Some(source) => {
                missing = 0;
                if !sources.iter().any(|younger| younger.is(&source)) {
                    sources.push(source);
                }
            }
        }
        if missing == GAP {
            break;
        }
    }
    Ok(sources)
}

/// The plain file is looked for first: it goes only once the compressed one is there.
fn open_one(path: &Path, age: u32) -> io::Result<Option<Source>> {
    if let Some(file) = found(File::open(plain(path, age)))? {
        return Ok(Some(Source::plain(file)));
    }
    let file = if age == 0 { None } else { found(File::open(compressed(path, age)))? };
    Ok(file.map(Source::compressed))
}

/// The numbers in use but 0, from young to old.
fn numbers(path: &Path, kept: u32) -> impl Iterator<Item = u32> {
    let mut missing = 0;
    (1..kept)
        .take_while(move |age| {
            missing = if exists(path, *age) { 0 } else { missing + 1 };
            missing < GAP
        })
        .filter(move |age| exists(path, *age))
}

fn exists(path: &Path, age: u32) -> bool {
    plain(path, age).exists() || compressed(path, age).exists()
}

fn found<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        other => other.map(Some),
    }
}

/// A file that isn't there need not go.
pub(super) fn absent(result: io::Result<()>) -> io::Result<()> {
    found(result).map(drop)
}
