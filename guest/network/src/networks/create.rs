//! New networks: names, drivers, subnets.

use std::net::{IpAddr, Ipv4Addr};

use super::{DEFAULT, Networks, State, build_one, kernel, random, random_id};
use crate::error::{Error, Result};
use crate::network::{Driver, HOST_BINDING, Ipam, IpamWish, Network, NetworkWish};
use crate::subnet::Subnet;
use crate::{pool, record};

/// The option that names the bridge's interface.
const BRIDGE_NAME: &str = "com.docker.network.bridge.name";
/// An interface's name is shorter than this (`IFNAMSIZ`).
const NAME_LENGTH: usize = 16;

impl Networks {
    /// Makes a network: its record, its bridge or parent, its rules.
    pub fn create(&self, mut wish: NetworkWish) -> Result<Network> {
        let mut state = self.state();
        let driver = if matches!(wish.driver.as_str(), "" | "default") { "bridge" } else { &wish.driver };
        for (option, value) in self.options.defaults.options.get(driver).into_iter().flatten() {
            wish.options.entry(option.clone()).or_insert_with(|| value.clone());
        }
        let network = match check(&state, &wish)? {
            Driver::Bridge => self.plan(&mut state, wish)?,
            driver => self.plan_parented(&mut state, driver, wish)?,
        };
        record::write(&self.options.records, &network)?;
        state.networks.push(network.clone());
        let built = self.apply_rules(&mut state).and_then(|()| build_one(&mut state.kernel, &network));
        if let Err(error) = built {
            self.forget(&mut state, &network)?;
            return Err(error);
        }
        Ok(network)
    }

    /// Adds the networks that every engine has, where they are missing.
    pub(super) fn add_predefined(&self, state: &mut State) -> Result<()> {
        self.move_default(state)?;
        for (name, driver) in [(DEFAULT, Driver::Bridge), ("host", Driver::Host), ("none", Driver::Null)] {
            if state.networks.iter().any(|network| network.name == name) {
                continue;
            }
            let network = if driver == Driver::Bridge {
                let bridge = Some(format!("{}0", self.options.name_prefix));
                Network { bridge, ..self.plan(state, self.default_wish())? }
            } else {
                let wish = NetworkWish { name: name.to_owned(), ..NetworkWish::default() };
                Network { driver, ..bare(wish)? }
            };
            record::write(&self.options.records, &network)?;
            state.networks.push(network);
        }
        Ok(())
    }

    /// Decides everything about a network that was left open.
    fn plan(&self, state: &mut State, wish: NetworkWish) -> Result<Network> {
        let ipam = self.resolve(state, &wish)?;
        let ipv6 = wish.ipv6;
        let mut network = Network { ipam, ipv6, ..bare(wish)? };
        let id: String = network.id.chars().take(NAME_LENGTH - 2 - self.options.name_prefix.len()).collect();
        let chosen = network.options.get(BRIDGE_NAME).cloned();
        network.bridge = Some(chosen.unwrap_or_else(|| format!("{}-{id}", self.options.name_prefix)));
        Ok(network)
    }

    /// Turns the wished subnets into real ones, and takes from the pools what is missing.
    pub(super) fn resolve(&self, state: &mut State, wish: &NetworkWish) -> Result<Vec<Ipam>> {
        let ours: Vec<Subnet> =
            state.networks.iter().flat_map(|network| &network.ipam).map(|ipam| ipam.subnet).collect();
        let mut resolved = Vec::new();
        for ipam in parse_all(wish)? {
            let taken = ours.iter().chain(resolved.iter().map(|ipam: &Ipam| &ipam.subnet));
            if let Some(taken) = taken.into_iter().find(|taken| taken.overlaps(&ipam.subnet)) {
                return Err(Error::PoolOverlaps { asked: ipam.subnet, taken: *taken });
            }
            resolved.push(ipam);
        }
        let mut busy = self.outside(state)?;
        busy.extend(ours);
        if !resolved.iter().any(|ipam| ipam.subnet.is_ipv4()) {
            let subnet = pool::free_ipv4(&self.options.defaults.pools, &busy).ok_or(Error::PoolsExhausted)?;
            resolved.insert(0, with_gateway(subnet)?);
        }
        if wish.ipv6 && resolved.iter().all(|ipam| ipam.subnet.is_ipv4()) {
            let subnet = pool::free_ipv6(&self.options.defaults.pools, &busy, random()?)
                .ok_or(Error::PoolsExhausted)?;
            resolved.push(with_gateway(subnet)?);
        }
        if !wish.ipv6 {
            resolved.retain(|ipam| ipam.subnet.is_ipv4());
        }
        Ok(resolved)
    }

    /// The subnets that others have: the machine's routes except those of our own bridges, and the host's.
    pub(super) fn outside(&self, state: &mut State) -> Result<Vec<Subnet>> {
        let mut subnets = state.kernel.destinations().map_err(kernel("list", "routes"))?;
        subnets.extend(&self.options.avoid);
        Ok(subnets)
    }
}

