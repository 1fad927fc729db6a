//! Namespaces of a container: made with the process, or joined by path.
//!
//! Joined ones are entered by the parent right before the clone and left right after, so that the child is born
//! in them: its pid namespace can't be changed later, and entering needs privileges over the namespace's owner
//! that a child in a new user namespace no longer has. Two kinds are the child's own business: the mount
//! namespace, and everything when a user namespace is joined.

use std::ffi::c_int;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use oci_spec::runtime::{Linux, LinuxIdMapping, LinuxNamespaceType, Spec};

use crate::error::{Doing, Error};
use crate::sys;

/// Kinds that the child makes itself: a cgroup namespace's root is the cgroup of whoever makes it, and a time
/// namespace takes its offsets before the first process enters it, which happens on exec.
const MADE_BY_CHILD: c_int = libc::CLONE_NEWCGROUP | CLONE_NEWTIME;
/// `CLONE_NEWTIME` of `linux/sched.h`.
const CLONE_NEWTIME: c_int = 0x80;

/// A namespace to enter.
#[derive(Debug)]
struct Join {
    kind: c_int,
    file: OwnedFd,
}

/// What the specification asks for.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    new: c_int,
    by_parent: Vec<Join>,
    by_child: Vec<Join>,
}

impl Plan {
    /// Reads the specification and opens the namespaces to join.
    pub(crate) fn new(spec: &Spec) -> Result<Self, Error> {
        let mut plan = Self::default();
        let wanted =
            spec.linux().as_ref().and_then(|linux| linux.namespaces().as_deref()).unwrap_or_default();
        for namespace in wanted {
            let kind = number(namespace.typ())?;
            let Some(path) = namespace.path() else {
                plan.new |= kind;
                continue;
            };
            let file = File::open(path).on("open the namespace", path)?.into();
            let join = Join { kind, file };
            if kind == libc::CLONE_NEWNS || kind == libc::CLONE_NEWUSER {
                plan.by_child.push(join);
            } else {
                plan.by_parent.push(join);
            }
        }
        if plan.by_child.iter().any(|join| join.kind == libc::CLONE_NEWUSER) {
            // Only root of the joined user namespace may enter what it owns; the pid namespace must be the
            // parent's doing all the same.
            let (parent, child) =
                plan.by_parent.into_iter().partition(|join| join.kind == libc::CLONE_NEWPID);
            plan.by_parent = parent;
            plan.by_child.extend::<Vec<_>>(child);
        }
        // The user namespace first, the mount namespace last.
        plan.by_child.sort_by_key(|join| match join.kind {
            libc::CLONE_NEWUSER => 0,
            libc::CLONE_NEWNS => 2,
            _ => 1,
        });
        Ok(plan)
    }

    /// What clone3 makes.
    pub(crate) fn clone_flags(&self) -> u64 {
        let flags = self.new & !MADE_BY_CHILD;
        // With a user namespace to join, the others must belong to it: the child makes them after joining.
        let flags = if self.joins_user() { flags & libc::CLONE_NEWPID } else { flags };
        flags as u64
    }

    /// Whether `kind` (`CLONE_NEW…`) is new.
    pub(crate) fn makes(&self, kind: c_int) -> bool {
        self.new & kind != 0
    }

    /// Whether the child needs id mappings written.
    pub(crate) fn needs_mapping(&self) -> bool {
        self.makes(libc::CLONE_NEWUSER)
    }

    /// Whether the container has a user namespace other than the engine's.
    pub(crate) fn has_user(&self) -> bool {
        self.needs_mapping() || self.joins_user()
    }

    /// Whether the container has its own namespace of `kind`, new or joined.
    pub(crate) fn has(&self, kind: c_int) -> bool {
        self.makes(kind) || self.by_parent.iter().chain(&self.by_child).any(|join| join.kind == kind)
    }

    fn joins_user(&self) -> bool {
        self.by_child.iter().any(|join| join.kind == libc::CLONE_NEWUSER)
    }

    /// Enters what the child must be born in; dropping the result returns.
    pub(crate) fn visit(&self) -> Result<Visit, Error> {
        let mut visit = Visit(Vec::new());
        for join in &self.by_parent {
            visit.enter(join.file.as_fd(), join.kind)?;
        }
        Ok(visit)
    }

    /// Enters and makes what is the child's own business.
    pub(crate) fn enter(&self, linux: Option<&Linux>) -> Result<(), Error> {
        for join in &self.by_child {
            sys::setns(join.file.as_fd(), join.kind).doing("join a namespace")?;
        }
        let born_in = self.clone_flags() as c_int;
        let missing = self.new & !born_in;
        if missing & CLONE_NEWTIME != 0 {
            sys::unshare(CLONE_NEWTIME).doing("make a time namespace")?;
            set_time_offsets(linux)?;
        }
        let missing = missing & !CLONE_NEWTIME;
        if missing != 0 { sys::unshare(missing).doing("make namespaces") } else { Ok(()) }
    }
}

