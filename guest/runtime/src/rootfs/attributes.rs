//! Mount options as words (mount(8), OCI runtime spec "Linux mount options"), sorted by who takes them.

use std::os::fd::BorrowedFd;

use crate::sys;

/// What the options of one mount ask for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Attributes {
    /// Attributes of the mount itself.
    set: u64,
    clear: u64,
    /// Attributes of the mount and of all below it: `rro` and its kin.
    recursive_set: u64,
    recursive_clear: u64,
    /// Propagation of the mount, and whether of all below it too.
    propagation: Option<(u64, bool)>,
    /// `Some(recursive)` for a bind.
    pub(crate) bind: Option<bool>,
    /// Words for the filesystem: `key` or `key=value`.
    pub(crate) data: Vec<String>,
    /// `tmpcopyup`: a tmpfs starts with what the image has there.
    pub(crate) copy_up: bool,
}

/// Words that set (or, with `false`, clear) an attribute; with an `r` before them, of the whole tree.
const FLAGS: [(&str, bool, u64); 14] = [
    ("ro", true, libc::MOUNT_ATTR_RDONLY),
    ("rw", false, libc::MOUNT_ATTR_RDONLY),
    ("nosuid", true, libc::MOUNT_ATTR_NOSUID),
    ("suid", false, libc::MOUNT_ATTR_NOSUID),
    ("nodev", true, libc::MOUNT_ATTR_NODEV),
    ("dev", false, libc::MOUNT_ATTR_NODEV),
    ("noexec", true, libc::MOUNT_ATTR_NOEXEC),
    ("exec", false, libc::MOUNT_ATTR_NOEXEC),
    ("nodiratime", true, libc::MOUNT_ATTR_NODIRATIME),
    ("diratime", false, libc::MOUNT_ATTR_NODIRATIME),
    ("nosymfollow", true, libc::MOUNT_ATTR_NOSYMFOLLOW),
    ("symfollow", false, libc::MOUNT_ATTR_NOSYMFOLLOW),
    ("noatime", true, libc::MOUNT_ATTR_NOATIME),
    ("strictatime", true, libc::MOUNT_ATTR_STRICTATIME),
];

const PROPAGATIONS: [(&str, u64); 4] = [
    ("private", libc::MS_PRIVATE),
    ("shared", libc::MS_SHARED),
    ("slave", libc::MS_SLAVE),
    ("unbindable", libc::MS_UNBINDABLE),
];

impl Attributes {
    /// Sorts the words; one that nobody knows is the filesystem's.
    pub(crate) fn parse(options: &[String]) -> Self {
        let mut parsed = Self::default();
        for option in options {
            parsed.take(option);
        }
        parsed
    }

    fn take(&mut self, option: &str) {
        match option {
            "bind" => self.bind = Some(self.bind.unwrap_or(false)),
            "rbind" => self.bind = Some(true),
            "tmpcopyup" => self.copy_up = true,
            // `idmap` has done it.
            "idmap" | "ridmap" => {}
            // What they ask for is how things are anyway.
            "defaults" | "remount" | "relatime" | "rrelatime" | "async" | "atime" | "" => {}
            _ if self.take_flag(option) || self.take_propagation(option) => {}
            _ => self.data.push(option.to_owned()),
        }
    }

    fn take_flag(&mut self, option: &str) -> bool {
        let find = |word: &str| FLAGS.iter().find(|(name, _, _)| *name == word);
        if let Some((_, sets, bits)) = find(option) {
            change(&mut self.set, &mut self.clear, *sets, *bits);
        } else if let Some((_, sets, bits)) = option.strip_prefix('r').and_then(find) {
            change(&mut self.recursive_set, &mut self.recursive_clear, *sets, *bits);
        } else {
            return false;
        }
        true
    }

    fn take_propagation(&mut self, option: &str) -> bool {
        let find = |word: &str| PROPAGATIONS.iter().find(|(name, _)| *name == word);
        let found = find(option).map(|(_, bits)| (*bits, false));
        let found = found.or_else(|| option.strip_prefix('r').and_then(find).map(|(_, bits)| (*bits, true)));
        self.propagation = found.or(self.propagation);
        found.is_some()
    }

    /// Whether the mount itself is to be read-only.
    pub(crate) fn is_readonly(&self) -> bool {
        (self.set | self.recursive_set) & libc::MOUNT_ATTR_RDONLY != 0
    }

    /// Applies attributes and propagation to a mount; without a word about it, propagation is private.
    pub(crate) fn apply(&self, mount: BorrowedFd<'_>) -> std::io::Result<()> {
        if self.recursive_set | self.recursive_clear != 0 {
            let clear = self.recursive_clear | atime_to_clear(self.recursive_set);
            sys::mount_setattr(mount, true, self.recursive_set, clear, 0)?;
        }
        if self.set | self.clear != 0 {
            sys::mount_setattr(mount, false, self.set, self.clear | atime_to_clear(self.set), 0)?;
        }
        self.apply_propagation(mount)
    }

    /// Applies the propagation alone.
    pub(crate) fn apply_propagation(&self, mount: BorrowedFd<'_>) -> std::io::Result<()> {
        let (propagation, recursive) = self.propagation.unwrap_or((libc::MS_PRIVATE, true));
        sys::mount_setattr(mount, recursive, 0, 0, propagation)
    }
}

/// Every word that is understood, sorted.
pub(crate) fn words() -> Vec<String> {
    let flags = FLAGS.iter().map(|(word, _, _)| *word).chain(PROPAGATIONS.iter().map(|(word, _)| *word));
    let with_recursive = flags.flat_map(|word| [word.to_owned(), format!("r{word}")]);
    let rest = [
        "bind",
        "rbind",
        "tmpcopyup",
        "idmap",
        "ridmap",
        "defaults",
        "relatime",
        "rrelatime",
        "async",
        "atime",
    ];
    let mut words: Vec<_> = with_recursive.chain(rest.map(str::to_owned)).collect();
    words.sort();
    words
}

fn change(set: &mut u64, clear: &mut u64, sets: bool, bits: u64) {
    let (gains, loses) = if sets { (set, clear) } else { (clear, set) };
    *gains |= bits;
    *loses &= !bits;
}

/// The access-time setting is a field, not a flag: whoever sets it clears all of it.
fn atime_to_clear(set: u64) -> u64 {
    let field = libc::MOUNT_ATTR__ATIME;
    if set & field != 0 { field } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Attributes {
        Attributes::parse(&text.split(',').map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn the_last_word_wins() {
        assert!(!parse("ro,rw").is_readonly());
        assert!(parse("rw,ro").is_readonly());
    }

    #[test]
    fn recursive_words_are_told_from_the_filesystems_own() {
        let parsed = parse("rro,rbind,rshared,size=64m,mode=1777");
        assert_eq!(parsed.recursive_set, libc::MOUNT_ATTR_RDONLY);
        assert_eq!(parsed.bind, Some(true));
        assert_eq!(parsed.propagation, Some((libc::MS_SHARED, true)));
        assert_eq!(parsed.data, ["size=64m", "mode=1777"]);
    }
}
