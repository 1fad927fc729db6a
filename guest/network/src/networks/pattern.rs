//! Patterns of networks, Docker's configuration-only ones: they say what other networks are like, and carry nothing.

use super::State;
use super::create::bare;
use crate::error::{Error, Result};
use crate::ipam;
use crate::network::{Driver, Network, NetworkWish};

/// Checks what a pattern may say, and what may be said beside one.
pub(super) fn check(wish: &NetworkWish) -> Result<()> {
    if wish.config_only && (wish.ingress || wish.internal || wish.attachable || !wish.scope.is_empty()) {
        return Err(Error::OperatorFields);
    }
    if wish.config_from.is_empty() {
        return Ok(());
    }
    if wish.config_only {
        return Err(Error::PatternOfPattern);
    }
    let says_more = !matches!(wish.ipam_driver.as_str(), "" | "default")
        || !wish.has_ipv4()
        || wish.has_ipv6()
        || !wish.labels.is_empty()
        || wish.ipam_options.as_ref().is_some_and(|options| !options.is_empty())
        || !wish.ipam.is_empty();
    if says_more {
        return Err(Error::BesidePattern);
    }
    if wish.options.is_empty() { Ok(()) } else { Err(Error::OptionsBesidePattern) }
}

/// A pattern: nothing of it is decided before a network is made by it.
pub(super) fn plan(wish: NetworkWish) -> Result<Network> {
    let ipam = ipam::parse_all(&wish.ipam, wish.has_ipv6())?;
    Ok(Network { driver: Driver::Null, ipam, ..bare(wish)? })
}

/// Says for a wish what the pattern that it names says.
pub(super) fn apply(state: &State, wish: &mut NetworkWish) -> Result<()> {
    let named = |network: &&Network| network.config_only && network.name == wish.config_from;
    let missing = || Error::NoPattern(wish.config_from.clone());
    let pattern = state.networks.iter().find(named).ok_or_else(missing)?;
    (wish.ipv4, wish.ipv6) = (Some(pattern.ipv4), Some(pattern.ipv6));
    wish.labels = pattern.labels.clone();
    wish.options = pattern.options.clone();
    wish.ipam_options = pattern.ipam_options.clone();
    wish.ipam = pattern.ipam.iter().map(Into::into).collect();
    Ok(())
}

/// Whether a network was made by this pattern.
pub(super) fn is_used(state: &State, pattern: &Network) -> bool {
    pattern.config_only && state.networks.iter().any(|network| network.config_from == pattern.name)
}
