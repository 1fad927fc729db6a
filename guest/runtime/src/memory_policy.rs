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
    sys::set_memory_policy(mode(policy.mode()) | flags, mask).doing("set the memory policy")
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

fn bit(flag: MemoryPolicyFlagType) -> i32 {
    match flag {
        MemoryPolicyFlagType::MpolFStaticNodes => 1 << 15,
        MemoryPolicyFlagType::MpolFRelativeNodes => 1 << 14,
        MemoryPolicyFlagType::MpolFNumaBalancing => 1 << 13,
    }
}
