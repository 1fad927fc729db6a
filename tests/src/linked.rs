//! Programs of this machine with the libraries that they are linked with, for images and containers.

use std::path::Path;
use std::process::Command;

/// The files that a program consists of, itself the last.
///
/// # Panics
/// When `ldd` can't be run.
pub fn files(program: &str) -> Vec<String> {
    let listed = Command::new("ldd").arg(program).output().expect("run ldd").stdout;
    let listed = String::from_utf8(listed).expect("paths");
    let libraries = listed.split_whitespace().filter(|word| word.starts_with('/'));
    libraries.chain([program]).map(str::to_owned).collect()
}

/// Copies a program and its libraries, each to its own place beneath a folder.
///
/// # Panics
/// When they can't be copied.
pub fn copy(program: &str, folder: &Path) {
    for file in files(program) {
        let to = folder.join(file.trim_start_matches('/'));
        std::fs::create_dir_all(to.parent().expect("a folder")).expect("make a folder for a program");
        std::fs::copy(&file, to).expect("copy a program");
    }
}
