//! Networks go: their bridge or parent, their rules, their record.

use super::{Networks, State, config_only, kernel, parent};
use crate::error::{Error, Result};
use crate::network::Network;
use crate::record;

impl Networks {
    /// Removes a network that no container is in.
    pub fn remove(&self, name: &str) -> Result<Network> {
        let mut state = self.state();
        let network = state.find(name)?.clone();
        if network.is_predefined() {
            return Err(Error::Predefined(network.name));
        }
        if config_only::is_used(&state, &network) {
            return Err(Error::ConfigurationInUse(network.name));
        }
        let joined = |endpoint: &crate::endpoint::Endpoint| endpoint.network_id == network.id;
        if state.endpoints.values().flatten().any(joined) {
            return Err(Error::InUse(network.name));
        }
        self.forget(&mut state, &network)?;
        Ok(network)
    }

    /// Takes a network apart; what is missing of it already is fine. The record goes last: after a crash, the
    /// network is there again, whole.
    pub(super) fn forget(&self, state: &mut State, network: &Network) -> Result<()> {
        if let Some(bridge) = &network.bridge {
            state.kernel.remove_link(bridge).map_err(kernel("remove the bridge", bridge))?;
        }
        if let Some(parent) = &network.parent {
            parent::remove(state, network, parent)?;
        }
        record::remove(&self.options.records, &network.id)?;
        state.networks.retain(|other| other.id != network.id);
        self.apply_rules(state)
    }
}
