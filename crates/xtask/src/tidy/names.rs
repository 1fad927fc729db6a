//! Names that say nothing are refused: a reader must find `docker pause` in ten seconds.

use std::path::Path;

/// No crate or module is called one of these.
const BANNED: &[&str] = &["common", "util", "utils", "core", "base", "helper", "helpers", "types", "misc"];
/// No type's name ends in one of these.
const BANNED_ENDINGS: &[&str] = &["Manager", "Service", "Helper"];

/// Complaints about a crate's name.
pub(super) fn check_crate(name: &str) -> Vec<String> {
    let last = name.rsplit('-').next().unwrap_or(name);
    if BANNED.contains(&last) {
        vec![format!("crate {name}: the name {last} says nothing")]
    } else {
        Vec::new()
    }
}

/// Complaints about a file's name and the types it declares.
pub(super) fn check_file(path: &Path, text: &str) -> Vec<String> {
    let mut complaints = Vec::new();
    let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    if BANNED.contains(&stem) {
        complaints.push(format!("{}: the name {stem} says nothing", path.display()));
    }
    for name in text.lines().filter_map(declared_type) {
        if let Some(ending) = BANNED_ENDINGS.iter().find(|ending| name.ends_with(**ending)) {
            complaints
                .push(format!("{}: {name}: a type is named for what it is, not {ending}", path.display()));
        }
    }
    complaints
}

/// The type that a line declares, if it declares one.
fn declared_type(line: &str) -> Option<&str> {
    let line = line.trim_start();
    let line =
        line.strip_prefix("pub").map_or(line, |rest| rest.trim_start_matches(|c| c != ' ').trim_start());
    let rest = ["struct ", "enum ", "trait ", "type "].iter().find_map(|word| line.strip_prefix(word))?;
    rest.split(|c: char| !c.is_alphanumeric() && c != '_').next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn manager_types_are_refused() {
        let complaints = check_file(Path::new("a.rs"), "pub(crate) struct VolumeManager {\n}\n");
        assert_eq!(complaints.len(), 1, "{complaints:?}");
    }

    #[test]
    fn a_file_called_utils_is_refused() {
        assert_eq!(check_file(Path::new("src/utils.rs"), "").len(), 1);
    }
}
