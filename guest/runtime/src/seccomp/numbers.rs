//! The numbers of system calls on the architectures that containers run on here.

use std::collections::HashMap;

use oci_spec::runtime::Arch as Name;

/// An architecture whose calls can be filtered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Arch {
    X86_64,
    X86,
    Aarch64,
    Arm,
}

/// One line per call: its name, then its number for each [`Arch`] in order.
const TABLE: &str = include_str!("numbers.txt");

impl Arch {
    /// The one that this program runs on.
    pub(super) const NATIVE: Self = if cfg!(target_arch = "aarch64") { Self::Aarch64 } else { Self::X86_64 };

    /// By its name in a profile; `None` for those that can't run here. x32 calls come as calls of x86_64 with
    /// high numbers, which no rule names: they get the default action.
    pub(super) fn named(name: Name) -> Option<Self> {
        match name {
            Name::ScmpArchNative => Some(Self::NATIVE),
            Name::ScmpArchX86_64 => Some(Self::X86_64),
            Name::ScmpArchX86 => Some(Self::X86),
            Name::ScmpArchAarch64 => Some(Self::Aarch64),
            Name::ScmpArchArm => Some(Self::Arm),
            _ => None,
        }
    }

    /// `AUDIT_ARCH_*` of `linux/audit.h`: what the kernel tells a filter.
    pub(super) fn audit(self) -> u32 {
        match self {
            Self::X86_64 => 0xc000_003e,
            Self::X86 => 0x4000_0003,
            Self::Aarch64 => 0xc000_00b7,
            Self::Arm => 0x4000_0028,
        }
    }

    /// The numbers of its calls, by name.
    pub(super) fn numbers(self) -> HashMap<&'static str, u32> {
        let call = |line: &'static str| {
            let (name, numbers) = line.split_once(' ')?;
            Some((name, numbers.split(' ').nth(self as usize)?.parse().ok()?))
        };
        TABLE.lines().filter_map(call).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_the_kernels() {
        assert_eq!(Arch::X86_64.numbers().get("execve"), Some(&59));
        assert_eq!(Arch::X86.numbers().get("socketcall"), Some(&102));
        assert_eq!(Arch::Aarch64.numbers().get("open"), None);
        assert_eq!(Arch::NATIVE.numbers().get("execve").copied(), Some(libc::SYS_execve as u32));
        assert_eq!(Arch::X86_64.numbers().get("exec"), None);
    }
}
