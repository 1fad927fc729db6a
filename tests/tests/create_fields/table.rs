//! What a row of the table is, and how it reads in the documents.

use e2e::engine::Engine;
use serde_json::Value;

/// One field: what is wished, and how one sees that the wish came true.
#[derive(Clone)]
pub(crate) struct Field {
    pub(crate) name: &'static str,
    /// What is merged into the request.
    pub(crate) wish: Value,
    pub(crate) seen: Seen,
}

/// How one sees a field's effect.
#[derive(Clone)]
pub(crate) enum Seen {
    /// The container's script prints it.
    Inside { script: &'static str, expected: &'static str },
    /// The same, where the machine has the cgroup controller; elsewhere a warning says that it hasn't.
    Limit { script: &'static str, expected: &'static str },
    /// It is for clients, who read it in inspect.
    Inspect { template: &'static str, expected: &'static str },
    /// Somebody outside sees it.
    Outside { script: &'static str, look: fn(&Engine) -> String, expected: &'static str },
    /// It can't be honoured: creation fails with these words.
    Refused { words: &'static str },
    /// It has no meaning here: a warning says so.
    Warned { words: &'static str },
}

pub(crate) fn inside(name: &'static str, wish: Value, script: &'static str, expected: &'static str) -> Field {
    Field { name, wish, seen: Seen::Inside { script, expected } }
}

pub(crate) fn limit(name: &'static str, wish: Value, script: &'static str, expected: &'static str) -> Field {
    Field { name, wish, seen: Seen::Limit { script, expected } }
}

pub(crate) fn inspect(
    name: &'static str,
    wish: Value,
    template: &'static str,
    expected: &'static str,
) -> Field {
    Field { name, wish, seen: Seen::Inspect { template, expected } }
}

pub(crate) fn refused(name: &'static str, wish: Value, words: &'static str) -> Field {
    Field { name, wish, seen: Seen::Refused { words } }
}

pub(crate) fn warned(name: &'static str, wish: Value, words: &'static str) -> Field {
    Field { name, wish, seen: Seen::Warned { words } }
}

pub(crate) fn outside(
    name: &'static str,
    wish: Value,
    script: &'static str,
    look: fn(&Engine) -> String,
    expected: &'static str,
) -> Field {
    Field { name, wish, seen: Seen::Outside { script, look, expected } }
}

/// docs/create-fields.md.
pub(crate) fn document(fields: &[Field]) -> String {
    let mut text = "# The fields of a container's creation\n\n\
        `POST /containers/create`, API 1.51. Made by the test `create_fields`, which sets each field and sees its \
        effect;\n`BERTH_WRITE_DOCS=1` with that test writes this file.\n\n\
        | field | set to | what happens |\n|---|---|---|\n"
        .to_owned();
    for field in fields {
        let wish = field.wish.to_string().replace('|', "\\|");
        text.push_str(&format!("| {} | `{wish}` | {} |\n", field.name, happens(&field.seen)));
    }
    text
}

fn happens(seen: &Seen) -> String {
    let code = |text: &str| format!("`{}`", text.replace('|', "\\|").replace('\n', " "));
    match seen {
        Seen::Inside { script, expected } => {
            format!("takes effect: {} prints {}", code(script), code(expected))
        }
        Seen::Limit { script, expected } => {
            format!(
                "takes effect with the cgroup controller, a warning without: {} prints {}",
                code(script),
                code(expected)
            )
        }
        Seen::Inspect { template, .. } => format!("kept for clients: inspect shows it as {}", code(template)),
        Seen::Outside { expected, .. } => format!("takes effect, seen from outside as {}", code(expected)),
        Seen::Refused { words } => format!("refused: \"{words}\""),
        Seen::Warned { words } => format!("no effect, and a warning: \"{words}\""),
    }
}

/// Every field of the create body in API 1.51: `ContainerConfig`, `HostConfig` with `Resources`, `EndpointSettings`.
pub(crate) const API: &[&str] = &[
    "Hostname",
    "Domainname",
    "User",
    "AttachStdin",
    "AttachStdout",
    "AttachStderr",
    "ExposedPorts",
    "Tty",
    "OpenStdin",
    "StdinOnce",
    "Env",
    "Cmd",
    "Healthcheck",
    "ArgsEscaped",
    "Image",
    "Volumes",
    "WorkingDir",
    "Entrypoint",
    "NetworkDisabled",
    "MacAddress",
    "OnBuild",
    "Labels",
    "StopSignal",
    "StopTimeout",
    "Shell",
    "HostConfig.CpuShares",
    "HostConfig.Memory",
    "HostConfig.CgroupParent",
    "HostConfig.BlkioWeight",
    "HostConfig.BlkioWeightDevice",
    "HostConfig.BlkioDeviceReadBps",
    "HostConfig.BlkioDeviceWriteBps",
    "HostConfig.BlkioDeviceReadIOps",
    "HostConfig.BlkioDeviceWriteIOps",
    "HostConfig.CpuPeriod",
    "HostConfig.CpuQuota",
    "HostConfig.CpuRealtimePeriod",
    "HostConfig.CpuRealtimeRuntime",
    "HostConfig.CpusetCpus",
    "HostConfig.CpusetMems",
    "HostConfig.Devices",
    "HostConfig.DeviceCgroupRules",
    "HostConfig.DeviceRequests",
    "HostConfig.KernelMemoryTCP",
    "HostConfig.MemoryReservation",
    "HostConfig.MemorySwap",
    "HostConfig.MemorySwappiness",
    "HostConfig.NanoCpus",
    "HostConfig.OomKillDisable",
    "HostConfig.Init",
    "HostConfig.PidsLimit",
    "HostConfig.Ulimits",
    "HostConfig.CpuCount",
    "HostConfig.CpuPercent",
    "HostConfig.IOMaximumIOps",
    "HostConfig.IOMaximumBandwidth",
    "HostConfig.Binds",
    "HostConfig.ContainerIDFile",
    "HostConfig.LogConfig",
    "HostConfig.LogConfig.max-size",
    "HostConfig.LogConfig.max-file",
    "HostConfig.LogConfig.compress",
    "HostConfig.LogConfig.mode",
    "HostConfig.LogConfig.max-buffer-size",
    "HostConfig.LogConfig.labels",
    "HostConfig.LogConfig.labels-regex",
    "HostConfig.LogConfig.env",
    "HostConfig.LogConfig.env-regex",
    "HostConfig.LogConfig.tag",
    "HostConfig.LogConfig.others",
    "HostConfig.NetworkMode",
    "HostConfig.PortBindings",
    "HostConfig.RestartPolicy",
    "HostConfig.AutoRemove",
    "HostConfig.VolumeDriver",
    "HostConfig.VolumesFrom",
    "HostConfig.Mounts",
    "HostConfig.Mounts.TmpfsOptions.Options",
    "HostConfig.Mounts.ImageOptions.Subpath",
    "HostConfig.ConsoleSize",
    "HostConfig.Annotations",
    "HostConfig.CapAdd",
    "HostConfig.CapDrop",
    "HostConfig.CgroupnsMode",
    "HostConfig.Dns",
    "HostConfig.DnsOptions",
    "HostConfig.DnsSearch",
    "HostConfig.ExtraHosts",
    "HostConfig.GroupAdd",
    "HostConfig.IpcMode",
    "HostConfig.Cgroup",
    "HostConfig.Links",
    "HostConfig.OomScoreAdj",
    "HostConfig.PidMode",
    "HostConfig.Privileged",
    "HostConfig.PublishAllPorts",
    "HostConfig.ReadonlyRootfs",
    "HostConfig.SecurityOpt",
    "HostConfig.SecurityOpt.writable-cgroups",
    "HostConfig.StorageOpt",
    "HostConfig.Tmpfs",
    "HostConfig.UTSMode",
    "HostConfig.UsernsMode",
    "HostConfig.ShmSize",
    "HostConfig.Sysctls",
    "HostConfig.Runtime",
    "HostConfig.Isolation",
    "HostConfig.MaskedPaths",
    "HostConfig.ReadonlyPaths",
    "NetworkingConfig.IPAMConfig",
    "NetworkingConfig.MacAddress",
    "NetworkingConfig.Aliases",
    "NetworkingConfig.Links",
    "NetworkingConfig.DriverOpts",
    "NetworkingConfig.GwPriority",
];
