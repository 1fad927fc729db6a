//! This machine's perl in containers, for what busybox can't do.

use std::path::Path;

use crate::guard::need_program;
use crate::linked;

/// Lays a script beside perl in the folder; returns how a container that sees the folder at `/x` starts it. None, with the
/// reason printed, where this machine has no perl.
///
/// # Panics
/// When they can't be written.
pub fn script(folder: &Path, name: &str, text: &str) -> Option<String> {
    let perl = perl(folder)?;
    std::fs::write(folder.join(name), text).expect("write a script");
    Some(format!("{perl} /x/{name}"))
}

/// Puts perl into the folder; returns how a container that sees the folder at `/x` starts it. None, with the reason
/// printed, where this machine has none.
///
/// # Panics
/// When it can't be copied.
pub fn perl(folder: &Path) -> Option<String> {
    if !need_program("perl") {
        return None;
    }
    let place = folder.join("perl");
    std::fs::create_dir(&place).expect("make a folder for perl");
    for file in linked::files("/usr/bin/perl") {
        let name = Path::new(&file).file_name().expect("a file's path");
        std::fs::copy(&file, place.join(name)).expect("copy perl");
    }
    Some("/x/perl/ld-linux-x86-64.so.2 --library-path /x/perl /x/perl/perl".to_owned())
}
