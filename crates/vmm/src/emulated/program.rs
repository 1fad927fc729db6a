//! Finding the emulator, and refusing one that is too old.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::Error;

const NAME: &str = "qemu-system-x86_64";
/// The first version with everything we use: microvm without option ROMs, vhost-user-vsock on virtio-mmio.
const OLDEST: (u32, u32) = (7, 2);

/// The emulator's path, once it is known to be new enough.
pub(super) fn find() -> Result<PathBuf, Error> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut candidates = std::env::split_paths(&path).map(|folder| folder.join(NAME));
    let program = candidates.find(|file| file.is_file()).ok_or(Error::EmulatorMissing(NAME))?;
    let output = Command::new(&program)
        .arg("--version")
        .stdin(Stdio::null())
        .output()
        .map_err(Error::os(format!("run {}", program.display())))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let first = text.lines().next().unwrap_or_default().to_owned();
    match version(&first) {
        Some(found) if found >= OLDEST => Ok(program),
        _ => Err(Error::EmulatorTooOld { found: first }),
    }
}

/// `QEMU emulator version 7.2.22 (Debian …)` as 7.2.
fn version(line: &str) -> Option<(u32, u32)> {
    let mut parts = line.split_once("version ")?.1.split(['.', ' ']);
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_and_compared() {
        assert_eq!(version("QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7)"), Some((7, 2)));
        assert!(version("QEMU emulator version 10.0.2").unwrap() >= OLDEST);
        assert!(version("QEMU emulator version 6.2.0").unwrap() < OLDEST);
        assert_eq!(version("something else"), None);
    }
}
