//! Which containers published connections reach by the short way. What can't be shortened goes its usual way: neither is
//! an error of the operation that it is part of.

use std::collections::HashSet;
use std::io;

use super::{Networks, State, bridge};
use crate::door::Door;
use crate::endpoint::{Endpoint, Mac};
use crate::network::Network;
use crate::shortcut::{Place, Shortcut};

impl State {
    /// Opens the short way, if this kernel can have it.
    pub(super) fn open_shortcut(&mut self, door: &Door, prefix: &str) {
        match Shortcut::open(&mut self.kernel, door, prefix) {
            Ok(shortcut) => self.shortcut = Some(shortcut),
            Err(error) => tracing::info!(%error, "published connections go by the rules"),
        }
    }

    /// New connections to an endpoint take it from now on; twice is fine.
    pub(super) fn shorten(&mut self, network: &Network, endpoint: &Endpoint, outside: &str) {
        let Some(shortcut) = &self.shortcut else { return };
        // What an internal network has isn't published.
        if network.internal || network.bridge.is_none() {
            return;
        }
        let added = self.kernel.index(outside).and_then(|index| {
            let interface = index.ok_or(io::ErrorKind::NotFound)?;
            places(network, endpoint, interface).iter().try_for_each(|place| shortcut.add(place))
        });
        if let Err(error) = added {
            tracing::warn!(interface = outside, %error, "published connections go by the rules");
        }
    }

    /// No connection to an endpoint takes it any more.
    pub(super) fn lengthen(&self, endpoint: &Endpoint) {
        let Some(shortcut) = &self.shortcut else { return };
        for (address, _) in endpoint.addresses() {
            if let Err(error) = shortcut.remove(address) {
                tracing::warn!(%address, %error, "an address isn't taken out of the short way");
            }
        }
    }
}

impl Networks {
    /// The short way knows all who live, and nobody else.
    pub(super) fn restore_shortcut(&self, state: &mut State) {
        let Some(shortcut) = &state.shortcut else { return };
        let living = state.endpoints.values().flatten();
        let addresses: HashSet<_> =
            living.flat_map(|endpoint| endpoint.addresses()).map(|(it, _)| it).collect();
        if let Err(error) = shortcut.retain(&addresses) {
            tracing::warn!(%error, "the short way keeps addresses of containers that are no more");
        }
        let living: Vec<Endpoint> = state.endpoints.values().flatten().cloned().collect();
        for endpoint in living {
            let network = state.networks.iter().find(|network| network.id == endpoint.network_id);
            if let Some(network) = network.cloned() {
                state.shorten(&network, &endpoint, &self.outside_name(&endpoint));
            }
        }
    }
}

/// How each of an endpoint's addresses is reached for which its network has a gateway.
fn places(network: &Network, endpoint: &Endpoint, interface: u32) -> Vec<Place> {
    let (inside, bridge) = (endpoint.mac.unwrap_or(Mac([0x02; 6])), bridge::mac(network));
    let place = |address| {
        let ipam = network.ipam.iter().find(|ipam| ipam.subnet.contains(address))?;
        Some(Place { address, gateway: ipam.gateway?, interface, inside, bridge })
    };
    endpoint.addresses().filter_map(|(address, _)| place(address)).collect()
}
