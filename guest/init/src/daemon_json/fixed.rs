//! Keys of dockerd that this engine can honour with some values alone, and why not with others.

use anyhow::bail;
use serde_json::Value;

use super::{DaemonJson, builder, text};

/// The values that a key may have.
#[derive(Debug, Clone, Copy)]
pub(super) enum Allowed {
    /// None: it is to be left out.
    Nothing,
    /// What is the same as leaving it out: `false`, 0, an empty text or list.
    Unset,
    /// `true`.
    True,
    /// One of these texts.
    Texts(&'static [&'static str]),
}

const ITSELF: &str = "this engine runs containers itself, without containerd and other runtimes";
const NFTABLES: &str = "networks and published ports are rules of nftables";
const REAL_TIME: &str = "cgroup v2 has no real-time scheduling";
const REMOVED: &str = "Docker removed it";
const SWARM: &str = "there are no swarms yet";
/// dockerd's own words.
const CORS: &str = "DEPRECATED: The \"api-cors-header\" config parameter and the dockerd \"--api-cors-header\" option \
                    have been removed; use a reverse proxy if you need CORS headers";

/// Each such key, its values and the reason.
pub(super) const KEYS: &[(&str, Allowed, &str)] = &[
    ("allow-direct-routing", Allowed::Unset, "containers are reached from outside at published ports alone"),
    ("allow-nondistributable-artifacts", Allowed::Nothing, REMOVED),
    ("api-cors-header", Allowed::Unset, CORS),
    ("authorization-plugins", Allowed::Unset, "this engine has no plugins"),
    (
        "bridge",
        Allowed::Unset,
        "the default network has a bridge of the engine's own; `bip` says its address",
    ),
    ("cdi-spec-dirs", Allowed::Unset, "this engine has no CDI devices"),
    ("containerd", Allowed::Unset, ITSELF),
    ("containerd-namespace", Allowed::Unset, ITSELF),
    ("containerd-plugins-namespace", Allowed::Unset, ITSELF),
    ("cpu-rt-period", Allowed::Unset, REAL_TIME),
    ("cpu-rt-runtime", Allowed::Unset, REAL_TIME),
    ("cri-containerd", Allowed::Unset, ITSELF),
    ("default-runtime", Allowed::Texts(&["berth", "runc"]), ITSELF),
    ("deprecated-key-path", Allowed::Nothing, REMOVED),
    ("experimental", Allowed::Unset, "this engine has no experimental features"),
    ("init-path", Allowed::Unset, "the small init is the engine's own"),
    ("ip-forward-no-drop", Allowed::True, "what the machine does with others' packets is never changed"),
    ("ip6tables", Allowed::True, NFTABLES),
    ("iptables", Allowed::True, NFTABLES),
    ("log-format", Allowed::Texts(&["text"]), "the engine's log is text"),
    ("metrics-addr", Allowed::Unset, "there is no endpoint for metrics"),
    ("network-control-plane-mtu", Allowed::Unset, SWARM),
    ("network-diagnostic-port", Allowed::Unset, SWARM),
    ("node-generic-resources", Allowed::Unset, SWARM),
    ("raw-logs", Allowed::True, "the engine's log has no colours"),
    ("rootless", Allowed::Unset, "this engine runs as root"),
    ("runtimes", Allowed::Unset, ITSELF),
    ("selinux-enabled", Allowed::Unset, "containers get no SELinux labels"),
    ("storage-driver", Allowed::Texts(&["overlay2"]), "layers are stacked by overlayfs"),
    ("storage-opts", Allowed::Unset, "the layer store has no options"),
    ("swarm-default-advertise-addr", Allowed::Unset, SWARM),
    ("userland-proxy", Allowed::True, "it carries what the kernel can't translate"),
    ("userland-proxy-path", Allowed::Unset, "the proxy is the engine's own"),
    ("userns-remap", Allowed::Unset, "users of containers aren't remapped yet"),
];

/// Keys that speak of the machine around the engine, which is the VM's own business.
pub(super) const NATIVE: &[&str] = &["cgroup-parent", "data-root", "exec-root", "group", "pidfile"];

/// Features that dockerd knows, and whether they are on here.
const FEATURES: &[(&str, bool)] = &[("buildkit", true), ("cdi", false), ("containerd-snapshotter", false)];

