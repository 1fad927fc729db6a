//! Containers join networks and leave them, also while they run.

use std::collections::HashSet;
use std::fs::{self, File};
use std::net::IpAddr;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use super::announce::announce;
use super::departed::Departure;
use super::{Networks, State, file, hang, kernel, random, random_id};
use crate::endpoint::{Endpoint, EndpointWish, Mac};
use crate::error::{Error, Result};
use crate::network::{Ipam, Network};
use crate::route::{Kernel, Veth};
use crate::{namespace, pool};

impl Networks {
    /// Joins a container to a network: an interface with an address, and the way out if no other network of the container's
    /// goes before it. Networks with interfaces need an open sandbox.
    pub fn join(&self, container: &str, network: &str, wish: &EndpointWish) -> Result<Endpoint> {
        let sandbox = self.sandbox(container)?;
        let endpoint = {
            let mut state = self.state();
            let network = state.find(network)?.clone();
            if network.config_only {
                return Err(Error::JoinsConfiguration);
            }
            let joined = state.endpoints.get(container).map(Vec::as_slice).unwrap_or_default();
            if joined.iter().any(|endpoint| endpoint.network_id == network.id) {
                return Err(Error::AlreadyJoined { container: container.to_owned(), network: network.name });
            }
            let interface = match &wish.interface {
                Some(name) => check_interface(name, joined)?,
                None => free_interface(network.interface_prefix(), joined),
            };
            let endpoint = if network.bridge.is_some() || network.parent.is_some() {
                let mut left = self.departed.addresses(&network.id, container);
                left.retain(|address| !wish.asks_for(*address));
                let endpoint = plan(&state, &network, interface, wish, left)?;
                self.departed.wait_for_addresses(&endpoint);
                let endpoint = hang::choose_mac(&mut state, &network, endpoint, wish)?;
                let linked = self.link(&mut state, &network, &endpoint, &wish.sysctls, &sandbox);
                if let Err(error) = linked {
                    let _ = self.unlink(&mut state, &endpoint, &sandbox);
                    return Err(error);
                }
                endpoint
            } else {
                bare(&network, wish)?
            };
            let places = state.endpoints.entry(container.to_owned()).or_default();
            places.push(endpoint.clone());
            Endpoint::sort(places);
            let places = places.clone();
            let finished =
                set_way_out(&places, &sandbox).and_then(|()| self.open_resolver(&state, container, &sandbox));
            if let Err(error) = finished {
                let remaining = state.withdraw(container, &endpoint.endpoint_id);
                let _ = self.unlink(&mut state, &endpoint, &sandbox);
                let _ = set_way_out(&remaining, &sandbox);
                return Err(error);
            }
            self.tell_names(&state);
            endpoint
        };
        self.repoint(container);
        Ok(endpoint)
    }

    /// Takes a container out of a network; its way out moves to the next network, its published ports too.
    pub fn leave(&self, container: &str, network: &str) -> Result<()> {
        let sandbox = self.sandbox(container)?;
        {
            let mut state = self.state();
            let network = state.find(network)?.clone();
            let missing =
                || Error::NotJoined { container: container.to_owned(), network: network.name.clone() };
            let places = state.endpoints.get(container).ok_or_else(missing)?;
            let place = places.iter().find(|endpoint| endpoint.network_id == network.id);
            let endpoint = place.ok_or_else(missing)?.clone();
            self.unlink(&mut state, &endpoint, &sandbox)?;
            let remaining = state.withdraw(container, &endpoint.endpoint_id);
            self.tell_names(&state);
            set_way_out(&remaining, &sandbox)?;
        }
        self.repoint(container);
        Ok(())
    }

    /// Makes the interface inside, with what it needs outside, and sets it up.
    fn link(
        &self,
        state: &mut State,
        network: &Network,
        endpoint: &Endpoint,
        sysctls: &[(String, String)],
        sandbox: &Path,
    ) -> Result<()> {
        match &network.parent {
            Some(parent) => {
                let first = self.outside_name(endpoint);
                hang::hang(&mut state.kernel, network, &first, parent, endpoint, sandbox)?;
            }
            None => self.plug(state, network, endpoint, sandbox)?,
        }
        set_up_inside(endpoint, sandbox)?;
        let port = network.parent.is_none().then(|| self.outside_name(endpoint));
        announce(&mut state.kernel, port.as_deref(), endpoint, sandbox);
        set_kernel_settings(endpoint, sysctls, sandbox)
    }