/// A network with nothing decided but its id.
pub(super) fn bare(wish: NetworkWish) -> Result<Network> {
    let NetworkWish { name, internal, attachable, labels, options, driver: _, ipv6: _, ipam: _ } = wish;
    Ok(Network {
        id: random_id::<32>()?,
        name,
        driver: Driver::Bridge,
        created: jiff::Timestamp::now(),
        internal,
        attachable,
        ipv6: false,
        labels,
        options,
        ipam: Vec::new(),
        bridge: None,
        parent: None,
    })
}

/// As long as a file's name may be: a name is told in many places.
const LONGEST_NAME: usize = 255;

fn check(state: &State, wish: &NetworkWish) -> Result<Driver> {
    let name = wish.name.as_str();
    let allowed = |c: char| c.is_ascii_alphanumeric() || "_.- ".contains(c);
    let begins = name.starts_with(|c: char| c.is_ascii_alphanumeric());
    if !begins || name.len() > LONGEST_NAME || !name.chars().all(allowed) {
        return Err(Error::InvalidName(name.to_owned()));
    }
    if matches!(name, "bridge" | "host" | "none") {
        return Err(Error::ReservedName(name.to_owned()));
    }
    if state.networks.iter().any(|network| network.name == name) {
        return Err(Error::NetworkExists(name.to_owned()));
    }
    check_options(state, wish)?;
    match wish.driver.as_str() {
        "" | "default" | "bridge" => Ok(Driver::Bridge),
        "ipvlan" => Ok(Driver::Ipvlan),
        "macvlan" => Ok(Driver::Macvlan),
        "host" => Err(Error::OnlyOne("host")),
        "null" => Err(Error::OnlyOne("null")),
        other => Err(Error::NoSuchDriver(other.to_owned())),
    }
}

fn check_options(state: &State, wish: &NetworkWish) -> Result<()> {
    let wrong = |option: &str, value: &str| Error::InvalidOption {
        option: option.to_owned(),
        value: value.to_owned(),
    };
    if let Some(bridge) = wish.options.get(BRIDGE_NAME) {
        let allowed = |c: char| c.is_ascii_graphic() && c != '/' && c != ':';
        let taken = state.networks.iter().any(|network| network.bridge.as_ref() == Some(bridge));
        if !(1..NAME_LENGTH).contains(&bridge.len()) || !bridge.chars().all(allowed) || taken {
            return Err(wrong(BRIDGE_NAME, bridge));
        }
    }
    for option in ["com.docker.network.driver.mtu"] {
        if let Some(value) = wish.options.get(option).filter(|value| value.parse::<u32>().is_err()) {
            return Err(wrong(option, value));
        }
    }
    if let Some(value) = wish.options.get(HOST_BINDING).filter(|value| value.parse::<Ipv4Addr>().is_err()) {
        return Err(wrong(HOST_BINDING, value));
    }
    Ok(())
}

/// The subnets that are asked for.
pub(super) fn parse_all(wish: &NetworkWish) -> Result<Vec<Ipam>> {
    let each = wish.ipam.iter().filter(|one| one.subnet.is_some()).map(parse);
    each.collect::<Result<_>>().map_err(|error| Error::InvalidConfig(Box::new(error)))
}

fn parse(wish: &IpamWish) -> Result<Ipam> {
    let subnet = subnet(wish.subnet.as_deref().unwrap_or_default())?;
    let range = wish.range.as_deref().filter(|range| !range.is_empty()).map(self::subnet).transpose()?;
    if let Some(range) =
        range.filter(|range| !subnet.contains(range.network()) || range.length() < subnet.length())
    {
        return Err(Error::NoMatchingSubnet { what: "range", address: range.to_string() });
    }
    let inside = |what, text: &String| match text.parse::<IpAddr>() {
        Ok(address) if subnet.contains(address) => Ok(address),
        Ok(address) => Err(Error::NoMatchingSubnet { what, address: address.to_string() }),
        Err(_) => Err(Error::InvalidAddress(text.clone())),
    };
    let gateway = wish.gateway.as_ref().filter(|gateway| !gateway.is_empty());
    let gateway = gateway.map(|gateway| inside("gateway", gateway)).transpose()?;
    let held = |(name, address)| Ok((String::clone(name), inside("aux-address", address)?));
    let aux = wish.aux.iter().map(held).collect::<Result<_>>()?;
    let mut ipam = Ipam { subnet, range, gateway, aux, chosen: true };
    ipam.gateway = ipam.gateway.or_else(|| pool::free_address(&ipam, &Default::default()));
    Ok(ipam)
}

fn subnet(text: &str) -> Result<Subnet> {
    text.parse().map_err(|_| Error::InvalidSubnet(text.to_owned()))
}

fn with_gateway(subnet: Subnet) -> Result<Ipam> {
    let mut ipam = Ipam { subnet, range: None, gateway: None, aux: Default::default(), chosen: false };
    ipam.gateway = pool::free_address(&ipam, &Default::default());
    Ok(ipam)
}
