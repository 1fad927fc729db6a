//! How networks are made: address pools, options, and the default network.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use anyhow::{Context, bail};
use berth_network::{Defaults, IpamWish, NetworkWish, Pool, Subnet};
use serde::Deserialize;

use super::DaemonJson;

/// The options of a bridge, as Docker's API names them.
const MTU: &str = "com.docker.network.driver.mtu";
const ICC: &str = "com.docker.network.bridge.enable_icc";
const MASQUERADE: &str = "com.docker.network.bridge.enable_ip_masquerade";
const HOST_BINDING: &str = "com.docker.network.bridge.host_binding_ipv4";

/// The drivers that new networks may have.
const DRIVERS: [&str; 3] = ["bridge", "ipvlan", "macvlan"];

/// What the file says of networks.
pub(crate) fn networks(json: &DaemonJson) -> anyhow::Result<Defaults> {
    let options: BTreeMap<String, BTreeMap<String, String>> =
        json.get_or("default-network-opts", BTreeMap::new())?;
    if let Some(driver) = options.keys().find(|driver| !DRIVERS.contains(&driver.as_str())) {
        bail!("default-network-opts: new networks have the drivers {}, not {driver}", DRIVERS.join(", "));
    }
    Ok(Defaults {
        pools: pools(json)?,
        bridge: bridge(json)?,
        options,
        forward: json.get_or("ip-forward", true)?,
    })
}

/// One of `default-address-pools`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PoolJson {
    base: Subnet,
    size: u8,
}

/// The address pools, each large enough for one of its subnets at least.
pub(super) fn pools(json: &DaemonJson) -> anyhow::Result<Vec<Pool>> {
    let mut pools: Vec<Pool> = Vec::new();
    for PoolJson { base, size } in json.get_or("default-address-pools", Vec::new())? {
        let longest = if base.is_ipv4() { 30 } else { 126 };
        if !(base.length()..=longest).contains(&size) {
            bail!(
                "default-address-pools: {base} has no subnets of size {size}: use {} to {longest}",
                base.length()
            );
        }
        if let Some(other) = pools.iter().find(|other| other.base.overlaps(&base)) {
            bail!("default-address-pools: {base} overlaps {}", other.base);
        }
        pools.push(Pool { base, size });
    }
    Ok(pools)
}

/// The default network.
fn bridge(json: &DaemonJson) -> anyhow::Result<NetworkWish> {
    let ipv6 = json.get_or("ipv6", false)?;
    let keys = ["bip6", "fixed-cidr-v6", "default-gateway-v6"];
    if let Some(key) = keys.iter().find(|key| !ipv6 && json.has(key)) {
        bail!("{key}: the default network has no IPv6: say \"ipv6\": true too");
    }
    let mut wish = NetworkWish { ipv6: Some(ipv6), options: options(json)?, ..NetworkWish::default() };
    let four = addresses(
        true,
        json.get("bip")?,
        json.get("fixed-cidr")?,
        json.get::<Ipv4Addr>("default-gateway")?.map(IpAddr::V4),
    );
    let six = addresses(
        false,
        json.get("bip6")?,
        json.get("fixed-cidr-v6")?,
        json.get::<Ipv6Addr>("default-gateway-v6")?.map(IpAddr::V6),
    );
    wish.ipam.extend(four.context("bip, fixed-cidr, default-gateway")?);
    wish.ipam.extend(six.context("bip6, fixed-cidr-v6, default-gateway-v6")?);
    Ok(wish)
}

/// One family's subnet: that of the bridge's address, else what addresses are given out from.
fn addresses(
    ipv4: bool,
    bridge: Option<String>,
    range: Option<Subnet>,
    router: Option<IpAddr>,
) -> anyhow::Result<Option<IpamWish>> {
    let bridge = bridge.map(|text| with_length(&text)).transpose()?;
    let Some(subnet) = bridge.map(|(_, subnet)| subnet).or(range) else {
        if router.is_some() {
            bail!("a gateway alone doesn't say in which subnet it is");
        }
        return Ok(None);
    };
    if subnet.is_ipv4() != ipv4 {
        bail!("{subnet} is of the other family");
    }
    let mut wish = IpamWish { subnet: Some(subnet.to_string()), ..IpamWish::default() };
    if let Some(range) = range {
        if !subnet.contains(range.network()) || range.length() < subnet.length() {
            bail!("{range} isn't within {subnet}");
        }
        wish.range = Some(range.to_string());
    }
    wish.gateway = bridge.map(|(address, _)| address.to_string());
    if let Some(router) = router {
        if !subnet.contains(router) {
            bail!("{router} isn't within {subnet}");
        }
        if wish.gateway.as_deref() != Some(&router.to_string()) {
            let name = if ipv4 { "DefaultGatewayIPv4" } else { "DefaultGatewayIPv6" };
            wish.aux.insert(name.to_owned(), router.to_string());
        }
    }
    Ok(Some(wish))
}