    /// Makes the pair of interfaces whose end outside is a port of the bridge.
    fn plug(&self, state: &mut State, network: &Network, endpoint: &Endpoint, sandbox: &Path) -> Result<()> {
        let bridge = network.bridge.as_deref().unwrap_or_default();
        let index = state.kernel.index(bridge).map_err(kernel("look for the bridge", bridge))?;
        let index = index
            .ok_or_else(|| kernel("look for the bridge", bridge)(std::io::ErrorKind::NotFound.into()))?;
        let outside = self.outside_name(endpoint);
        let namespace = File::open(sandbox).map_err(|source| file("open", sandbox, source))?;
        let mac = endpoint.mac.unwrap_or(Mac([0x02; 6]));
        let of_card = self.options.door.as_ref().map(|door| door.mtu(&mut state.kernel)).transpose();
        let of_card = of_card.map_err(kernel("look at the card for", &outside))?.flatten();
        let (namespace, mtu) = (namespace.as_fd(), network.mtu().or(of_card));
        let veth =
            Veth { outside: &outside, bridge: index, inside: &endpoint.interface, namespace, mac, mtu };
        state.kernel.add_veth(&veth).map_err(kernel("make the interface", &outside))?;
        let isolated = !network.connects_containers();
        // Where bridges ask netfilter, a container's connection to its own published port never leaves the bridge.
        let hairpin = Path::new("/proc/sys/net/bridge").exists();
        if (isolated || hairpin)
            && let Some(port) = state.kernel.index(&outside).map_err(kernel("look for", &outside))?
        {
            state.kernel.set_port(port, isolated, hairpin).map_err(kernel("set up the port", &outside))?;
        }
        state.shorten(network, endpoint, &outside);
        Ok(())
    }

    /// Removes the interface inside, with what it has outside; twice is fine.
    fn unlink(&self, state: &mut State, endpoint: &Endpoint, sandbox: &Path) -> Result<()> {
        if endpoint.interface.is_empty() {
            return Ok(());
        }
        if state.hangs(endpoint) {
            return hang::unhang(endpoint, sandbox);
        }
        state.forget_connections(endpoint);
        let outside = self.outside_name(endpoint);
        state.kernel.remove_link(&outside).map_err(kernel("remove the interface", &outside))
    }

    /// The same without waiting for the kernel, where it would keep the caller.
    pub(super) fn depart(
        &self,
        state: &mut State,
        container: &str,
        endpoint: Endpoint,
        sandbox: &Path,
    ) -> Result<()> {
        if endpoint.interface.is_empty() || state.hangs(&endpoint) {
            return self.unlink(state, &endpoint, sandbox);
        }
        state.forget_connections(&endpoint);
        let outside = self.outside_name(&endpoint);
        let departure = Departure { container: container.to_owned(), endpoint };
        self.departed.delete(outside.clone(), departure).map_err(kernel("remove the interface", &outside))
    }

    /// The name of the interface outside: the prefix, `v`, and the beginning of the endpoint's id.
    pub(super) fn outside_name(&self, endpoint: &Endpoint) -> String {
        let id = endpoint.endpoint_id.get(..8).unwrap_or(&endpoint.endpoint_id);
        format!("{}v{id}", self.options.name_prefix)
    }
}

impl State {
    /// Whether the endpoint's interface hangs on a parent.
    fn hangs(&self, endpoint: &Endpoint) -> bool {
        self.networks.iter().any(|one| one.id == endpoint.network_id && one.parent.is_some())
    }

    /// Ends what the kernel still tracks of an endpoint's connections. Old flows end by themselves, if it can't.
    fn forget_connections(&mut self, endpoint: &Endpoint) {
        self.lengthen(endpoint);
        for (address, _) in endpoint.addresses() {
            if let Err(error) = self.rules.forget_connections(address) {
                tracing::debug!(%address, "connections aren't forgotten: {error}");
            }
        }
    }

