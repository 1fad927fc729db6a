//! What a test needs of the machine, and the printed reason when it isn't there.

use std::path::PathBuf;

/// Whether this is root; prints why the test is skipped when not.
pub fn need_root() -> bool {
    let is_root =
        std::fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0);
    if !is_root {
        eprintln!("skipped: the engine makes namespaces and needs root");
    }
    is_root
}

/// The program `name` from `target/berth`, where `cargo xtask build` lays it.
///
/// # Panics
/// When it isn't built: that is a mistake in how the tests were started, not a reason to skip.
pub fn program(name: &str) -> PathBuf {
    let path = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../target/berth")).join(name);
    assert!(path.exists(), "{} isn't built: run `cargo xtask build`", path.display());
    path
}

/// Whether `$PATH` has the program; prints why the test is skipped when not.
pub fn need_program(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).any(|folder| folder.join(name).is_file());
    if !found {
        eprintln!("skipped: `{name}` isn't installed (`cargo xtask setup`)");
    }
    found
}
