//! New networks: names, drivers, subnets.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};

use super::{DEFAULT, Networks, State, build_one, config_only, kernel, random, random_id};
use crate::error::{Error, Result};
use crate::network::{Driver, Ipam, Network, NetworkWish};
use crate::options::{self, GatewayMode};
use crate::subnet::Subnet;
use crate::{ipam, pool, record};

/// An interface's name is shorter than this (`IFNAMSIZ`).
const NAME_LENGTH: usize = 16;
/// As long as a file's name may be: a name is told in many places.
const LONGEST_NAME: usize = 255;

impl Networks {
    /// Makes a network: its record, its bridge or parent, its rules.
    pub fn create(&self, mut wish: NetworkWish) -> Result<Network> {
        let mut state = self.state();
        self.complete(&mut wish)?;
        ipam::parse_all(&wish.ipam, wish.has_ipv6())?;
        check_name(&state, &wish.name)?;
        config_only::check(&wish)?;
        if wish.config_only {
            let network = config_only::plan(wish)?;
            record::write(&self.options.records, &network)?;
            state.networks.push(network.clone());
            return Ok(network);
        }
        let driver = driver(&wish)?;
        if !wish.config_from.is_empty() {
            config_only::apply(&state, &mut wish)?;
        }
        if wish.scope == "swarm" {
            return Err(Error::NoSwarm);
        }
        let network = match driver {
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

    /// Says what the user left to the configuration and the options.
    fn complete(&self, wish: &mut NetworkWish) -> Result<()> {
        if matches!(wish.name.as_str(), "bridge" | "host" | "none" | "default") {
            return Err(Error::ReservedName(wish.name.clone()));
        }
        if matches!(wish.driver.as_str(), "" | "default") {
            "bridge".clone_into(&mut wish.driver);
        }
        if wish.driver == "overlay" {
            return Err(Error::NoManager);
        }
        if wish.config_from.is_empty() {
            for (option, value) in self.options.defaults.options.get(&wish.driver).into_iter().flatten() {
                wish.options.entry(option.clone()).or_insert_with(|| value.clone());
            }
        }
        switch(&mut wish.ipv4, &mut wish.options, options::ENABLE[0])?;
        switch(&mut wish.ipv6, &mut wish.options, options::ENABLE[1])
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
        options::check(&wish.options)?;
        let isolated = |ipv4| GatewayMode::of(&wish.options, ipv4) == GatewayMode::Isolated;
        if !wish.internal && (isolated(true) || isolated(false)) {
            return Err(Error::IsolatedWayOut);
        }
        let mut ipam = self.resolve(state, &wish)?;
        if [true, false]
            .iter()
            .any(|ipv4| ipam.iter().filter(|one| one.subnet.is_ipv4() == *ipv4).count() > 1)
        {
            return Err(Error::SeveralSubnets);
        }
        for one in &mut ipam {
            check_ipv6(one.subnet)?;
            one.gateway = one.gateway.filter(|_| !isolated(one.subnet.is_ipv4()));
        }
        let mut network = Network { ipam, ..bare(wish)? };
        let id: String = network.id.chars().take(NAME_LENGTH - 2 - self.options.name_prefix.len()).collect();
        let bridge = match network.options.get(options::BRIDGE_NAME) {
            Some(bridge) => check_bridge(state, &network, bridge)?,
            None => format!("{}-{id}", self.options.name_prefix),
        };
        network.bridge = Some(bridge);
        Ok(network)
    }

    /// Turns the wished subnets into real ones, and takes from the pools what is missing.
    pub(super) fn resolve(&self, state: &mut State, wish: &NetworkWish) -> Result<Vec<Ipam>> {
        match wish.ipam_driver.as_str() {
            "" | "default" => {}
            "null" if wish.has_ipv4() => return Err(Error::NoPool("ipv4")),
            "null" if wish.has_ipv6() => return Err(Error::NoPool("ipv6")),
            "null" => {}
            other => return Err(Error::NoSuchDriver(other.to_owned())),
        }
        let ours: Vec<Subnet> =
            state.networks.iter().flat_map(Network::subnets).map(|ipam| ipam.subnet).collect();
        let mut resolved = Vec::new();
        for mut ipam in ipam::parse_all(&wish.ipam, wish.has_ipv6())? {
            if ipam.subnet.is_ipv4() && !wish.has_ipv4() {
                continue;
            }
            let taken = ours.iter().chain(resolved.iter().map(|ipam: &Ipam| &ipam.subnet));
            if let Some(taken) = taken.into_iter().find(|taken| taken.overlaps(&ipam.subnet)) {
                return Err(Error::PoolOverlaps { asked: ipam.subnet, taken: *taken });
            }
            if ipam.gateway.is_none() {
                ipam.gateway = pool::free_address(&ipam, &Default::default());
                ipam.gateway_is_ours = true;
            }
            resolved.push(ipam);
        }
        let mut busy = self.outside(state)?;
        busy.extend(ours);
        if wish.has_ipv4() && !resolved.iter().any(|ipam| ipam.subnet.is_ipv4()) {
            let subnet = pool::free_ipv4(&self.options.defaults.pools, &busy).ok_or(Error::PoolsExhausted)?;
            resolved.insert(0, with_gateway(subnet));
        }
        if wish.has_ipv6() && resolved.iter().all(|ipam| ipam.subnet.is_ipv4()) {
            let subnet = pool::free_ipv6(&self.options.defaults.pools, &busy, random()?)
                .ok_or(Error::PoolsExhausted)?;
            resolved.push(with_gateway(subnet));
        }
        if resolved.is_empty() { Err(Error::NoFamily) } else { Ok(resolved) }
    }

    /// The subnets that others have: the machine's routes except those of our own bridges, and the host's.
    pub(super) fn outside(&self, state: &mut State) -> Result<Vec<Subnet>> {
        let mut subnets = state.kernel.destinations().map_err(kernel("list", "routes"))?;
        subnets.extend(self.options.avoid.subnets());
        Ok(subnets)
    }
}

/// A network with nothing decided but its id.
pub(super) fn bare(wish: NetworkWish) -> Result<Network> {
    Ok(Network {
        id: random_id::<32>()?,
        driver: Driver::Bridge,
        created: jiff::Timestamp::now(),
        ipv4: wish.has_ipv4(),
        ipv6: wish.has_ipv6(),
        name: wish.name,
        internal: wish.internal,
        attachable: wish.attachable,
        labels: wish.labels,
        options: wish.options,
        ipam: Vec::new(),
        ipam_options: wish.ipam_options,
        config_only: wish.config_only,
        config_from: wish.config_from,
        bridge: None,
        parent: None,
    })
}

/// What the request leaves open of a family an option may say; what the request says, no option does.
fn switch(
    wish: &mut Option<bool>,
    options: &mut BTreeMap<String, String>,
    option: &'static str,
) -> Result<()> {
    if wish.is_some() {
        options.remove(option);
    } else if let Some(value) = options.get(option) {
        *wish = Some(options::truth(value).ok_or(Error::InvalidSwitch(option))?);
    }
    Ok(())
}

fn check_name(state: &State, name: &str) -> Result<()> {
    if name.trim().is_empty() {
        return Err(Error::NoName);
    }
    if name.len() > LONGEST_NAME {
        return Err(Error::LongName(name.to_owned(), LONGEST_NAME));
    }
    if state.networks.iter().any(|network| network.name == name) {
        return Err(Error::NetworkExists(name.to_owned()));
    }
    Ok(())
}

fn driver(wish: &NetworkWish) -> Result<Driver> {
    let driver = match wish.driver.as_str() {
        "bridge" => Driver::Bridge,
        "ipvlan" => Driver::Ipvlan,
        "macvlan" => Driver::Macvlan,
        "host" => Driver::Host,
        "null" => Driver::Null,
        other => return Err(Error::NoSuchDriver(other.to_owned())),
    };
    match driver {
        _ if wish.ingress => Err(Error::LocalIngress),
        Driver::Host | Driver::Null => Err(Error::OnlyOne(driver.name())),
        driver => Ok(driver),
    }
}

/// The name that a bridge is to have, if it can.
fn check_bridge(state: &State, network: &Network, bridge: &str) -> Result<String> {
    let allowed = |c: char| c.is_ascii_graphic() && c != '/' && c != ':';
    if !(1..NAME_LENGTH).contains(&bridge.len()) || !bridge.chars().all(allowed) {
        return Err(Error::InvalidOption {
            option: options::BRIDGE_NAME.to_owned(),
            value: bridge.to_owned(),
            reason: "an interface's name has 1 to 15 characters, none of them a space, a slash or a colon"
                .to_owned(),
        });
    }
    match state.networks.iter().find(|other| other.bridge.as_deref() == Some(bridge)) {
        Some(other) => {
            let (id, other, bridge) = (network.id.clone(), other.id.clone(), bridge.to_owned());
            Err(Error::BridgeTaken { id, bridge, other })
        }
        None => Ok(bridge.to_owned()),
    }
}

/// Of IPv6 some subnets have a meaning of their own.
fn check_ipv6(subnet: Subnet) -> Result<()> {
    let IpAddr::V6(address) = subnet.network() else { return Ok(()) };
    if address.is_multicast() {
        return Err(Error::Multicast(subnet));
    }
    let own = Subnet::new(Ipv6Addr::from([0xfe80, 0, 0, 0, 0, 0, 0, 0]).into(), 64);
    match own {
        Some(own) if own != subnet && own.overlaps(&subnet) => Err(Error::LinkLocal(subnet)),
        _ => Ok(()),
    }
}

fn with_gateway(subnet: Subnet) -> Ipam {
    let (gateway_is_ours, chosen) = (false, false);
    let mut ipam =
        Ipam { subnet, range: None, gateway: None, gateway_is_ours, aux: Default::default(), chosen };
    ipam.gateway = pool::free_address(&ipam, &Default::default());
    ipam
}
