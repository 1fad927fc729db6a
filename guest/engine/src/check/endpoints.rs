//! Places in networks that are asked for: addresses that the network can't give.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::endpoint::EndpointSettings;
use crate::network::Network;
use crate::{Engine, Error};

impl Engine {
    /// Checks a new container's places in networks. A network that isn't there is only missed at the start, as in Docker.
    pub(crate) fn check_endpoints(&self, networks: &BTreeMap<String, EndpointSettings>) -> Result<(), Error> {
        for (name, settings) in networks {
            if let Ok(network) = self.networks.find(name) {
                let doing = || format!("invalid config for network {name}");
                endpoint(&network, settings).map_err(|error| error.during(doing()))?;
            }
        }
        Ok(())
    }
}

/// Checks what is asked of one network, in Docker's words.
pub(crate) fn endpoint(network: &Network, settings: &EndpointSettings) -> Result<(), Error> {
    let ipam = settings.ipam_config.clone().unwrap_or_default();
    let given = [("IPv4", ipam.ipv4_address), ("IPv6", ipam.ipv6_address)];
    let (mut addresses, mut reasons) = (Vec::new(), Vec::new());
    for (family, text) in given.into_iter().filter(|(_, text)| !text.is_empty()) {
        match text.parse::<IpAddr>() {
            Ok(address) if address.is_ipv4() == (family == "IPv4") => addresses.push(address),
            _ => reasons.push(format!("invalid {family} address: {text}")),
        }
    }
    reasons.extend(network.objections(&addresses).iter().map(ToString::to_string));
    let list = match reasons.as_slice() {
        [] => return Ok(()),
        [reason] => reason.clone(),
        reasons => reasons.iter().map(|reason| format!("* {reason}")).collect::<Vec<_>>().join("\n"),
    };
    Err(Error::InvalidRequest(format!("invalid endpoint settings:\n{list}")))
}
