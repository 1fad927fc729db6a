//! Every key of dockerd's: those with an effect here, and those of [`super::fixed`].

use super::fixed;

/// Keys with an effect, and which.
const EFFECTS: &[(&str, &str)] = &[
    ("bip", "address of the default network's bridge, as `10.1.0.1/24`"),
    ("bip6", "the same for IPv6; needs `ipv6`"),
    (
        "builder",
        "`entitlements`: what builds may be granted, `network-host` (on) and `security-insecure` (off); `history`: \
         how long they are remembered, `maxEntries` (50 last ones) and `maxAge` (`48h`, others until then); of `gc`, \
         that it isn't `enabled`: the build cache isn't collected by itself",
    ),
    ("cgroup-parent", "cgroup above all containers' (natively)"),
    ("data-root", "folder of what outlives the machine (natively)"),
    ("debug", "log in detail, and say so in `docker info`; reloaded"),
    ("default-address-pools", "blocks that subnets of new networks are cut from"),
    ("default-cgroupns-mode", "`private` or `host`, for new containers"),
    (
        "default-gateway",
        "way out of the default network, when it isn't the bridge; needs `bip` or `fixed-cidr`",
    ),
    ("default-gateway-v6", "the same for IPv6; needs `bip6` or `fixed-cidr-v6`"),
    ("default-ipc-mode", "`private` or `shareable`, for new containers"),
    ("default-network-opts", "options of new networks, by driver"),
    ("default-shm-size", "size of `/dev/shm` in new containers, as `64M`"),
    ("default-ulimits", "rlimits of new containers that don't set them"),
    ("dns", "name servers of new containers"),
    ("dns-opts", "resolver options of new containers"),
    ("dns-search", "search domains of new containers"),
    ("exec-opts", "nothing but `native.cgroupdriver=cgroupfs`, which is so"),
    ("exec-root", "folder of what ends with the machine (natively)"),
    ("features", "nothing but what is so: `buildkit` on, `cdi` and `containerd-snapshotter` off"),
    ("fixed-cidr", "part of the default network that addresses are given out from"),
    ("fixed-cidr-v6", "the same for IPv6; needs `ipv6`"),
    ("group", "group that may open the engine's `unix://` sockets (natively)"),
    ("host-gateway-ip", "older name of `host-gateway-ips`, for one address"),
    ("host-gateway-ips", "what `host-gateway` means in `--add-host`"),
    (
        "hosts",
        "where the engine listens: `unix://` (natively) and `tcp://`; in a VM, `tcp://` addresses of the host",
    ),
    ("icc", "whether containers of the default network may speak to each other"),
    ("init", "small init in new containers that don't say"),
    ("insecure-registries", "registries that may speak plain HTTP or have unknown certificates; reloaded"),
    ("ip", "address of the host at which the default network's ports are published"),
    ("ip-forward", "`false` leaves the machine's forwarding of packets as it is"),
    ("ip-masq", "whether packets leave the default network with the machine's address"),
    ("ipv6", "IPv6 in the default network"),
    ("labels", "labels in `docker info`; reloaded"),
    ("live-restore", "`false` stops the containers when the engine is asked to end; on by default; reloaded"),
    ("log-driver", "log driver of new containers: `json-file`, `local` or `none`"),
    ("log-level", "`debug`, `info`, `warn`, `error` or `fatal`: how much the engine logs"),
    (
        "log-opts",
        "options of new containers with that driver: `max-size`, `max-file`, `compress`, `mode`, \
         `max-buffer-size`; `json-file` has `labels`, `labels-regex`, `env`, `env-regex` and `tag` too",
    ),
    ("max-concurrent-downloads", "layers that a pull downloads at a time; reloaded"),
    ("max-concurrent-uploads", "layers that a push uploads at a time; reloaded"),
    ("max-download-attempts", "attempts at a layer; reloaded"),
    ("mtu", "MTU of the default network"),
    ("no-new-privileges", "no rights by set-user-id bits in new containers that don't say"),
    ("pidfile", "file with the engine's process id (natively)"),
    ("proxies", "`http-proxy`, `https-proxy` and `no-proxy` of pulls, pushes and a build's downloads"),
    ("registry-mirrors", "addresses that are asked for Docker Hub's images first; reloaded"),
    ("seccomp-profile", "system call filter of new containers: a file, `builtin` or `unconfined`"),
    (
        "shutdown-timeout",
        "seconds that containers get to stop when the engine stops them, at most 7 in a VM; reloaded",
    ),
    ("tls", "TLS on `tcp://` addresses"),
    ("tlscacert", "authority of the clients' certificates"),
    ("tlscert", "the engine's certificate"),
    ("tlskey", "its key"),
    ("tlsverify", "TLS on `tcp://` addresses, for clients with a certificate of `tlscacert` alone"),
];

/// Whether dockerd has such a key.
pub(super) fn is_known(key: &str) -> bool {
    let names = EFFECTS.iter().map(|(name, _)| name).chain(fixed::KEYS.iter().map(|(name, ..)| name));
    names.into_iter().any(|name| *name == key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::daemon_json::fixed::Allowed;

    const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/daemon-json.md");

    /// The document's table, as it follows from the lists.
    fn table() -> Vec<String> {
        let fixed = fixed::KEYS.iter().map(|(key, allowed, why)| {
            let but = match allowed {
                Allowed::Nothing => "refused".to_owned(),
                Allowed::Unset => "refused unless it is empty or off".to_owned(),
                Allowed::True => "refused unless `true`".to_owned(),
                Allowed::Texts(texts) => format!("refused unless `{}`", texts.join("` or `")),
            };
            format!("| `{key}` | {but}: {why} |")
        });
        let effects = EFFECTS.iter().map(|(key, effect)| format!("| `{key}` | {effect} |"));
        let mut rows: Vec<String> = effects.chain(fixed).collect();
        rows.sort_by_key(|row| row.split('`').nth(1).map(str::to_owned));
        rows
    }

    #[test]
    fn the_document_has_a_row_for_each_key_and_no_other() {
        let text = std::fs::read_to_string(DOCUMENT).unwrap();
        let rows: Vec<&str> = text.lines().filter(|line| line.starts_with("| `")).collect();
        assert_eq!(rows, table(), "docs/daemon-json.md should hold:\n{}", table().join("\n"));
    }

    #[test]
    fn no_key_stands_twice() {
        let mut names: Vec<&str> = EFFECTS.iter().map(|(name, _)| *name).collect();
        names.extend(fixed::KEYS.iter().map(|(name, ..)| *name));
        names.sort_unstable();
        let mut once = names.clone();
        once.dedup();
        assert_eq!(names, once);
        assert!(fixed::NATIVE.iter().all(|key| is_known(key)));
    }
}
