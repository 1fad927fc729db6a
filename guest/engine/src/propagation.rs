//! `bind-propagation`: a mount can only be shared with the machine, or follow it, where the machine's own is shared.

use std::path::Path;

use crate::Error;

/// Checks that the mount below `source` can propagate as asked, in Docker's words.
pub(crate) fn check(source: &Path, propagation: &str) -> Result<(), Error> {
    let (shared, slave) = (propagation.ends_with("shared"), propagation.ends_with("slave"));
    if !shared && !slave {
        return Ok(());
    }
    let path = "/proc/self/mountinfo";
    let mounts = std::fs::read_to_string(path).map_err(|source| Error::Read { path: path.into(), source })?;
    let real = source.canonicalize().unwrap_or_else(|_| source.to_owned());
    let Some((place, tags)) = mount_of(&mounts, &real) else { return Ok(()) };
    let is = |tag: &str| tags.split(' ').any(|word| word.starts_with(tag));
    let kind = match (is("shared:") || (slave && is("master:")), slave) {
        (true, _) => return Ok(()),
        (false, true) => "shared or slave",
        (false, false) => "shared",
    };
    let source = source.display();
    Err(Error::InvalidRequest(format!("path {source} is mounted on {place} but it is not a {kind} mount")))
}

/// The mount that a path lies in: its place, and its tags (proc_pid_mountinfo(5): the words before the dash).
fn mount_of<'m>(mounts: &'m str, path: &Path) -> Option<(&'m str, &'m str)> {
    let parsed = mounts.lines().filter_map(|line| {
        let mut words = line.splitn(7, ' ');
        let place = words.nth(4)?;
        let tags = words.nth(1)?.split(" - ").next()?.trim_start_matches("- ");
        Some((place, tags))
    });
    // Of several at one place the last one is seen.
    parsed.filter(|(place, _)| path.starts_with(place)).max_by_key(|(place, _)| place.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "22 1 8:1 / / rw,relatime - ext4 /dev/sda rw\n\
        40 22 0:30 / /srv rw shared:7 - tmpfs tmpfs rw\n\
        41 22 0:31 / /srv/deep rw,noexec master:7 propagate_from:2 - tmpfs tmpfs rw\n";

    #[test]
    fn a_path_lies_in_the_deepest_mount() {
        let tags = |path: &str| mount_of(MOUNTS, Path::new(path)).unwrap();
        assert_eq!(tags("/etc").0, "/");
        assert!(!tags("/etc").1.contains("shared:"));
        assert_eq!(tags("/srv/x"), ("/srv", "shared:7"));
        assert_eq!(tags("/srv/deep/x"), ("/srv/deep", "master:7 propagate_from:2"));
        assert_eq!(tags("/srvx").0, "/");
    }
}
