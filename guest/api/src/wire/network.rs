//! Networks on the wire (API 1.51, `Network`, `NetworkCreateRequest`).

use std::collections::BTreeMap;

use berth_engine::endpoint::EndpointSettings;
use berth_engine::network::{IpamWish, Member, NetworkWish};
use serde::{Deserialize, Serialize};

/// The queries of networks together.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct ListQuery {
    pub(crate) filters: Option<String>,
}

/// `POST /networks/create`'s body.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct CreateRequest {
    name: String,
    driver: Option<String>,
    internal: Option<bool>,
    attachable: Option<bool>,
    #[serde(rename = "EnableIPv6")]
    enable_ipv6: Option<bool>,
    #[serde(rename = "IPAM")]
    ipam: Option<Ipam>,
    options: Option<BTreeMap<String, String>>,
    labels: Option<BTreeMap<String, String>>,
    scope: Option<String>,
    #[serde(rename = "EnableIPv4")]
    pub(crate) enable_ipv4: Option<bool>,
    ingress: Option<bool>,
    config_only: Option<bool>,
    config_from: Option<ConfigFrom>,
}

impl CreateRequest {
    /// What is asked for and isn't there, by name; it would be ignored otherwise.
    pub(crate) fn unsupported(&self) -> Option<String> {
        let scope = self.scope.as_deref().unwrap_or_default();
        let has_routed = |(option, value): (&String, &String)| {
            option.starts_with("com.docker.network.bridge.gateway_mode_ipv") && value == "routed"
        };
        let what = match () {
            () if !matches!(scope, "" | "local" | "swarm") => format!("the scope {scope}"),
            () if self.options.iter().flatten().any(has_routed) => "the gateway mode routed".to_owned(),
            () => return None,
        };
        Some(format!("{what} is not supported by this engine yet: leave it out"))
    }
}

impl From<CreateRequest> for NetworkWish {
    fn from(request: CreateRequest) -> Self {
        let ipam = request.ipam.unwrap_or_default();
        Self {
            name: request.name,
            driver: request.driver.unwrap_or_default(),
            internal: request.internal.unwrap_or_default(),
            attachable: request.attachable.unwrap_or_default(),
            ipv4: request.enable_ipv4,
            ipv6: request.enable_ipv6,
            labels: request.labels.unwrap_or_default(),
            options: request.options.unwrap_or_default(),
            ipam_driver: ipam.driver.unwrap_or_default(),
            ipam_options: ipam.options,
            ipam: ipam.config.unwrap_or_default().into_iter().map(IpamWish::from).collect(),
            config_only: request.config_only.unwrap_or_default(),
            config_from: request.config_from.unwrap_or_default().network,
            scope: request.scope.unwrap_or_default(),
            ingress: request.ingress.unwrap_or_default(),
        }
    }
}

/// How addresses are given out.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Ipam {
    driver: Option<String>,
    options: Option<BTreeMap<String, String>>,
    config: Option<Vec<IpamConfig>>,
}

/// One subnet.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct IpamConfig {
    #[serde(skip_serializing_if = "Option::is_none")]
    subnet: Option<String>,
    #[serde(rename = "IPRange", skip_serializing_if = "Option::is_none")]
    ip_range: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    gateway: Option<String>,
    #[serde(rename = "AuxiliaryAddresses", alias = "AuxAddress", skip_serializing_if = "Option::is_none")]
    auxiliary_addresses: Option<BTreeMap<String, String>>,
}

impl From<IpamConfig> for IpamWish {
    fn from(config: IpamConfig) -> Self {
        let given = |text: Option<String>| text.filter(|text| !text.is_empty());
        Self {
            subnet: given(config.subnet),
            range: given(config.ip_range),
            gateway: given(config.gateway),
            aux: config.auxiliary_addresses.unwrap_or_default(),
        }
    }
}

/// `POST /networks/{id}/connect`'s body.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct ConnectRequest {
    pub(crate) container: String,
    pub(crate) endpoint_config: Option<EndpointSettings>,
}

