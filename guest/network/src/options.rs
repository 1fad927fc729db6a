//! What a user may ask of the driver `bridge`, by option.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::error::{Error, Result};

/// The option that names the bridge's interface.
pub(crate) const BRIDGE_NAME: &str = "com.docker.network.bridge.name";
/// Whether containers may speak to each other.
pub(crate) const CONNECTS: &str = "com.docker.network.bridge.enable_icc";
/// Whether packets to the outside leave with this machine's address.
pub(crate) const MASQUERADES: &str = "com.docker.network.bridge.enable_ip_masquerade";
/// Whether the bridge has no IPv4 address.
pub(crate) const INHIBITS_IPV4: &str = "com.docker.network.bridge.inhibit_ipv4";
/// The address of this machine at which ports are published.
pub(crate) const HOST_BINDING: &str = "com.docker.network.bridge.host_binding_ipv4";
/// The interfaces' MTU.
pub(crate) const MTU: &str = "com.docker.network.driver.mtu";
/// What names of interfaces inside begin with.
pub(crate) const INTERFACE_PREFIX: &str = "com.docker.network.container_iface_prefix";
/// Whether the network has addresses, of IPv4 and of IPv6, where the request itself doesn't say.
pub(crate) const ENABLE: [&str; 2] = ["com.docker.network.enable_ipv4", "com.docker.network.enable_ipv6"];
/// The addresses with which packets leave, of IPv4 and of IPv6.
pub(crate) const HOST_ADDRESS: [&str; 2] = ["com.docker.network.host_ipv4", "com.docker.network.host_ipv6"];
/// How the outside is reached, by IPv4 and by IPv6.
const GATEWAY_MODE: [&str; 2] =
    ["com.docker.network.bridge.gateway_mode_ipv4", "com.docker.network.bridge.gateway_mode_ipv6"];

/// How the outside reaches a bridge's containers, and they the outside, by one family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum GatewayMode {
    /// At published ports, by translation.
    #[default]
    Nat,
    /// The same, and whoever has a route to the containers reaches every port of theirs.
    Unprotected,
    /// Not at all: the bridge itself has no address.
    Isolated,
}

impl GatewayMode {
    /// The mode of IPv4, or of IPv6.
    pub(crate) fn of(options: &BTreeMap<String, String>, ipv4: bool) -> Self {
        let option = GATEWAY_MODE[usize::from(!ipv4)];
        options.get(option).and_then(|value| Self::parse(value)).unwrap_or_default()
    }

    fn parse(text: &str) -> Option<Self> {
        match text {
            "nat" => Some(Self::Nat),
            "nat-unprotected" => Some(Self::Unprotected),
            "isolated" => Some(Self::Isolated),
            _ => None,
        }
    }
}

/// What Go's `strconv.ParseBool` takes for a truth.
pub(crate) fn truth(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

/// Checks the values of the options that the driver knows, in Docker's words; others mean nothing to it.
pub(crate) fn check(options: &BTreeMap<String, String>) -> Result<()> {
    for (option, value) in options {
        let option = option.as_str();
        let wrong = |reason: String| {
            Err(Error::InvalidOption { option: option.to_owned(), value: value.clone(), reason })
        };
        let is_address = option == HOST_BINDING || HOST_ADDRESS.contains(&option);
        if [CONNECTS, MASQUERADES, INHIBITS_IPV4].contains(&option) && truth(value).is_none() {
            return wrong(format!("strconv.ParseBool: parsing {value:?}: invalid syntax"));
        }
        if is_address && value.parse::<IpAddr>().is_err() {
            return wrong("nil ip".to_owned());
        }
        if GATEWAY_MODE.contains(&option) && GatewayMode::parse(value).is_none() {
            return wrong(format!("unknown gateway mode {value}"));
        }
        if option == MTU {
            match value.parse::<i64>() {
                Err(_) => return wrong(format!("strconv.Atoi: parsing {value:?}: invalid syntax")),
                Ok(mtu) if u32::try_from(mtu).is_err() => return Err(Error::InvalidMtu(mtu)),
                Ok(_) => {}
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(option: &str, value: &str) -> String {
        let options = BTreeMap::from([(option.to_owned(), value.to_owned())]);
        check(&options).err().map(|error| error.to_string()).unwrap_or_default()
    }

    #[test]
    fn a_wrong_value_is_refused_in_dockers_words() {
        let expected = "failed to parse com.docker.network.bridge.enable_icc value: x \
                        (strconv.ParseBool: parsing \"x\": invalid syntax)";
        assert_eq!(said(CONNECTS, "x"), expected);
        let expected = "failed to parse com.docker.network.driver.mtu value: x \
                        (strconv.Atoi: parsing \"x\": invalid syntax)";
        assert_eq!(said(MTU, "x"), expected);
        assert_eq!(said(MTU, "-1"), "invalid MTU number: -1");
        let expected = "failed to parse com.docker.network.host_ipv4 value: x (nil ip)";
        assert_eq!(said(HOST_ADDRESS[0], "x"), expected);
        let expected = "failed to parse com.docker.network.bridge.gateway_mode_ipv6 value: x \
                        (unknown gateway mode x)";
        assert_eq!(said(GATEWAY_MODE[1], "x"), expected);
    }

    #[test]
    fn what_the_driver_does_not_know_may_be_anything() {
        assert_eq!(said("some.other.option", "x"), "");
        assert_eq!(said(HOST_BINDING, "::1"), "");
    }
}
