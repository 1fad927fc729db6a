//! Configuration networks, Docker's `--config-only`: they say what other networks are like, and carry nothing.

use super::State;
use super::create::bare;
use crate::error::{Error, Result};
use crate::ipam;
use crate::network::{Driver, Network, NetworkWish};

/// Checks what a configuration network may say, and what may be said beside one.
pub(super) fn check(wish: &NetworkWish) -> Result<()> {
    if wish.config_only && (wish.ingress || wish.internal || wish.attachable || !wish.scope.is_empty()) {
        return Err(Error::OperatorFields);
    }
    if wish.config_from.is_empty() {
        return Ok(());
    }
    if wish.config_only {
        return Err(Error::ConfigurationOfConfiguration);
    }
    let says_more = !matches!(wish.ipam_driver.as_str(), "" | "default")
        || !wish.has_ipv4()
        || wish.has_ipv6()
        || !wish.labels.is_empty()
        || wish.ipam_options.as_ref().is_some_and(|options| !options.is_empty())
        || !wish.ipam.is_empty();
    if says_more {
        return Err(Error::BesideConfiguration);
    }
    if wish.options.is_empty() { Ok(()) } else { Err(Error::OptionsBesideConfiguration) }
}

/// A configuration network: nothing of it is decided before a network is made by it.
pub(super) fn plan(wish: NetworkWish) -> Result<Network> {
    let ipam = ipam::parse_all(&wish.ipam, wish.has_ipv6())?;
    Ok(Network { driver: Driver::Null, ipam, ..bare(wish)? })
}

/// Says for a wish what the configuration network that it names says.
pub(super) fn apply(state: &State, wish: &mut NetworkWish) -> Result<()> {
    let named = |network: &&Network| network.config_only && network.name == wish.config_from;
    let missing = || Error::NoConfiguration(wish.config_from.clone());
    let given = state.networks.iter().find(named).ok_or_else(missing)?;
    (wish.ipv4, wish.ipv6) = (Some(given.ipv4), Some(given.ipv6));
    wish.labels = given.labels.clone();
    wish.options = given.options.clone();
    wish.ipam_options = given.ipam_options.clone();
    wish.ipam = given.ipam.iter().map(Into::into).collect();
    Ok(())
}

/// Whether a network was made by this one.
pub(super) fn is_used(state: &State, given: &Network) -> bool {
    given.config_only && state.networks.iter().any(|network| network.config_from == given.name)
}
