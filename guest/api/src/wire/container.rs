//! Containers on the wire (API 1.51, `ContainerInspectResponse`, `ContainerSummary`).

use std::collections::BTreeMap;

use berth_engine::container::config::Config;
use berth_engine::container::host_config::{HostConfig, RestartPolicy};
use berth_engine::container::mounts::{MountOptions, MountPoint};
use berth_engine::container::record::Record;
use berth_engine::container::resources::Resources;
use berth_engine::container::state::{Health, Probe, State, Status};
use berth_engine::endpoint::EndpointSettings;
use berth_engine::ports::OpenPorts;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::query::{flag, number};

/// Go's zero time, which Docker sends for "never".
pub(crate) const NEVER: &str = "0001-01-01T00:00:00Z";

/// A moment, or Go's zero time.
pub(crate) fn moment(moment: Option<Timestamp>) -> String {
    moment.map_or_else(|| NEVER.to_owned(), |moment| moment.to_string())
}

/// `POST /containers/create`'s query.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct CreateQuery {
    pub(crate) name: String,
    pub(crate) platform: String,
}

/// `POST /containers/create`'s body.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct CreateRequest {
    #[serde(flatten)]
    pub(crate) config: Config,
    pub(crate) host_config: Option<HostConfig>,
    pub(crate) networking_config: Option<NetworkingConfig>,
    /// Of its default network; older clients send it here.
    pub(crate) mac_address: Option<String>,
    /// The runtime's name, where docker-py sends it.
    pub(crate) runtime: Option<String>,
    /// Fields that this engine doesn't know.
    #[serde(flatten)]
    unknown: BTreeMap<String, Value>,
}

impl CreateRequest {
    /// One warning for each field that has a value and that this engine doesn't know. A value that says nothing
    /// (null, false, 0, empty) asks for nothing.
    pub(crate) fn warnings(&self) -> Vec<String> {
        let host = self.host_config.iter().flat_map(|host| &host.unknown);
        let host = host.map(|(name, value)| (format!("HostConfig.{name}"), value));
        let own = self.unknown.iter().map(|(name, value)| (name.clone(), value));
        let told = own.chain(host).filter(|(_, value)| asks_for_something(value));
        told.map(|(name, _)| format!("the field {name} is not known to this engine and has no effect"))
            .collect()
    }
}

fn asks_for_something(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => false,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
        Value::Bool(true) => true,
    }
}

/// The networks of a new container.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct NetworkingConfig {
    pub(crate) endpoints_config: Option<BTreeMap<String, Option<EndpointSettings>>>,
}

/// What creation answers.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct CreateResponse {
    pub(crate) id: String,
    pub(crate) warnings: Vec<String>,
}

/// `GET /containers/json`'s query.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct ListQuery {
    #[serde(deserialize_with = "flag")]
    pub(crate) all: bool,
    #[serde(deserialize_with = "number")]
    pub(crate) limit: Option<i64>,
    #[serde(deserialize_with = "flag")]
    pub(crate) size: bool,
    pub(crate) filters: Option<String>,
}

/// One line of `docker ps`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Summary {
    id: String,
    names: Vec<String>,
    image: String,
    #[serde(rename = "ImageID")]
    image_id: String,
    command: String,
    created: i64,
    ports: Vec<Port>,
    #[serde(skip_serializing_if = "Option::is_none")]
    size_rw: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    size_root_fs: Option<u64>,
    labels: BTreeMap<String, String>,
    state: &'static str,
    status: String,
    host_config: SummaryHostConfig,
    network_settings: SummaryNetworks,
    mounts: Vec<MountPoint>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct SummaryHostConfig {
    network_mode: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct SummaryNetworks {
    networks: BTreeMap<String, EndpointSettings>,
}

/// One port of `docker ps`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Port {
    #[serde(rename = "IP", skip_serializing_if = "String::is_empty")]
    ip: String,
    private_port: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    public_port: Option<u16>,
    #[serde(rename = "Type")]
    kind: String,
}

