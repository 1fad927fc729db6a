//! The interface that the containers of a macvlan or ipvlan network hang on: one of the machine's, a VLAN of one, or a
//! stand-in that leads nowhere.

use super::{Networks, State, kernel};
use crate::error::{ParentError, Result};
use crate::mode::Mode;
use crate::network::{Driver, IpamWish, Network, NetworkWish, Parent};
use crate::route::{Kernel, is_unsupported};

/// The option that names it.
const PARENT: &str = "parent";
/// An interface's name is shorter than this (`IFNAMSIZ`).
const NAME_LENGTH: usize = 16;

impl Networks {
    /// Decides everything about such a network that was left open.
    pub(super) fn plan_parented(
        &self,
        state: &mut State,
        driver: Driver,
        wish: NetworkWish,
    ) -> Result<Network> {
        let mode = Mode::of(driver, &wish.options)?;
        let asked = wish.options.get(PARENT).cloned().unwrap_or_default();
        if asked == "lo" {
            return Err(ParentError::Loopback(driver.name()).into());
        }
        if !state.kernel.supports(mode).map_err(kernel("ask for interfaces of the kind", driver.name()))? {
            return Err(ParentError::Unsupported(driver.name()).into());
        }
        let ipam = self.resolve(state, &wish)?;
        let asked_ipam = wish.ipam.clone();
        let mut network = Network { driver, ipam, ..super::create::bare(wish)? };
        let name = if asked.is_empty() { network.own_parent() } else { asked };
        let made = is_to_be_made(state, driver, &name, &network.own_parent())?;
        check_sharing(state, &network, mode, &name)?;
        network.parent = Some(Parent { name, made });
        if !network.has_gateway() {
            drop_unasked_gateways(&mut network, &asked_ipam);
        }
        Ok(network)
    }
}

/// Makes the parent where it is this engine's to make and isn't there; returns its index.
pub(super) fn build(links: &mut Kernel, network: &Network, parent: &Parent) -> Result<u32> {
    let name = &parent.name;
    let look = |links: &mut Kernel, name: &str| links.index(name).map_err(kernel("look for", name));
    if let Some(index) = look(links, name)? {
        return Ok(index);
    }
    let gone = || ParentError::Gone(name.clone());
    if !parent.made {
        return Err(gone().into());
    }
    let (kind, added) = if *name == network.own_parent() {
        ("dummy", links.add_dummy(name))
    } else {
        let (base, id) = parse_vlan(name)?;
        let base = look(links, base)?.ok_or_else(|| ParentError::NoVlanParent(base.to_owned()))?;
        ("VLAN", links.add_vlan(name, base, id))
    };
    match added {
        Err(error) if is_unsupported(&error) => return Err(ParentError::Unsupported(kind).into()),
        other => other.map_err(kernel("make the interface", name))?,
    }
    let index = look(links, name)?.ok_or_else(gone)?;
    links.bring_up(index).map_err(kernel("bring up", name))?;
    Ok(index)
}

/// Removes a parent that an engine made, unless another network uses it.
pub(super) fn remove(state: &mut State, network: &Network, parent: &Parent) -> Result<()> {
    let uses = |other: &&Network| {
        other.id != network.id && other.parent.as_ref().is_some_and(|used| used.name == parent.name)
    };
    if !parent.made || state.networks.iter().find(uses).is_some() {
        return Ok(());
    }
    state.kernel.remove_link(&parent.name).map_err(kernel("remove the interface", &parent.name))
}

/// Whether the engine makes the parent, or has made it for another network.
fn is_to_be_made(state: &mut State, driver: Driver, name: &str, own: &str) -> Result<bool> {
    let usable = |c: char| c.is_ascii_graphic() && !matches!(c, '/' | ':');
    if !(1..NAME_LENGTH).contains(&name.len()) || !name.chars().all(usable) {
        return Err(ParentError::NoVlan(name.to_owned()).into());
    }
    let mut exists = |name: &str| -> Result<bool> {
        Ok(state.kernel.index(name).map_err(kernel("look for", name))?.is_some())
    };
    if exists(name)? {
        let ours = |network: &Network| {
            network.parent.as_ref().is_some_and(|parent| parent.name == name && parent.made)
        };
        return Ok(state.networks.iter().any(ours));
    }
    if name != own {
        let (base, _) = parse_vlan(name)?;
        if !exists(base)? {
            return Err(ParentError::NoVlanParent(base.to_owned()).into());
        }
    }
    tracing::debug!(%driver, name, "the parent is to be made");
    Ok(true)
}

/// The interface and the number in the name of a VLAN: `eth0.10`.
fn parse_vlan(name: &str) -> Result<(&str, u16)> {
    let (base, id) = name.split_once('.').ok_or_else(|| ParentError::NoVlan(name.to_owned()))?;
    if id.contains('.') {
        return Err(ParentError::SeveralDots(name.to_owned()).into());
    }
    let number: i64 = id.parse().map_err(|_| ParentError::InvalidVlanId(id.to_owned()))?;
    let valid = u16::try_from(number).ok().filter(|id| (1..=4094).contains(id));
    Ok((base, valid.ok_or(ParentError::VlanIdRange(number))?))
}

/// Networks of macvlan may share a parent unless one wants it for itself; those of ipvlan share none.
fn check_sharing(state: &State, network: &Network, mode: Mode, parent: &str) -> Result<()> {
    let shares = |other: &&Network| {
        other.driver == network.driver && other.parent.as_ref().is_some_and(|used| used.name == parent)
    };
    let Some(other) = state.networks.iter().find(shares) else { return Ok(()) };
    let (id, parent) = (other.id.clone(), parent.to_owned());
    if network.driver == Driver::Ipvlan {
        return Err(ParentError::Taken { network: other.own_parent(), parent }.into());
    }
    if mode.passes_through() {
        return Err(ParentError::NotAlone { network: id, parent }.into());
    }
    if other.mode().is_some_and(Mode::passes_through) {
        return Err(ParentError::PassedThrough { network: id, parent }.into());
    }
    Ok(())
}

/// Where nobody routes, no address is kept for a router unless the user says so.
fn drop_unasked_gateways(network: &mut Network, asked: &[IpamWish]) {
    let asked: Vec<_> = asked.iter().filter_map(|wish| wish.gateway.as_ref()?.parse().ok()).collect();
    for ipam in &mut network.ipam {
        ipam.gateway = ipam.gateway.filter(|gateway| asked.contains(gateway));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_vlan_has_its_number() {
        assert_eq!(parse_vlan("eth0.10").unwrap(), ("eth0", 10));
        let said = |name| parse_vlan(name).unwrap_err().to_string();
        assert_eq!(said("eth0"), "invalid subinterface vlan name eth0, example formatting is eth0.10");
        assert_eq!(said("eth0.x"), "unable to parse a valid vlan id from: x (ex. eth0.10 for vlan 10)");
        assert_eq!(said("eth0.4095"), "vlan id must be between 1-4094, received: 4095");
        assert_eq!(said("eth0.-1"), "vlan id must be between 1-4094, received: -1");
        assert!(said("eth0.1.2").contains("instead received eth0.1.2"));
    }
}
