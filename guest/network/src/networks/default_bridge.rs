//! The network `bridge`, which every engine has: as the configuration wants it, and out of the way of the machine's own
//! networks. It changes only while no container is in it.

use super::{DEFAULT, Networks, State, bridge, kernel};
use crate::error::Result;
use crate::network::{Ipam, Network, NetworkWish};
use crate::{ipam, record};

impl Networks {
    /// What is asked of it.
    pub(super) fn default_wish(&self) -> NetworkWish {
        NetworkWish { name: DEFAULT.to_owned(), ..self.options.defaults.bridge.clone() }
    }

    /// Plans it anew when it can't stay as it is and its bridge isn't there: nobody can be in it.
    pub(super) fn move_default(&self, state: &mut State) -> Result<()> {
        let Some(place) = state.networks.iter().position(|network| network.name == DEFAULT) else {
            return Ok(());
        };
        let bridge = state.networks[place].bridge.clone().unwrap_or_default();
        if state.kernel.index(&bridge).map_err(kernel("look for the bridge", &bridge))?.is_some() {
            return Ok(());
        }
        let busy = self.outside(state)?;
        let meets = |ipam: &Ipam| busy.iter().any(|subnet| subnet.overlaps(&ipam.subnet));
        let network = &state.networks[place];
        if network.ipam.iter().any(meets) || !self.is_as_wished(network)? {
            self.plan_default(state, place)?;
        }
        Ok(())
    }

    /// Makes it as the configuration wants it, unless containers are in it: then it stays until they are gone and the
    /// engine starts again.
    pub(super) fn follow_configuration(&self, state: &mut State) -> Result<()> {
        let Some(place) = state.networks.iter().position(|network| network.name == DEFAULT) else {
            return Ok(());
        };
        if self.is_as_wished(&state.networks[place])? {
            return Ok(());
        }
        let Network { id, bridge: old, .. } = state.networks[place].clone();
        if state.endpoints.values().flatten().any(|endpoint| endpoint.network_id == id) {
            tracing::warn!("the network bridge stays as it was: containers are in it");
            return Ok(());
        }
        if let Some(old) = old {
            state.kernel.remove_link(&old).map_err(kernel("remove the bridge", &old))?;
        }
        self.plan_default(state, place)?;
        self.apply_rules(state)?;
        let network = state.networks[place].clone();
        bridge::build(&mut state.kernel, &network)
    }

    fn plan_default(&self, state: &mut State, place: usize) -> Result<()> {
        let mut network = state.networks.remove(place);
        let wish = self.default_wish();
        network.ipam = self.resolve(state, &wish)?;
        network.ipv6 = wish.has_ipv6();
        network.options = wish.options;
        record::write(&self.options.records, &network)?;
        state.networks.insert(place, network);
        Ok(())
    }

    fn is_as_wished(&self, network: &Network) -> Result<bool> {
        let wish = self.default_wish();
        let wanted = ipam::parse_all(&wish.ipam, wish.has_ipv6())?;
        let chosen = network.ipam.iter().filter(|ipam| ipam.chosen);
        let is_meant = chosen.clone().count() == wanted.len()
            && chosen.zip(&wanted).all(|(chosen, wanted)| {
                // A gateway that nobody asked for was chosen here.
                let gateway = wanted.gateway.or(chosen.gateway);
                *chosen == Ipam { gateway, gateway_is_ours: chosen.gateway_is_ours, ..wanted.clone() }
            });
        Ok(network.options == wish.options && network.ipv6 == wish.has_ipv6() && is_meant)
    }
}
