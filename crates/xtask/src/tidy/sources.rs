//! Rules about a file's text: its size, its first line, its dividers, where an OS may be named, orphans.

use std::path::{Path, PathBuf};

use cargo_metadata::Package;

/// A file's longest length without its tests; over it, split by what a reader looks for.
const LONGEST: usize = 600;
/// Attributes that name an operating system.
const OS_WORDS: &[&str] =
    &["target_os", "cfg(unix", "cfg(windows", "cfg(not(unix", "cfg(not(windows", "target_family"];

/// Complaints about a crate as a whole: no description, no `//!`, files that no `mod` names.
pub(super) fn check_crate(package: &Package, files: &[(PathBuf, String)]) -> Vec<String> {
    let name = &package.name;
    let mut complaints = Vec::new();
    if package.description.as_deref().unwrap_or_default().is_empty() {
        complaints.push(format!("crate {name} has no description"));
    }
    let roots: Vec<&Path> = package.targets.iter().map(|target| target.src_path.as_std_path()).collect();
    for (path, text) in files {
        if roots.contains(&path.as_path()) && !path.ends_with("build.rs") && !text.starts_with("//!") {
            complaints.push(format!("{}: a crate's first line is `//! what it is`", path.display()));
        }
        if !roots.contains(&path.as_path()) && !is_named(path, files) {
            complaints.push(format!("{}: no `mod` names this file", path.display()));
        }
    }
    complaints
}

/// Whether a `mod` line in the file above names `path`.
fn is_named(path: &Path, files: &[(PathBuf, String)]) -> bool {
    let (Some(folder), Some(stem)) = (path.parent(), path.file_stem().and_then(|stem| stem.to_str())) else {
        return false;
    };
    let named = |text: &str| {
        text.lines().any(|line| {
            let line = line.trim();
            line.ends_with(&format!("mod {stem};")) || line.contains(&format!("{stem}.rs\"]"))
        })
    };
    let parents = [folder.with_extension("rs"), folder.join("lib.rs"), folder.join("main.rs")];
    files.iter().any(|(other, text)| {
        let above = parents.contains(other) || other.parent() == Some(folder);
        other != path && above && named(text)
    })
}

/// Complaints about one file.
pub(super) fn check_file(path: &Path, text: &str) -> Vec<String> {
    let shown = path.display();
    let mut complaints = Vec::new();
    if path.file_name().is_some_and(|name| name == "mod.rs") {
        complaints.push(format!("{shown}: name the file after its module, not mod.rs"));
    }
    if !is_test(path) {
        let lines = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default().lines().count();
        if lines > LONGEST {
            complaints.push(format!("{shown}: {lines} lines without tests; split it below {LONGEST}"));
        }
    }
    for (number, line) in text.lines().enumerate() {
        let place = format!("{shown}:{}", number + 1);
        let comment = line.trim_start().strip_prefix("//").map(str::trim_start);
        if comment
            .is_some_and(|rest| ["====", "----", "****", "####"].iter().any(|rule| rest.starts_with(rule)))
        {
            complaints.push(format!("{place}: a divider means the file wants splitting"));
        }
        if comment.is_none() && names_an_os(line) && !may_name_an_os(path, line) {
            complaints.push(format!("{place}: an OS is named only in sys.rs or in a Cargo target table"));
        }
    }
    complaints
}

/// Whether the file holds only tests.
fn is_test(path: &Path) -> bool {
    path.ends_with("tests.rs") || path.components().any(|part| part.as_os_str() == "tests")
}

/// Whether the line's attribute names an operating system.
fn names_an_os(line: &str) -> bool {
    let line = line.trim_start();
    (line.starts_with("#[") || line.starts_with("#![") || line.contains("cfg!("))
        && OS_WORDS.iter().any(|word| line.contains(word))
}

/// Where an OS may be named: any `sys.rs`, and the choice of a backend in `hv/src/lib.rs`.
fn may_name_an_os(path: &Path, line: &str) -> bool {
    let chooses_a_backend = path.ends_with("hv/src/lib.rs") && line.trim_start().starts_with("#[cfg(");
    path.ends_with("sys.rs") || chooses_a_backend
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_os_cfg_outside_sys_is_refused() {
        let text = "#[cfg(target_os = \"macos\")]\nfn f() {}\n";
        assert_eq!(check_file(Path::new("crates/vmm/src/boot.rs"), text).len(), 1);
        assert!(check_file(Path::new("crates/vmm/src/sys.rs"), text).is_empty());
    }

    #[test]
    fn a_long_file_is_refused_but_its_tests_do_not_count() {
        let long = "fn f() {}\n".repeat(LONGEST + 1);
        assert_eq!(check_file(Path::new("a.rs"), &long).len(), 1);
        let tested = format!("fn f() {{}}\n#[cfg(test)]\nmod tests {{\n{long}}}\n");
        assert!(check_file(Path::new("a.rs"), &tested).is_empty());
    }

    #[test]
    fn a_divider_is_refused() {
        assert_eq!(check_file(Path::new("a.rs"), "// ==== things ====\n").len(), 1);
    }

    #[test]
    fn an_orphan_is_found() {
        let files = [("src/lib.rs", "mod a;"), ("src/a.rs", ""), ("src/b.rs", "")];
        let files: Vec<_> = files.map(|(path, text)| (PathBuf::from(path), text.to_owned())).into();
        assert!(is_named(Path::new("src/a.rs"), &files));
        assert!(!is_named(Path::new("src/b.rs"), &files));
    }
}
