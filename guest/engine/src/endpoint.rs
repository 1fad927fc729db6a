//! A container's place in one network, as clients see it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::container::config::null_is_default;

/// Docker's `EndpointSettings`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct EndpointSettings {
    /// Addresses that the user asked for.
    #[serde(rename = "IPAMConfig")]
    pub ipam_config: Option<EndpointIpamConfig>,
    /// `container:alias` of the legacy links.
    pub links: Option<Vec<String>>,
    /// Further names in this network.
    pub aliases: Option<Vec<String>>,
    /// The MAC address.
    #[serde(deserialize_with = "null_is_default")]
    pub mac_address: String,
    /// Options of the driver.
    pub driver_opts: Option<BTreeMap<String, String>>,
    /// Which network's gateway is the default one: the highest number wins.
    #[serde(deserialize_with = "null_is_default")]
    pub gw_priority: i64,
    /// The network's id.
    #[serde(rename = "NetworkID", deserialize_with = "null_is_default")]
    pub network_id: String,
    /// The endpoint's id, while the container runs.
    #[serde(rename = "EndpointID", deserialize_with = "null_is_default")]
    pub endpoint_id: String,
    /// The default gateway.
    #[serde(deserialize_with = "null_is_default")]
    pub gateway: String,
    /// The address.
    #[serde(rename = "IPAddress", deserialize_with = "null_is_default")]
    pub ip_address: String,
    /// Bits of the network's prefix.
    #[serde(rename = "IPPrefixLen", deserialize_with = "null_is_default")]
    pub ip_prefix_len: u8,
    /// The default IPv6 gateway.
    #[serde(rename = "IPv6Gateway", deserialize_with = "null_is_default")]
    pub ipv6_gateway: String,
    /// The IPv6 address.
    #[serde(rename = "GlobalIPv6Address", deserialize_with = "null_is_default")]
    pub global_ipv6_address: String,
    /// Bits of the IPv6 prefix.
    #[serde(rename = "GlobalIPv6PrefixLen", deserialize_with = "null_is_default")]
    pub global_ipv6_prefix_len: u8,
    /// Every name the resolver knows it by in this network.
    #[serde(rename = "DNSNames")]
    pub dns_names: Option<Vec<String>>,
}

impl EndpointSettings {
    /// Forgets what only held while the container ran; what the user asked for, a card's address among it, stays.
    pub(crate) fn forget(&mut self, asked_mac: Option<String>) {
        if self.endpoint_id.is_empty() {
            return;
        }
        let Self { ipam_config, links, aliases, driver_opts, gw_priority, network_id, .. } =
            std::mem::take(self);
        let mac_address = asked_mac.unwrap_or_default();
        *self = Self {
            ipam_config,
            links,
            aliases,
            mac_address,
            driver_opts,
            gw_priority,
            network_id,
            ..Self::default()
        };
    }
}

/// Addresses that the user asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct EndpointIpamConfig {
    /// IPv4.
    #[serde(
        rename = "IPv4Address",
        deserialize_with = "null_is_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub ipv4_address: String,
    /// IPv6.
    #[serde(
        rename = "IPv6Address",
        deserialize_with = "null_is_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub ipv6_address: String,
    /// Link-local addresses.
    #[serde(rename = "LinkLocalIPs", skip_serializing_if = "Option::is_none")]
    pub link_local_ips: Option<Vec<String>>,
}
