//! Both sides change the same few names at once; when they rest, both see the same.
//!
//! `BERTH_SOAK_ROUNDS` says how often (a few by default), `BERTH_SOAK_SEED` repeats what went wrong.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::mounted::Mounted;

const ROUNDS: u64 = 6;
const CHANGES: usize = 150;
const NAMES: &[&str] = &["a", "b", "c", "d/a", "d/b", "d/e/a", "d/e/b", "f/a", "d", "d/e", "f"];
/// Told within half a second; nobody looks at anything for as long as 30 seconds to find it out.
const SETTLES: Duration = Duration::from_secs(5);

/// Numbers that a seed makes (splitmix64).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % bound as u64).unwrap()
    }
}

/// What can be seen of a file.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    mode: u32,
    links: u64,
    size: u64,
    modified: (i64, i64),
    content: Vec<u8>,
}

#[test]
fn both_sides_change_the_same_names_and_see_the_same() {
    let Some(share) = Mounted::watched() else { return };
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let seed = number("BERTH_SOAK_SEED").unwrap_or_else(|| {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        now.subsec_nanos().into()
    });
    eprintln!("BERTH_SOAK_SEED={seed}");
    for round in 0..number("BERTH_SOAK_ROUNDS").unwrap_or(ROUNDS) {
        let start = seed.wrapping_add(round << 32);
        std::thread::scope(|scope| {
            let (guest, host) = (share.guest(""), share.host(""));
            scope.spawn(move || change_at_random(&guest, Numbers(start)));
            scope.spawn(move || change_at_random(&host, Numbers(!start)));
        });
        let deadline = Instant::now() + SETTLES;
        loop {
            let (guest, host) = (tree(&share.guest("")), tree(&share.host("")));
            if matches!((&guest, &host), (Ok(guest), Ok(host)) if guest == host) {
                break;
            }
            assert!(Instant::now() < deadline, "round {round}:\nguest {guest:#?}\nhost {host:#?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Changes files beneath a folder. What fails because the other side was there before is left.
fn change_at_random(folder: &Path, mut numbers: Numbers) {
    for _ in 0..CHANGES {
        let mut name = || folder.join(NAMES[numbers.below(NAMES.len())]);
        let (path, other) = (name(), name());
        let length = [0, 10, 5000, 300_000][numbers.below(4)];
        let content = vec![b'a' + u8::try_from(numbers.below(26)).unwrap(); length];
        let changed = change(numbers.below(12), &path, &other, &content);
        if let Err(error) = changed {
            let is_race = matches!(
                error.kind(),
                io::ErrorKind::NotFound
                    | io::ErrorKind::AlreadyExists
                    | io::ErrorKind::NotADirectory
                    | io::ErrorKind::IsADirectory
                    | io::ErrorKind::DirectoryNotEmpty
                    | io::ErrorKind::InvalidInput
                    | io::ErrorKind::PermissionDenied
                    | io::ErrorKind::StaleNetworkFileHandle
            );
            // A link to itself has no kind of its own.
            let is_loop = error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error());
            assert!(is_race || is_loop, "{}: {error}", path.display());
        }
    }
}

fn change(what: usize, path: &Path, other: &Path, content: &[u8]) -> io::Result<()> {
    match what {
        0 | 1 => fs::write(path, content),
        2 => OpenOptions::new().append(true).create(true).open(path)?.write_all(content),
        3 => File::options().write(true).open(path)?.set_len(content.len() as u64 / 2),
        4 => fs::rename(path, other),
        5 => fs::remove_file(path),
        6 => fs::remove_dir(path),
        7 | 8 => fs::create_dir_all(path),
        9 => std::os::unix::fs::symlink("a", path),
        10 => fs::hard_link(path, other),
        _ => fs::set_permissions(path, Permissions::from_mode(0o600 + (content.len() as u32 & 0o77))),
    }
}

/// Everything beneath a folder, by path.
fn tree(folder: &Path) -> io::Result<BTreeMap<PathBuf, Seen>> {
    let (mut seen, mut folders) = (BTreeMap::new(), vec![folder.to_owned()]);
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next)? {
            let path = entry?.path();
            let status = fs::symlink_metadata(&path)?;
            let kind = status.file_type();
            let content = if kind.is_dir() {
                folders.push(path.clone());
                Vec::new()
            } else if kind.is_symlink() {
                fs::read_link(&path)?.into_os_string().into_encoded_bytes()
            } else {
                fs::read(&path)?
            };
            // How large a folder is, is its file system's business.
            let size = if kind.is_dir() { 0 } else { status.size() };
            let modified = (status.mtime(), status.mtime_nsec());
            let of = Seen { mode: status.mode(), links: status.nlink(), size, modified, content };
            seen.insert(path.strip_prefix(folder).unwrap_or(&path).to_owned(), of);
        }
    }
    Ok(seen)
}
