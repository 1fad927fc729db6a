//! Processes, their mounts and their rights, as /proc has them (proc(5)).

use std::io;

use berth_runtime::capability_names;
use serde::Serialize;

/// One process of a container.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Process {
    /// Its number outside.
    pub outside: i32,
    /// Its number inside.
    pub inside: i32,
    /// Its parent's number outside.
    pub parent: i32,
    /// Its name.
    pub name: String,
}

/// One mount.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Mount {
    /// Where it is, inside.
    pub destination: String,
    /// The file system's kind.
    pub kind: String,
    /// What the file system is made of.
    pub source: String,
    /// Which part of the file system is shown.
    pub root: String,
    /// Options of the mount.
    pub options: String,
    /// Options of the file system.
    pub file_system_options: String,
}

/// What a process may do.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Rights {
    /// Capabilities in force.
    pub effective: Vec<String>,
    /// Capabilities that it may bring in force.
    pub permitted: Vec<String>,
    /// Capabilities that it may ever have.
    pub bounding: Vec<String>,
    /// Capabilities that a program keeps over an exec.
    pub inheritable: Vec<String>,
    /// Capabilities that every program keeps over an exec.
    pub ambient: Vec<String>,
    /// Whether set-user-id programs give it nothing.
    pub no_new_privileges: bool,
    /// `disabled`, `strict` or `filter`.
    pub seccomp: &'static str,
    /// Filters in force.
    pub seccomp_filters: u32,
}

impl Process {
    /// A living process; none when it isn't.
    pub(super) fn read(pid: i32) -> Option<Self> {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        Self::parse(pid, &status)
    }

    fn parse(pid: i32, status: &str) -> Option<Self> {
        Some(Self {
            outside: pid,
            // One number for each pid namespace, the innermost last.
            inside: field(status, "NSpid")?.split_whitespace().last()?.parse().ok()?,
            parent: field(status, "PPid")?.parse().ok()?,
            name: field(status, "Name")?.to_owned(),
        })
    }
}

/// What a process sees mounted.
pub(super) fn mounts(pid: i32) -> io::Result<Vec<Mount>> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/mountinfo"))?;
    Ok(text.lines().filter_map(mount).collect())
}

/// `36 35 98:0 /root /destination options optional… - kind source options`
fn mount(line: &str) -> Option<Mount> {
    let (before, after) = line.split_once(" - ")?;
    let mut before = before.split(' ').skip(3);
    let mut after = after.split(' ');
    let mut next = || before.next().map(plain);
    let (root, destination, options) = (next()?, next()?, next()?);
    let mut next = || after.next().map(plain);
    let (kind, source, file_system_options) = (next()?, next()?, next()?);
    Some(Mount { destination, kind, source, root, options, file_system_options })
}

/// The kernel writes blanks and backslashes of names in octal.
fn plain(text: &str) -> String {
    [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")]
        .into_iter()
        .fold(text.to_owned(), |text, (octal, character)| text.replace(octal, character))
}

/// What a process may do.
pub(super) fn rights(pid: i32) -> io::Result<Rights> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let set = |name: &str| {
        let bits = field(&status, name).and_then(|text| u64::from_str_radix(text, 16).ok());
        capability_names(bits.unwrap_or_default())
    };
    let number =
        |name: &str| field(&status, name).and_then(|text| text.parse::<u32>().ok()).unwrap_or_default();
    Ok(Rights {
        effective: set("CapEff"),
        permitted: set("CapPrm"),
        bounding: set("CapBnd"),
        inheritable: set("CapInh"),
        ambient: set("CapAmb"),
        no_new_privileges: number("NoNewPrivs") == 1,
        seccomp: match number("Seccomp") {
            1 => "strict",
            2 => "filter",
            _ => "disabled",
        },
        seccomp_filters: number("Seccomp_filters"),
    })
}

fn field<'a>(status: &'a str, name: &str) -> Option<&'a str> {
    status.lines().find_map(|line| Some(line.strip_prefix(name)?.strip_prefix(':')?.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_mountinfo_is_read() {
        let line =
            "36 35 98:0 /a\\040b /mnt rw,noatime master:1 shared:2 - ext4 /dev/root rw,errors=continue";
        let mount = mount(line).unwrap();
        assert_eq!(
            (mount.root.as_str(), mount.destination.as_str(), mount.kind.as_str()),
            ("/a b", "/mnt", "ext4")
        );
        assert_eq!(mount.file_system_options, "rw,errors=continue");
    }

    #[test]
    fn a_process_has_a_number_inside() {
        let process = Process::parse(70, "Name:\tsh\nPPid:\t60\nNSpid:\t70\t1\n").unwrap();
        assert_eq!((process.outside, process.inside, process.parent), (70, 1, 60));
    }

    #[test]
    fn capabilities_have_their_names() {
        assert_eq!(capability_names(0b1 | 1 << 21), ["CAP_CHOWN", "CAP_SYS_ADMIN"]);
    }
}
