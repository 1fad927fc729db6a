//! On which NUMA nodes a process's memory lies: `linux.memoryPolicy`, set_mempolicy(2). It is inherited by what the process
//! starts, and kept through exec.

use oci_spec::runtime::{LinuxMemoryPolicy, MemoryPolicyFlagType, MemoryPolicyModeType};

use crate::error::{Doing, Error};
use crate::scheduling::numbers;
use crate::sys;

/// More nodes than any kernel is configured for (`CONFIG_NODES_SHIFT` is at most 10).
const MOST_NODES: usize = 1024;

/// Sets it for the calling process.
pub(crate) fn apply(policy: &LinuxMemoryPolicy) -> Result<(), Error> {
    let nodes = policy.nodes().as_deref().filter(|nodes| !nodes.trim().is_empty());
    let mut mask = [0_u64; MOST_NODES / 64];
    for node in nodes.map(|nodes| numbers("nodes", nodes, MOST_NODES)).transpose()?.into_iter().flatten() {
        mask[node / 64] |= 1 << (node % 64);
    }
    let flags = policy.flags().iter().flatten().fold(0, |flags, flag| flags | bit(*flag));
    let mask = nodes.is_some().then_some(mask.as_slice());
    let set = match sys::set_memory_policy(mode(policy.mode()) | flags, mask) {
        Err(error) if error.raw_os_error() == Some(libc::ENOSYS) => of_one_node(policy.mode(), flags, mask),
        set => set,
    };
    set.doing("set the memory policy")
}

/// What a kernel without NUMA would answer if it had the call: all of its memory is node 0, so that whatever may be asked
/// of it holds already.
fn of_one_node(mode: MemoryPolicyModeType, flags: i32, mask: Option<&[u64]>) -> std::io::Result<()> {
    use MemoryPolicyModeType::{MpolDefault, MpolLocal, MpolPreferred};
    const RELATIVE: i32 = bit(MemoryPolicyFlagType::MpolFRelativeNodes);
    const FIXED: i32 = bit(MemoryPolicyFlagType::MpolFStaticNodes);
    let nodes = mask.unwrap_or_default();
    let is_empty = nodes.iter().all(|bits| *bits == 0);
    let is_possible = match mode {
        MpolDefault | MpolLocal => is_empty && flags == 0,
        _ if flags & RELATIVE != 0 && flags & FIXED != 0 => false,
        MpolPreferred if is_empty => flags == 0,
        _ if flags & RELATIVE != 0 => !is_empty,
        _ => nodes.first().is_some_and(|bits| bits & 1 != 0),
    };
    if is_possible { Ok(()) } else { Err(std::io::Error::from_raw_os_error(libc::EINVAL)) }
}

/// `linux/mempolicy.h`.
fn mode(mode: MemoryPolicyModeType) -> i32 {
    match mode {
        MemoryPolicyModeType::MpolDefault => 0,
        MemoryPolicyModeType::MpolPreferred => 1,
        MemoryPolicyModeType::MpolBind => 2,
        MemoryPolicyModeType::MpolInterleave => 3,
        MemoryPolicyModeType::MpolLocal => 4,
        MemoryPolicyModeType::MpolPreferredMany => 5,
        MemoryPolicyModeType::MpolWeightedInterleave => 6,
    }
}

const fn bit(flag: MemoryPolicyFlagType) -> i32 {
    match flag {
        MemoryPolicyFlagType::MpolFStaticNodes => 1 << 15,
        MemoryPolicyFlagType::MpolFRelativeNodes => 1 << 14,
        MemoryPolicyFlagType::MpolFNumaBalancing => 1 << 13,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_node_is_enough_for_policies_that_may_use_it() {
        let asks = |mode, flags, nodes: u64| of_one_node(mode, flags, Some(&[nodes])).is_ok();
        use MemoryPolicyModeType::{MpolBind, MpolDefault, MpolInterleave, MpolPreferred};
        let (fixed, relative) =
            (bit(MemoryPolicyFlagType::MpolFStaticNodes), bit(MemoryPolicyFlagType::MpolFRelativeNodes));
        assert!(
            asks(MpolBind, fixed, 0b1) && asks(MpolInterleave, 0, 0b1111_1111) && asks(MpolDefault, 0, 0)
        );
        assert!(asks(MpolPreferred, relative, 0b10) && asks(MpolPreferred, 0, 0));
        assert!(!asks(MpolBind, 0, 0b10) && !asks(MpolBind, 0, 0), "there is no other node");
        assert!(
            !asks(MpolDefault, 0, 0b1) && !asks(MpolBind, fixed | relative, 0b1),
            "set_mempolicy(2): EINVAL"
        );
    }
}
