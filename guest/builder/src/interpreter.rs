//! Programs of other processors: they run where the machine's binfmt_misc names an interpreter for them (qemu-user).

use std::path::Path;

use berth_images::Platform;

use crate::{Error, Result};

/// Where the kernel lists its interpreters.
const HANDLERS: &str = "/proc/sys/fs/binfmt_misc";

/// Architectures as images name them, and as QEMU does.
const INTERPRETED: &[(&str, &str)] = &[
    ("arm64", "aarch64"),
    ("arm", "arm"),
    ("riscv64", "riscv64"),
    ("ppc64le", "ppc64le"),
    ("s390x", "s390x"),
    ("amd64", "x86_64"),
    ("386", "i386"),
    ("mips64le", "mips64el"),
    ("mipsle", "mipsel"),
];

/// Whether steps of an image for this platform run here; refused when they can't.
pub(crate) fn check(platform: &Platform) -> Result<()> {
    let local = Platform::local();
    // A newer variant of the same processor is tried: what it needs of it, nobody can tell beforehand.
    // So is an image that doesn't say.
    let is_own = platform.os == local.os
        && (platform.architecture == local.architecture
            || platform.architecture.is_empty()
            || (local.architecture == "amd64" && platform.architecture == "386"));
    if is_own || has_handler(Path::new(HANDLERS), &platform.architecture) {
        return Ok(());
    }
    Err(Error::Unsupported(format!(
        "RUN for {platform} needs an interpreter that this machine hasn't: register qemu-user with binfmt_misc (flag F), \
         or build for {local}"
    )))
}

/// The platforms whose steps run here, this machine's own first.
pub(crate) fn platforms() -> Vec<Platform> {
    let local = Platform::local();
    let of = |architecture: &str| Platform::normalised("linux", architecture, "");
    let mut platforms = vec![local.clone()];
    if local.architecture == "amd64" {
        platforms.push(of("386"));
    }
    for (architecture, _) in INTERPRETED {
        let other = of(architecture);
        if !platforms.contains(&other) && has_handler(Path::new(HANDLERS), architecture) {
            platforms.push(other);
        }
    }
    platforms
}

/// Whether an interpreter is enabled that the kernel holds open, so that containers needn't have it.
fn has_handler(folder: &Path, architecture: &str) -> bool {
    let known = INTERPRETED.iter().find(|(known, _)| *known == architecture);
    let name = known.map_or(architecture, |(_, name)| name);
    let Ok(text) = std::fs::read_to_string(folder.join(format!("qemu-{name}"))) else { return false };
    let flags = text.lines().find_map(|line| line.strip_prefix("flags:")).unwrap_or_default();
    text.lines().next() == Some("enabled") && flags.contains('F')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interpreter_must_be_enabled_and_held_open() {
        let folder = tempfile::tempdir().unwrap();
        let write = |text: &str| std::fs::write(folder.path().join("qemu-aarch64"), text).unwrap();
        assert!(!has_handler(folder.path(), "arm64"));
        write("enabled\ninterpreter /usr/bin/qemu-aarch64\nflags: POCF\n");
        assert!(has_handler(folder.path(), "arm64") && !has_handler(folder.path(), "riscv64"));
        write("enabled\ninterpreter /usr/bin/qemu-aarch64\nflags: \n");
        assert!(!has_handler(folder.path(), "arm64"));
        write("disabled\ninterpreter /usr/bin/qemu-aarch64\nflags: F\n");
        assert!(!has_handler(folder.path(), "arm64"));
    }

    #[test]
    fn own_programs_need_none() {
        assert!(check(&Platform::local()).is_ok());
        assert!(check(&Platform::normalised("linux", "", "")).is_ok());
        let error = check(&"windows/amd64".parse().unwrap()).unwrap_err().to_string();
        assert!(error.contains("windows/amd64"), "{error}");
    }
}