    /// Forgets one place of a container; returns those that remain.
    fn withdraw(&mut self, container: &str, endpoint: &str) -> Vec<Endpoint> {
        let Some(places) = self.endpoints.get_mut(container) else { return Vec::new() };
        places.retain(|place| place.endpoint_id != endpoint);
        let remaining = places.clone();
        if remaining.is_empty() {
            self.endpoints.remove(container);
        }
        remaining
    }
}

/// The first of eth0, eth1, … that isn't there; they may begin otherwise.
fn free_interface(prefix: &str, joined: &[Endpoint]) -> String {
    let mut names = (0..=joined.len()).map(|number| format!("{prefix}{number}"));
    names.find(|name| !joined.iter().any(|endpoint| endpoint.interface == *name)).unwrap_or_default()
}

/// A name that an interface can have (netdevice(7)) and that no other one inside has.
fn check_interface(name: &str, joined: &[Endpoint]) -> Result<String> {
    let is_allowed = (1..=15).contains(&name.len())
        && !matches!(name, "." | ".." | "lo")
        && name.chars().all(|letter| letter.is_ascii_graphic() && !matches!(letter, '/' | ':' | '%'));
    let is_free = !joined.iter().any(|endpoint| endpoint.interface == name);
    if is_allowed && is_free { Ok(name.to_owned()) } else { Err(Error::InvalidInterface(name.to_owned())) }
}

/// A place without an interface.
fn bare(network: &Network, wish: &EndpointWish) -> Result<Endpoint> {
    Ok(Endpoint {
        network_id: network.id.clone(),
        network_name: network.name.clone(),
        endpoint_id: random_id::<32>()?,
        interface: String::new(),
        mac: None,
        ipv4: None,
        ipv6: None,
        link_local: wish.link_local.clone(),
        gateway: None,
        gateway6: None,
        direct: network.is_direct(),
        links: wish.links.clone(),
        names: wish.all_names(),
        name_servers: wish.name_servers.clone(),
        priority: wish.priority,
    })
}

/// Chooses addresses, but for those that are still `left` on interfaces of others.
fn plan(
    state: &State,
    network: &Network,
    interface: String,
    wish: &EndpointWish,
    left: Vec<IpAddr>,
) -> Result<Endpoint> {
    let others = state.endpoints.values().flatten().filter(|endpoint| endpoint.network_id == network.id);
    let taken = others.flat_map(Endpoint::addresses).map(|(address, _)| address);
    let taken: HashSet<IpAddr> = taken.chain(left).collect();
    let mut endpoint = Endpoint { interface, ..bare(network, wish)? };
    let choose = |ipv4: bool, fixed: Option<IpAddr>| -> Result<Option<(IpAddr, &Ipam)>> {
        let mut pools = network.ipam.iter().filter(|ipam| ipam.subnet.is_ipv4() == ipv4);
        if let Some(address) = fixed {
            return check_fixed(network, address, &taken).map(|ipam| Some((address, ipam)));
        }
        let exhausted = || Error::AddressesExhausted { name: network.name.clone(), id: network.id.clone() };
        if pools.clone().next().is_none() {
            return Ok(None);
        }
        pools.find_map(|ipam| Some((pool::free_address(ipam, &taken)?, ipam))).map(Some).ok_or_else(exhausted)
    };
    if let Some((IpAddr::V4(address), ipam)) = choose(true, wish.ipv4.map(IpAddr::V4))? {
        endpoint.ipv4 = Some((address, ipam.subnet.length()));
        endpoint.gateway = match network.gateway(ipam) {
            Some(IpAddr::V4(gateway)) => Some(gateway),
            _ => None,
        };
        endpoint.mac = Some(Mac::of(address));
    }
    if let Some((IpAddr::V6(address), ipam)) = choose(false, wish.ipv6.map(IpAddr::V6))? {
        endpoint.ipv6 = Some((address, ipam.subnet.length()));
        endpoint.gateway6 = match network.gateway(ipam) {
            Some(IpAddr::V6(gateway)) => Some(gateway),
            _ => None,
        };
    }
    let [a, b, c, d] = random()?;
    endpoint.mac = wish.mac.or(endpoint.mac).or(Some(Mac([0x02, 0x42, a, b, c, d])));
    Ok(endpoint)
}