impl Summary {
    /// The summary of a container with these open ports.
    pub(crate) fn new(record: Record, open: &OpenPorts, sizes: Option<(u64, u64)>, now: Timestamp) -> Self {
        // Docker quotes what has spaces in it, but for the program.
        let quoted = |(place, word): (usize, String)| {
            if place > 0 && word.contains(' ') { format!("'{word}'") } else { word }
        };
        let command = record.argv().into_iter().enumerate().map(quoted).collect::<Vec<_>>().join(" ");
        Self {
            names: vec![format!("/{}", record.name)],
            image: record.config.image.clone(),
            image_id: record.image.clone(),
            command,
            created: record.created.as_second(),
            ports: ports(open),
            // Docker leaves a zero out here.
            size_rw: sizes.map(|(writable, _)| writable).filter(|&size| size > 0),
            size_root_fs: sizes.map(|(_, whole)| whole),
            labels: record.config.labels.clone(),
            state: record.state.status.name(),
            status: record.state.sentence(now),
            host_config: SummaryHostConfig { network_mode: record.host_config.network_mode.clone() },
            mounts: shown(&record),
            network_settings: SummaryNetworks { networks: record.networks },
            id: record.id,
        }
    }
}

/// Links as Docker lists them: `/other:/own/alias`.
fn links(record: &Record) -> Option<Vec<String>> {
    let shown = |wish: &String| {
        let (name, alias) = wish.split_once(':').unwrap_or((wish, wish));
        let (name, alias) = (name.trim_start_matches('/'), alias.rsplit('/').next().unwrap_or(alias));
        format!("/{name}:/{}/{alias}", record.name)
    };
    record.host_config.links.as_ref().map(|links| links.iter().map(shown).collect())
}

/// Mounts as Docker lists them: with the memory of `--mount`, without that of `--tmpfs`.
fn shown(record: &Record) -> Vec<MountPoint> {
    let mounts = record.mounts.iter().cloned();
    let mounts = mounts.map(|mount| MountPoint { options: MountOptions::default(), ..mount });
    mounts.chain(MountPoint::in_memory(&record.host_config)).collect()
}

fn ports(open: &OpenPorts) -> Vec<Port> {
    let mut ports = Vec::new();
    for (port, bindings) in open {
        let (number, kind) = port.split_once('/').unwrap_or((port, "tcp"));
        let Ok(private_port) = number.parse() else { continue };
        let kind = kind.to_owned();
        match bindings {
            None => ports.push(Port { ip: String::new(), private_port, public_port: None, kind }),
            Some(bindings) => ports.extend(bindings.iter().map(|binding| Port {
                ip: binding.host_ip.clone(),
                private_port,
                public_port: binding.host_port.parse().ok(),
                kind: kind.clone(),
            })),
        }
    }
    ports
}