/// `POST /networks/{id}/disconnect`'s body.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct DisconnectRequest {
    pub(crate) container: String,
    pub(crate) force: bool,
}

/// One network.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Network {
    name: String,
    id: String,
    created: String,
    scope: &'static str,
    driver: &'static str,
    #[serde(rename = "EnableIPv4")]
    enable_ipv4: bool,
    #[serde(rename = "EnableIPv6")]
    enable_ipv6: bool,
    #[serde(rename = "IPAM")]
    ipam: Ipam,
    internal: bool,
    attachable: bool,
    ingress: bool,
    config_from: ConfigFrom,
    config_only: bool,
    containers: BTreeMap<String, MemberEndpoint>,
    options: BTreeMap<String, String>,
    labels: BTreeMap<String, String>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct ConfigFrom {
    network: String,
}

/// A container in a network.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct MemberEndpoint {
    name: String,
    #[serde(rename = "EndpointID")]
    endpoint_id: String,
    mac_address: String,
    #[serde(rename = "IPv4Address")]
    ipv4_address: String,
    #[serde(rename = "IPv6Address")]
    ipv6_address: String,
}

/// A network's options; of the default network also what nobody set, as dockerd tells them.
fn options(network: &berth_engine::network::Network) -> BTreeMap<String, String> {
    let mut options = BTreeMap::new();
    if network.name == "bridge" {
        let name = network.bridge.as_deref().unwrap_or_default();
        for (key, value) in [
            ("bridge.default_bridge", "true"),
            ("bridge.enable_icc", "true"),
            ("bridge.enable_ip_masquerade", "true"),
            ("bridge.host_binding_ipv4", "0.0.0.0"),
            ("bridge.name", name),
            ("driver.mtu", "1500"),
        ] {
            options.insert(format!("com.docker.network.{key}"), value.to_owned());
        }
    }
    options.extend(network.options.clone());
    options
}

impl Network {
    /// A network and the containers in it.
    pub(crate) fn new(network: berth_engine::network::Network, members: Vec<Member>) -> Self {
        let is_predefined = network.is_predefined();
        let config = network.ipam.iter().map(|ipam| IpamConfig {
            subnet: Some(ipam.subnet.to_string()),
            ip_range: ipam.range.map(|range| range.to_string()),
            gateway: ipam
                .gateway
                .filter(|_| is_predefined || !ipam.gateway_is_ours)
                .map(|gateway| gateway.to_string()),
            auxiliary_addresses: Some(&ipam.aux)
                .filter(|aux| !aux.is_empty())
                .map(|aux| aux.iter().map(|(name, address)| (name.clone(), address.to_string())).collect()),
        });
        let options = options(&network);
        let ipam = Ipam {
            driver: Some("default".to_owned()),
            options: network.ipam_options,
            config: Some(config.collect()).filter(|config: &Vec<_>| !config.is_empty()),
        };
        let containers = members.into_iter().map(|(id, name, endpoint)| {
            let ipv4 = endpoint.ipv4.map(|(address, length)| format!("{address}/{length}"));
            let ipv6 = endpoint.ipv6.map(|(address, length)| format!("{address}/{length}"));
            let member = MemberEndpoint {
                name,
                endpoint_id: endpoint.endpoint_id,
                mac_address: endpoint.mac.map(|mac| mac.to_string()).unwrap_or_default(),
                ipv4_address: ipv4.unwrap_or_default(),
                ipv6_address: ipv6.unwrap_or_default(),
            };
            (id, member)
        });
        Self {
            created: network.created.to_string(),
            scope: "local",
            driver: network.driver.name(),
            enable_ipv4: network.ipv4,
            enable_ipv6: network.ipv6,
            ipam,
            internal: network.internal,
            attachable: network.attachable,
            ingress: false,
            config_from: ConfigFrom { network: network.config_from },
            config_only: network.config_only,
            containers: containers.collect(),
            options,
            labels: network.labels,
            name: network.name,
            id: network.id,
        }
    }
}
