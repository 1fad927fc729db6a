//! Reading and writing a cgroup's files.

use std::io::{ErrorKind, Write};
use std::path::Path;

use crate::error::{Doing, Error};

/// Writes `value` in one write, as the kernel wants it; never creates the file.
pub(super) fn write(folder: &Path, name: &str, value: &str) -> Result<(), Error> {
    let path = folder.join(name);
    let file = std::fs::OpenOptions::new().write(true).open(&path);
    file.and_then(|mut file| file.write_all(value.as_bytes())).on("write", &path)
}

/// The file's text; `None` if the cgroup has no such file, because its controller isn't enabled.
pub(super) fn read(folder: &Path, name: &str) -> Result<Option<String>, Error> {
    let path = folder.join(name);
    match std::fs::read_to_string(&path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound) => Ok(None),
        Err(error) => Err(error).on("read", &path),
    }
}

/// The number in a file of one number; `max` is `u64::MAX`.
pub(super) fn read_number(folder: &Path, name: &str) -> Result<Option<u64>, Error> {
    Ok(read(folder, name)?.and_then(|text| number(text.trim())))
}

/// The number that `key` has in a "flat keyed" file.
pub(super) fn read_key(folder: &Path, name: &str, key: &str) -> Result<Option<u64>, Error> {
    Ok(read(folder, name)?.and_then(|text| key_of(&text, key)))
}

/// The number that `key` has in flat keyed text.
pub(super) fn key_of(text: &str, key: &str) -> Option<u64> {
    text.lines().find_map(|line| number(line.strip_prefix(key)?.strip_prefix(' ')?.trim()))
}

fn number(text: &str) -> Option<u64> {
    if text == "max" { Some(u64::MAX) } else { text.parse().ok() }
}