/// `10.1.0.1/24`: an address and the subnet that it lies in.
fn with_length(text: &str) -> anyhow::Result<(IpAddr, Subnet)> {
    let invalid = || format!("invalid CIDR address: {text}");
    let (address, length) = text.split_once('/').with_context(invalid)?;
    let (address, length) = (address.parse().with_context(invalid)?, length.parse().with_context(invalid)?);
    Ok((address, Subnet::new(address, length).with_context(invalid)?))
}

/// Only what is written: a network that says nothing is as Docker's.
fn options(json: &DaemonJson) -> anyhow::Result<BTreeMap<String, String>> {
    let mut options = BTreeMap::new();
    if let Some(mtu) = json.get::<i64>("mtu")?.filter(|mtu| *mtu != 0) {
        if !(68..=65535).contains(&mtu) {
            bail!("invalid default MTU: {mtu}");
        }
        options.insert(MTU.to_owned(), mtu.to_string());
    }
    for (key, option) in [("icc", ICC), ("ip-masq", MASQUERADE)] {
        if let Some(wanted) = json.get::<bool>(key)? {
            options.insert(option.to_owned(), wanted.to_string());
        }
    }
    if let Some(address) = json.get::<Ipv4Addr>("ip")? {
        options.insert(HOST_BINDING.to_owned(), address.to_string());
    }
    Ok(options)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Result<Defaults, String> {
        let json = DaemonJson::parse(text, false).map_err(|error| format!("{error:#}"))?;
        networks(&json).map_err(|error| format!("{error:#}"))
    }

    #[test]
    fn the_bridges_address_says_the_subnet() {
        let text = r#"{"bip": "10.1.0.1/24", "fixed-cidr": "10.1.0.128/25", "default-gateway": "10.1.0.9",
                       "mtu": 1400, "icc": false, "ip": "127.0.0.1"}"#;
        let bridge = of(text).unwrap().bridge;
        let [ipam] = bridge.ipam.as_slice() else { panic!("{bridge:?}") };
        assert_eq!(ipam.subnet.as_deref(), Some("10.1.0.0/24"));
        assert_eq!(ipam.range.as_deref(), Some("10.1.0.128/25"));
        assert_eq!(ipam.gateway.as_deref(), Some("10.1.0.1"));
        assert_eq!(ipam.aux["DefaultGatewayIPv4"], "10.1.0.9");
        assert_eq!((bridge.options[MTU].as_str(), bridge.options[ICC].as_str()), ("1400", "false"));
        assert_eq!(bridge.options[HOST_BINDING], "127.0.0.1");
    }

    #[test]
    fn addresses_that_do_not_fit_are_refused() {
        assert!(of(r#"{"bip": "10.1.0.1"}"#).unwrap_err().contains("invalid CIDR address"));
        assert!(of(r#"{"bip": "10.1.0.1/24", "fixed-cidr": "10.2.0.0/25"}"#).unwrap_err().contains("within"));
        assert!(of(r#"{"default-gateway": "10.1.0.9"}"#).unwrap_err().contains("subnet"));
        assert!(of(r#"{"fixed-cidr-v6": "fd00::/64"}"#).unwrap_err().contains("ipv6"));
        assert!(of(r#"{"mtu": -1}"#).unwrap_err().contains("invalid default MTU"));
    }

    #[test]
    fn pools_hold_their_subnets_and_do_not_overlap() {
        let pools = of(r#"{"default-address-pools": [{"base": "10.0.0.0/8", "size": 24}]}"#).unwrap().pools;
        assert_eq!(pools, [Pool { base: "10.0.0.0/8".parse().unwrap(), size: 24 }]);
        assert!(of(r#"{"default-address-pools": [{"base": "10.0.0.0/24", "size": 16}]}"#).is_err());
        let twice = r#"{"default-address-pools": [{"base": "10.0.0.0/8", "size": 24}, {"base": "10.1.0.0/16", "size": 24}]}"#;
        assert!(of(twice).unwrap_err().contains("overlaps"));
    }
}