impl Allowed {
    fn allows(self, value: &Value) -> bool {
        match self {
            Self::Nothing => false,
            Self::Unset => match value {
                Value::Bool(set) => !set,
                Value::Number(number) => number.as_i64() == Some(0),
                Value::String(text) => text.is_empty(),
                Value::Array(items) => items.is_empty(),
                Value::Object(fields) => fields.is_empty(),
                Value::Null => true,
            },
            Self::True => *value == Value::Bool(true),
            Self::Texts(texts) => value.as_str().is_some_and(|text| texts.contains(&text)),
        }
    }
}

/// Refuses what can't be honoured.
pub(super) fn check(json: &DaemonJson, in_machine: bool) -> anyhow::Result<()> {
    for (key, allowed, why) in KEYS {
        if let Some(value) = json.0.get(*key).filter(|value| !allowed.allows(value)) {
            bail!("{key}: {} can't be honoured: {why}", text::as_go(value));
        }
    }
    if let Some(key) = NATIVE.iter().find(|key| in_machine && json.has(key)) {
        bail!("{key}: the VM has its own; leave it out");
    }
    builder::check(json)?;
    exec_options(json)?;
    features(json)
}

fn exec_options(json: &DaemonJson) -> anyhow::Result<()> {
    for option in json.get_or::<Vec<String>>("exec-opts", Vec::new())? {
        match option.split_once('=').map(|(key, value)| (key.trim().to_lowercase(), value.trim())) {
            Some((key, value)) if !key.is_empty() && !value.is_empty() => match (key.as_str(), value) {
                ("native.cgroupdriver", "cgroupfs") => {}
                ("native.cgroupdriver", _) => {
                    bail!("invalid exec-opt ({option}): this engine makes cgroups itself: use cgroupfs")
                }
                ("isolation", _) => {
                    bail!("invalid exec-opt ({option}): option 'isolation' is only supported on windows")
                }
                _ => bail!("invalid exec-opt ({option}): unknown option: '{key}'"),
            },
            _ => bail!("invalid exec-opt ({option}): must be formatted 'opt=value'"),
        }
    }
    Ok(())
}

fn features(json: &DaemonJson) -> anyhow::Result<()> {
    let wanted: std::collections::BTreeMap<String, bool> = json.get_or("features", Default::default())?;
    for (name, wanted) in wanted {
        let known = FEATURES.iter().find(|(known, _)| *known == name);
        let Some((_, is_on)) = known else { bail!("features: this engine has none that is called {name}") };
        if *is_on != wanted {
            bail!("features: {name} can't be {wanted} in this engine");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        format!("{:#}", DaemonJson::parse(text, false).unwrap_err())
    }

    #[test]
    fn what_can_not_be_honoured_is_refused_with_the_reason() {
        assert!(refused(r#"{"storage-driver": "zfs"}"#).contains("storage-driver: zfs"));
        assert!(refused(r#"{"iptables": false}"#).contains("nftables"));
        assert!(refused(r#"{"userns-remap": "default"}"#).contains("userns-remap"));
        assert!(refused(r#"{"exec-opts": ["native.cgroupdriver=systemd"]}"#).contains("cgroupfs"));
        assert!(refused(r#"{"exec-opts": ["x"]}"#).contains("must be formatted 'opt=value'"));
        assert!(refused(r#"{"features": {"containerd-snapshotter": true}}"#).contains("snapshotter"));
        assert!(refused(r#"{"builder": {"gc": {"defaultKeepStorage": "1GB"}}}"#).contains("prune"));
        let plain = r#"{"iptables": true, "storage-driver": "overlay2", "experimental": false,
                        "exec-opts": ["native.cgroupdriver=cgroupfs"], "features": {"buildkit": true},
                        "builder": {"gc": {"enabled": false}}, "runtimes": {}, "default-runtime": "runc"}"#;
        DaemonJson::parse(plain, true).unwrap();
    }

    #[test]
    fn a_vm_has_its_own_folders() {
        assert!(DaemonJson::parse(r#"{"data-root": "/d"}"#, false).is_ok());
        let refused = DaemonJson::parse(r#"{"data-root": "/d"}"#, true).unwrap_err();
        assert!(refused.to_string().starts_with("data-root"), "{refused}");
    }
}