impl Network {
    /// What speaks against each of these fixed addresses in this network, whoever has them now.
    pub fn objections(&self, addresses: &[IpAddr]) -> Vec<Error> {
        let predefined = self.is_predefined() && !addresses.is_empty();
        let misplaced = addresses.iter().filter_map(|&address| self.chosen_pool(address).err());
        predefined.then_some(Error::FixedAddressOnDefault).into_iter().chain(misplaced).collect()
    }

    /// The pool with this address, if the user chose it: others may change.
    fn chosen_pool(&self, address: IpAddr) -> Result<&Ipam> {
        let same_family = |ipam: &&Ipam| ipam.chosen && ipam.subnet.is_ipv4() == address.is_ipv4();
        let mut chosen = self.ipam.iter().filter(same_family).peekable();
        chosen.peek().ok_or(Error::FixedAddressOnChosen)?;
        chosen.find(|ipam| ipam.subnet.contains(address)).ok_or(Error::NotInSubnet(address))
    }
}

/// The pool of an address that was asked for, if it may be had.
fn check_fixed<'n>(network: &'n Network, address: IpAddr, taken: &HashSet<IpAddr>) -> Result<&'n Ipam> {
    if network.is_predefined() {
        return Err(Error::FixedAddressOnDefault);
    }
    let pool = network.chosen_pool(address)?;
    let free = pool::is_usable(pool, address) && pool.gateway != Some(address) && !taken.contains(&address);
    if free { Ok(pool) } else { Err(Error::AddressInUse) }
}

/// Gives the interface inside its addresses and puts it up.
fn set_up_inside(endpoint: &Endpoint, sandbox: &Path) -> Result<()> {
    let name = &endpoint.interface;
    namespace::within(sandbox, || {
        // Without an address of ours there is to be no link-local one either.
        let setting = format!("/proc/sys/net/ipv6/conf/{name}/disable_ipv6");
        let ipv6 = endpoint.ipv6.is_some() || endpoint.link_local.iter().any(IpAddr::is_ipv6);
        match fs::write(setting, if ipv6 { "0" } else { "1" }) {
            // A kernel without IPv6.
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    })?;
    let (mut inside, index) = hang::find(&endpoint.interface, sandbox)?;
    inside.bring_up(index).map_err(kernel("bring up", name))?;
    for (address, length) in endpoint.addresses().chain(endpoint.link_local()) {
        inside.add_address(index, address, length).map_err(kernel("give an address to", name))?;
    }
    Ok(())
}

/// Sets what the kernel lets an interface have of its own.
fn set_kernel_settings(endpoint: &Endpoint, sysctls: &[(String, String)], sandbox: &Path) -> Result<()> {
    for (key, value) in sysctls {
        let refused =
            |source| Error::Kernel { operation: "set the endpoint's sysctl", subject: key.clone(), source };
        let path = setting(key, &endpoint.interface).ok_or_else(|| Error::InvalidSysctl(key.clone()))?;
        namespace::within(sandbox, || Ok(fs::write(path, value)))?.map_err(refused)?;
    }
    Ok(())
}

/// Where the kernel has a setting of an interface: `net.ipv4.conf.IFNAME.log_martians`.
fn setting(key: &str, interface: &str) -> Option<PathBuf> {
    let parts: Vec<&str> = key.split('.').collect();
    let [first @ "net", _, _, "IFNAME", _] = parts[..] else { return None };
    let is_name = |part: &&str| {
        !part.is_empty() && part.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_')
    };
    if !parts.iter().all(is_name) {
        return None;
    }
    Some(["/proc/sys", first, parts[1], parts[2], interface, parts[4]].iter().collect())
}

/// The first network that leads out is the way out.
fn set_way_out(places: &[Endpoint], sandbox: &Path) -> Result<()> {
    let first =
        |family: usize| places.iter().find_map(|place| Some((&place.interface, place.ways_out()[family]?)));
    let (ipv4, ipv6) = (first(0), first(1));
    if (ipv4.is_none() && ipv6.is_none()) || !namespace::is_held(sandbox) {
        return Ok(());
    }
    let mut inside = namespace::within(sandbox, Kernel::open)?;
    for (name, gateway) in ipv4.into_iter().chain(ipv6) {
        if let Some(index) = inside.index(name).map_err(kernel("look for", name))? {
            inside.set_default_route(index, gateway).map_err(kernel("set the way out by", name))?;
        }
    }
    Ok(())
}
