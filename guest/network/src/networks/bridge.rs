//! The bridge behind a network, made as its record says.

use std::net::Ipv4Addr;

use super::{file, kernel};
use crate::endpoint::Mac;
use crate::error::Result;
use crate::network::Network;
use crate::route::Kernel;
use crate::subnet::to_bits;

/// Lets this machine pass packets on, as bridges need.
pub(super) fn forward_packets() -> Result<()> {
    write_setting("/proc/sys/net/ipv4/ip_forward", "1")
}

/// Makes the bridge, or gives the one that is there the addresses of the record and takes others away.
pub(super) fn build(links: &mut Kernel, network: &Network) -> Result<()> {
    let Some(name) = &network.bridge else { return Ok(()) };
    let index = match links.index(name).map_err(kernel("look for the bridge", name))? {
        Some(index) => index,
        None => {
            links.add_bridge(name, mac(network), network.mtu()).map_err(kernel("make the bridge", name))?;
            let found = links.index(name).map_err(kernel("look for the bridge", name))?;
            found.ok_or_else(|| kernel("look for the bridge", name)(std::io::ErrorKind::NotFound.into()))?
        }
    };
    let wanted: Vec<_> = network.bridge_addresses().collect();
    for (address, length) in links.addresses(index).map_err(kernel("list the addresses of", name))? {
        if !wanted.contains(&(address, length)) {
            links.remove_address(index, address, length).map_err(kernel("take an address from", name))?;
        }
    }
    if wanted.iter().any(|(address, _)| address.is_ipv6()) {
        write_setting("/proc/sys/net/ipv6/conf/all/forwarding", "1")?;
    }
    for (address, length) in wanted {
        links.add_address(index, address, length).map_err(kernel("give an address to", name))?;
    }
    links.bring_up(index).map_err(kernel("bring up", name))
}

/// The bridge's own hardware address: of its gateway's address where there is one.
pub(super) fn mac(network: &Network) -> Mac {
    let gateway = network.ipam.first().and_then(|ipam| ipam.gateway);
    let bits = gateway.map_or(0, to_bits);
    Mac::of(Ipv4Addr::from((bits & u128::from(u32::MAX)) as u32))
}

/// Writes a setting of the network namespace that the thread is in.
fn write_setting(path: &str, value: &str) -> Result<()> {
    std::fs::write(path, value).map_err(|source| file("write", path.as_ref(), source))
}
