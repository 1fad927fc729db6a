//! What the engine's configuration says of networks.

use std::collections::BTreeMap;

use crate::network::NetworkWish;
use crate::subnet::Subnet;

/// A block that subnets of new networks are cut from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pool {
    /// The block.
    pub base: Subnet,
    /// The length of the subnets' prefixes.
    pub size: u8,
}

/// How networks are made where their user leaves it open.
#[derive(Debug, Clone)]
pub struct Defaults {
    /// Where subnets come from; Docker's own pools when empty.
    pub pools: Vec<Pool>,
    /// What is asked of the network `bridge`: its subnets, options, and whether it has IPv6. Its name doesn't matter.
    pub bridge: NetworkWish,
    /// Options of new networks by driver.
    pub options: BTreeMap<String, BTreeMap<String, String>>,
    /// Whether this machine is made to pass packets on.
    pub forward: bool,
}

impl Default for Defaults {
    fn default() -> Self {
        Self { pools: Vec::new(), bridge: NetworkWish::default(), options: BTreeMap::new(), forward: true }
    }
}