/// Other namespaces, entered for a moment.
#[derive(Debug)]
pub(crate) struct Visit(Vec<Join>);

impl Visit {
    /// No visit so far.
    pub(crate) fn none() -> Self {
        Self(Vec::new())
    }

    /// Enters the namespace of `kind` behind `file` and remembers the way back.
    pub(crate) fn enter(&mut self, file: BorrowedFd<'_>, kind: c_int) -> Result<(), Error> {
        let own = format!("/proc/self/ns/{}", name(kind));
        let home = File::open(&own).on("open the namespace", &own)?.into();
        sys::setns(file, kind).doing("join a namespace")?;
        self.0.push(Join { kind, file: home });
        Ok(())
    }

    /// Returns home.
    pub(crate) fn leave(&mut self) -> Result<(), Error> {
        while let Some(home) = self.0.pop() {
            sys::setns(home.file.as_fd(), home.kind).doing("return from a namespace")?;
        }
        Ok(())
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        // Only reached with homes left when something failed before; the caller gives up then.
        let _ = self.leave();
    }
}

/// Who is who in a user namespace.
#[derive(Clone, Copy)]
pub(crate) struct Mappings<'a> {
    pub(crate) users: &'a [LinuxIdMapping],
    pub(crate) groups: &'a [LinuxIdMapping],
}

/// Writes the id mappings of a child that waits for them.
pub(crate) fn write_mappings(pid: i32, linux: Option<&Linux>) -> Result<(), Error> {
    let linux = linux.ok_or(Error::Spec("a user namespace without mappings"))?;
    let users = linux.uid_mappings().as_deref().unwrap_or_default();
    let groups = linux.gid_mappings().as_deref().unwrap_or_default();
    write(pid, Mappings { users, groups })
}

/// Writes the mappings of the user namespace that `pid` was born with.
pub(crate) fn write(pid: i32, mappings: Mappings<'_>) -> Result<(), Error> {
    for (file, mappings) in [("uid_map", mappings.users), ("gid_map", mappings.groups)] {
        let path = format!("/proc/{pid}/{file}");
        let text: String = mappings.iter().map(line).collect();
        std::fs::write(&path, text).on("write", &path)?;
    }
    Ok(())
}

fn line(mapping: &LinuxIdMapping) -> String {
    format!("{} {} {}\n", mapping.container_id(), mapping.host_id(), mapping.size())
}

/// time_namespaces(7): one line per clock.
fn set_time_offsets(linux: Option<&Linux>) -> Result<(), Error> {
    let path = "/proc/self/timens_offsets";
    for (clock, offset) in linux.and_then(|linux| linux.time_offsets().as_ref()).into_iter().flatten() {
        let text = format!("{clock} {} {}\n", offset.secs().unwrap_or(0), offset.nanosecs().unwrap_or(0));
        std::fs::write(path, text).on("write", path)?;
    }
    Ok(())
}

/// Every kind, with its file in `/proc/<pid>/ns`.
pub(crate) const KINDS: [(c_int, &str); 8] = [
    (libc::CLONE_NEWUSER, "user"),
    (libc::CLONE_NEWPID, "pid"),
    (libc::CLONE_NEWNET, "net"),
    (libc::CLONE_NEWIPC, "ipc"),
    (libc::CLONE_NEWUTS, "uts"),
    (libc::CLONE_NEWCGROUP, "cgroup"),
    (CLONE_NEWTIME, "time"),
    (libc::CLONE_NEWNS, "mnt"),
];

fn name(kind: c_int) -> &'static str {
    // A process keeps its own pid namespace; what its children get is the one that setns changes.
    match KINDS.iter().find(|(number, _)| *number == kind) {
        Some((_, "time")) => "time_for_children",
        Some((_, "pid")) => "pid_for_children",
        Some((_, name)) => name,
        None => "",
    }
}

fn number(kind: LinuxNamespaceType) -> Result<c_int, Error> {
    Ok(match kind {
        LinuxNamespaceType::Mount => libc::CLONE_NEWNS,
        LinuxNamespaceType::Cgroup => libc::CLONE_NEWCGROUP,
        LinuxNamespaceType::Uts => libc::CLONE_NEWUTS,
        LinuxNamespaceType::Ipc => libc::CLONE_NEWIPC,
        LinuxNamespaceType::User => libc::CLONE_NEWUSER,
        LinuxNamespaceType::Pid => libc::CLONE_NEWPID,
        LinuxNamespaceType::Network => libc::CLONE_NEWNET,
        LinuxNamespaceType::Time => CLONE_NEWTIME,
    })
}