/// `GET /containers/{id}/json`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Inspect {
    id: String,
    created: String,
    path: String,
    args: Vec<String>,
    state: InspectState,
    image: String,
    resolv_conf_path: String,
    hostname_path: String,
    hosts_path: String,
    log_path: String,
    name: String,
    restart_count: u32,
    driver: &'static str,
    platform: &'static str,
    mount_label: &'static str,
    process_label: &'static str,
    app_armor_profile: &'static str,
    #[serde(rename = "ExecIDs")]
    exec_ids: Option<Vec<String>>,
    host_config: HostConfig,
    graph_driver: GraphDriver,
    #[serde(skip_serializing_if = "Option::is_none")]
    size_rw: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    size_root_fs: Option<u64>,
    mounts: Vec<MountPoint>,
    config: Config,
    network_settings: NetworkSettings,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct InspectState {
    status: &'static str,
    running: bool,
    paused: bool,
    restarting: bool,
    #[serde(rename = "OOMKilled")]
    oom_killed: bool,
    dead: bool,
    pid: i32,
    exit_code: i64,
    error: String,
    started_at: String,
    finished_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    health: Option<Value>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct GraphDriver {
    data: BTreeMap<String, String>,
    name: &'static str,
}

#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
struct NetworkSettings {
    bridge: String,
    #[serde(rename = "SandboxID")]
    sandbox_id: String,
    sandbox_key: String,
    ports: OpenPorts,
    hairpin_mode: bool,
    #[serde(rename = "LinkLocalIPv6Address")]
    link_local_ipv6_address: String,
    #[serde(rename = "LinkLocalIPv6PrefixLen")]
    link_local_ipv6_prefix_len: u8,
    #[serde(rename = "SecondaryIPAddresses")]
    secondary_ip_addresses: Option<Vec<String>>,
    #[serde(rename = "SecondaryIPv6Addresses")]
    secondary_ipv6_addresses: Option<Vec<String>>,
    #[serde(rename = "EndpointID")]
    endpoint_id: String,
    gateway: String,
    #[serde(rename = "GlobalIPv6Address")]
    global_ipv6_address: String,
    #[serde(rename = "GlobalIPv6PrefixLen")]
    global_ipv6_prefix_len: u8,
    #[serde(rename = "IPAddress")]
    ip_address: String,
    #[serde(rename = "IPPrefixLen")]
    ip_prefix_len: u8,
    #[serde(rename = "IPv6Gateway")]
    ipv6_gateway: String,
    mac_address: String,
    networks: BTreeMap<String, EndpointSettings>,
}

impl Inspect {
    /// The details of a container.
    pub(crate) fn new(details: berth_engine::Details, sizes: Option<(u64, u64)>) -> Self {
        let berth_engine::Details { record, names, log_path, exec_ids, ports, sandbox, layers } = details;
        let mut argv = record.argv().into_iter();
        let file = |name: &str| names.join(name).to_string_lossy().into_owned();
        let exec_ids = Some(exec_ids).filter(|ids| !ids.is_empty());
        Self {
            created: record.created.to_string(),
            path: argv.next().unwrap_or_default(),
            args: argv.collect(),
            state: InspectState::new(&record.state),
            image: record.image.clone(),
            resolv_conf_path: file("resolv.conf"),
            hostname_path: file("hostname"),
            hosts_path: file("hosts"),
            log_path: log_path.map(|path| path.to_string_lossy().into_owned()).unwrap_or_default(),
            name: format!("/{}", record.name),
            restart_count: record.state.restart_count,
            driver: "overlay2",
            platform: "linux",
            mount_label: "",
            process_label: "",
            app_armor_profile: "",
            exec_ids,
            graph_driver: GraphDriver { data: layers, name: "overlay2" },
            size_rw: sizes.map(|(writable, _)| writable),
            size_root_fs: sizes.map(|(_, whole)| whole),
            network_settings: NetworkSettings::new(&record, ports, sandbox),
            mounts: shown(&record),
            host_config: HostConfig { links: links(&record), ..record.host_config },
            config: record.config,
            id: record.id,
        }
    }
}

impl InspectState {
    fn new(state: &State) -> Self {
        let is = |status| state.status == status;
        Self {
            status: state.status.name(),
            running: state.status.has_process() || is(Status::Restarting),
            paused: is(Status::Paused),
            restarting: is(Status::Restarting),
            oom_killed: state.oom_killed,
            dead: is(Status::Dead),
            pid: state.pid,
            exit_code: state.exit_code,
            error: state.error.clone(),
            started_at: moment(state.started_at),
            finished_at: moment(state.finished_at),
            health: state.health.as_ref().map(health),
        }
    }
}

fn health(health: &Health) -> Value {
    let probe = |probe: &Probe| {
        json!({
            "Start": probe.start.to_string(), "End": probe.end.to_string(), "ExitCode": probe.exit_code,
            "Output": probe.output,
        })
    };
    let log: Vec<Value> = health.log.iter().map(probe).collect();
    json!({ "Status": health.status.name(), "FailingStreak": health.failing_streak, "Log": log })
}

impl NetworkSettings {
    /// The older fields repeat the default network's endpoint.
    fn new(record: &Record, ports: OpenPorts, sandbox_key: String) -> Self {
        let endpoint = record.networks.get("bridge").cloned().unwrap_or_default();
        let sandbox_id = if sandbox_key.is_empty() { String::new() } else { record.id.clone() };
        Self {
            sandbox_id,
            sandbox_key,
            ports,
            endpoint_id: endpoint.endpoint_id,
            gateway: endpoint.gateway,
            global_ipv6_address: endpoint.global_ipv6_address,
            global_ipv6_prefix_len: endpoint.global_ipv6_prefix_len,
            ip_address: endpoint.ip_address,
            ip_prefix_len: endpoint.ip_prefix_len,
            ipv6_gateway: endpoint.ipv6_gateway,
            mac_address: endpoint.mac_address,
            networks: record.networks.clone(),
            ..Self::default()
        }
    }
}

/// `?size=1` of an inspect.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct InspectQuery {
    #[serde(deserialize_with = "flag")]
    pub(crate) size: bool,
}

