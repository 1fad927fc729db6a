//! From a profile to BPF instructions.
//!
//! ```text
//! which architecture? ── unknown ──> kill
//!   │ per architecture
//! number within …?      a search tree over ranges of numbers that share a fate, so that a call costs about
//!   │                   seven comparisons instead of hundreds
//! arguments match …? ── no ──> default action
//! ```

use std::collections::BTreeMap;

use libc::{BPF_ABS, BPF_JA, BPF_JEQ, BPF_JGE, BPF_JMP, BPF_K, BPF_LD, BPF_RET, BPF_W, sock_filter};
use oci_spec::runtime::{LinuxSeccomp, LinuxSeccompAction, LinuxSyscall};

use super::arguments;
use super::numbers::Arch;
use crate::error::Error;

/// Offsets in `struct seccomp_data`.
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;
/// A conditional jump's reach.
const FAR: usize = u8::MAX as usize;

/// What becomes of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Fate<'a> {
    /// Always the same.
    Certain(u32),
    /// The action of the first rule whose arguments match, else the default.
    Depends(Vec<(&'a LinuxSyscall, u32)>),
}

/// The whole filter.
pub(super) fn program(profile: &LinuxSeccomp) -> Result<Vec<sock_filter>, Error> {
    let default = action(profile.default_action(), profile.default_errno_ret())?;
    let mut architectures: Vec<_> =
        profile.architectures().iter().flatten().filter_map(|name| Arch::named(*name)).collect();
    architectures.push(Arch::NATIVE);
    architectures.sort();
    architectures.dedup();

    let mut code = vec![load(ARCHITECTURE)];
    for arch in architectures {
        let mut calls = vec![load(NUMBER)];
        calls.extend(tree(&ranges(&fates(profile, arch, default)?, default), default)?);
        code.push(jump(BPF_JEQ, arch.audit(), 1, 0));
        code.push(statement(BPF_JMP | BPF_JA, calls.len() as u32));
        code.extend(calls);
    }
    code.push(give(libc::SECCOMP_RET_KILL_PROCESS));
    Ok(code)
}

/// The fate of every call that a rule names and `arch` knows.
fn fates(profile: &LinuxSeccomp, arch: Arch, default: u32) -> Result<BTreeMap<u32, Fate<'_>>, Error> {
    let numbers = arch.numbers();
    let mut fates = BTreeMap::new();
    for rule in profile.syscalls().iter().flatten() {
        let does = action(rule.action(), rule.errno_ret())?;
        if does == default {
            continue;
        }
        let is_certain = rule.args().as_ref().is_none_or(Vec::is_empty);
        for number in rule.names().iter().filter_map(|name| numbers.get(name.as_str()).copied()) {
            let fate = fates.entry(number).or_insert_with(|| Fate::Depends(Vec::new()));
            match fate {
                // A rule without conditions outweighs those with some.
                Fate::Certain(_) => {}
                Fate::Depends(_) if is_certain => *fate = Fate::Certain(does),
                Fate::Depends(rules) => rules.push((rule, does)),
            }
        }
    }
    Ok(fates)
}

/// Neighbours of one fate together: the first number of each range. Beyond the last call that the profile knows of,
/// a refusal reads "no such call": C libraries then fall back to an older one, which EPERM keeps them from.
fn ranges<'a>(fates: &BTreeMap<u32, Fate<'a>>, default: u32) -> Vec<(u32, Fate<'a>)> {
    let mut ranges = vec![(0, Fate::Certain(default))];
    let mut push = |start: u32, fate: Fate<'a>| match ranges.last_mut() {
        Some((_, last)) if *last == fate => {}
        Some((begin, last)) if *begin == start => *last = fate,
        _ => ranges.push((start, fate)),
    };
    for (number, fate) in fates {
        push(*number, fate.clone());
        if !fates.contains_key(&(number + 1)) {
            push(number + 1, Fate::Certain(default));
        }
    }
    let is_refusal = default & libc::SECCOMP_RET_ACTION_FULL == libc::SECCOMP_RET_ERRNO;
    if let Some(last) = fates.keys().next_back().filter(|_| is_refusal) {
        push(last + 1, Fate::Certain(libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32));
    }
    ranges
}

/// Finds the range of the number in the accumulator.
fn tree(ranges: &[(u32, Fate<'_>)], default: u32) -> Result<Vec<sock_filter>, Error> {
    let (below, above) = ranges.split_at(ranges.len() / 2);
    let Some((middle, _)) = above.first().filter(|_| !below.is_empty()) else {
        return match ranges.first() {
            Some((_, Fate::Certain(action))) => Ok(vec![give(*action)]),
            Some((_, Fate::Depends(rules))) => depends(rules, default),
            None => Ok(vec![give(default)]),
        };
    };
    let (below, above) = (tree(below, default)?, tree(above, default)?);
    let mut code = Vec::new();
    if below.len() <= FAR {
        code.push(jump(BPF_JGE, *middle, below.len() as u8, 0));
    } else {
        code.push(jump(BPF_JGE, *middle, 0, 1));
        code.push(statement(BPF_JMP | BPF_JA, below.len() as u32));
    }
    code.extend(below);
    code.extend(above);
    Ok(code)
}

fn depends(rules: &[(&LinuxSyscall, u32)], default: u32) -> Result<Vec<sock_filter>, Error> {
    let mut code = Vec::new();
    for (rule, does) in rules {
        code.extend(arguments::check(rule.args().as_deref().unwrap_or_default(), *does)?);
    }
    code.push(give(default));
    Ok(code)
}

/// The value that a filter returns for an action.
fn action(action: LinuxSeccompAction, errno: Option<u32>) -> Result<u32, Error> {
    let errno = errno.unwrap_or(libc::EPERM as u32) & libc::SECCOMP_RET_DATA;
    Ok(match action {
        LinuxSeccompAction::ScmpActKill | LinuxSeccompAction::ScmpActKillThread => {
            libc::SECCOMP_RET_KILL_THREAD
        }
        LinuxSeccompAction::ScmpActKillProcess => libc::SECCOMP_RET_KILL_PROCESS,
        LinuxSeccompAction::ScmpActTrap => libc::SECCOMP_RET_TRAP,
        LinuxSeccompAction::ScmpActErrno => libc::SECCOMP_RET_ERRNO | errno,
        LinuxSeccompAction::ScmpActTrace => libc::SECCOMP_RET_TRACE | errno,
        LinuxSeccompAction::ScmpActLog => libc::SECCOMP_RET_LOG,
        LinuxSeccompAction::ScmpActAllow => libc::SECCOMP_RET_ALLOW,
        LinuxSeccompAction::ScmpActNotify => libc::SECCOMP_RET_USER_NOTIF,
    })
}

/// Loads a word of `struct seccomp_data`.
pub(super) fn load(offset: u32) -> sock_filter {
    statement(BPF_LD | BPF_W | BPF_ABS, offset)
}

/// Ends the filter.
pub(super) fn give(value: u32) -> sock_filter {
    statement(BPF_RET | BPF_K, value)
}

pub(super) fn statement(code: u32, k: u32) -> sock_filter {
    sock_filter { code: code as u16, jt: 0, jf: 0, k }
}

/// Compares the accumulator with `k`; skips `yes` or `no` instructions.
pub(super) fn jump(comparison: u32, k: u32, yes: u8, no: u8) -> sock_filter {
    sock_filter { code: (BPF_JMP | comparison | BPF_K) as u16, jt: yes, jf: no, k }
}

#[cfg(test)]
mod tests;