/// The queries of the small verbs together: signal, time-out, name, condition, force, size.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct VerbQuery {
    pub(crate) signal: Option<String>,
    #[serde(rename = "t", deserialize_with = "number")]
    pub(crate) timeout: Option<i64>,
    pub(crate) name: String,
    pub(crate) condition: String,
    #[serde(deserialize_with = "flag")]
    pub(crate) force: bool,
    #[serde(deserialize_with = "flag")]
    pub(crate) v: bool,
    #[serde(deserialize_with = "flag")]
    pub(crate) link: bool,
    #[serde(deserialize_with = "number")]
    pub(crate) h: Option<i64>,
    #[serde(deserialize_with = "number")]
    pub(crate) w: Option<i64>,
}

/// `POST /containers/{id}/update`'s body.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct UpdateRequest {
    #[serde(flatten)]
    pub(crate) resources: Resources,
    pub(crate) restart_policy: Option<RestartPolicy>,
}

/// `GET /containers/{id}/top`'s query.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct TopQuery {
    pub(crate) ps_args: String,
}

/// `POST /containers/{id}/wait`'s answer.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct WaitResponse {
    pub(crate) status_code: i64,
}

/// Which streams a client wants, of an attach or of logs.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct StreamQuery {
    #[serde(deserialize_with = "flag")]
    pub(crate) stream: bool,
    #[serde(deserialize_with = "flag")]
    pub(crate) logs: bool,
    #[serde(deserialize_with = "flag")]
    pub(crate) stdin: bool,
    #[serde(deserialize_with = "flag")]
    pub(crate) stdout: bool,
    #[serde(deserialize_with = "flag")]
    pub(crate) stderr: bool,
    #[serde(rename = "detachKeys")]
    pub(crate) detach_keys: String,
    #[serde(deserialize_with = "flag")]
    pub(crate) follow: bool,
    #[serde(deserialize_with = "flag")]
    pub(crate) timestamps: bool,
    #[serde(deserialize_with = "flag")]
    pub(crate) details: bool,
    pub(crate) since: Option<String>,
    pub(crate) until: Option<String>,
    pub(crate) tail: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_field_with_a_value_is_a_warning() {
        let body =
            r#"{"Image": "x", "MacAddress": "", "Wings": 2, "HostConfig": {"Memory": 7, "Fins": [1]}}"#;
        let request: CreateRequest = serde_json::from_str(body).unwrap();
        assert_eq!(request.host_config.as_ref().unwrap().resources.memory, 7);
        let warnings = request.warnings().join("\n");
        assert!(warnings.contains("Wings") && warnings.contains("HostConfig.Fins"), "{warnings}");
        assert_eq!(request.warnings().len(), 2);
    }
}
