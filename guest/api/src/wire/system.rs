//! The engine itself on the wire (API 1.51, `SystemVersion`, `SystemInfo`).

use berth_engine::Info;
use serde_json::{Value, json};

use crate::version::{NEWEST, OLDEST};

/// `GET /version`.
pub(crate) fn version(info: &Info) -> Value {
    let version = env!("CARGO_PKG_VERSION");
    let (newest, oldest) = (NEWEST.to_string(), OLDEST.to_string());
    let details = json!({
        "ApiVersion": newest, "MinAPIVersion": oldest, "Os": "linux", "Arch": arch(info.architecture),
        "KernelVersion": info.kernel, "GitCommit": "", "GoVersion": "", "BuildTime": "", "Experimental": "false",
    });
    json!({
        "Platform": { "Name": "Berth" },
        "Components": [{ "Name": "Engine", "Version": version, "Details": details }],
        "Version": version, "ApiVersion": newest, "MinAPIVersion": oldest, "GitCommit": "", "GoVersion": "",
        "Os": "linux", "Arch": arch(info.architecture), "KernelVersion": info.kernel, "BuildTime": "",
    })
}

/// Go's name of an architecture.
fn arch(kernel: &str) -> &str {
    match kernel {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// `GET /info`.
pub(crate) fn info(info: &Info, root: &std::path::Path, now: &str) -> Value {
    let has = |name: &str| info.controllers.iter().any(|controller| controller == name);
    let [running, paused, stopped] = info.containers;
    let mut value = json!({
        "ID": info.id, "Containers": running + paused + stopped, "ContainersRunning": running,
        "ContainersPaused": paused, "ContainersStopped": stopped, "Images": info.images,
        "Driver": "overlay2", "DriverStatus": [["Backing Filesystem", "extfs"], ["Native Overlay Diff", "true"]],
        "DockerRootDir": root, "SystemTime": now, "Name": info.host_name,
        "NCPU": info.cpus, "MemTotal": info.memory, "KernelVersion": info.kernel,
        "OperatingSystem": info.operating_system, "OSVersion": "", "OSType": "linux",
        "Architecture": info.architecture, "ServerVersion": env!("CARGO_PKG_VERSION"),
        "LoggingDriver": "json-file", "CgroupDriver": "cgroupfs", "CgroupVersion": "2",
        "MemoryLimit": has("memory"), "SwapLimit": has("memory"), "CpuCfsPeriod": has("cpu"),
        "CpuCfsQuota": has("cpu"), "CPUShares": has("cpu"), "CPUSet": has("cpuset"), "PidsLimit": has("pids"),
        "OomKillDisable": false, "IPv4Forwarding": info.forwards, "Debug": false, "ExperimentalBuild": false,
        "LiveRestoreEnabled": true, "Warnings": info.warnings,
    });
    let more = json!({
        "Plugins": {
            "Volume": ["local"], "Network": ["bridge", "host", "none"], "Authorization": null,
            "Log": ["json-file", "local", "none"],
        },
        "NFd": info.descriptors, "NGoroutines": 0, "NEventsListener": info.listeners, "IndexServerAddress": "https://index.docker.io/v1/",
        "RegistryConfig": {
            "IndexConfigs": {
                "docker.io": { "Mirrors": [], "Name": "docker.io", "Official": true, "Secure": true },
            },
            "InsecureRegistryCIDRs": ["::1/128", "127.0.0.0/8"], "Mirrors": [],
        },
        "FirewallBackend": { "Driver": "nftables" },
        "GenericResources": null, "HttpProxy": "", "HttpsProxy": "", "NoProxy": "", "Labels": [],
        "Runtimes": { "berth": { "path": "berth-runtime" } }, "DefaultRuntime": "berth",
        "Swarm": {
            "NodeID": "", "NodeAddr": "", "LocalNodeState": "inactive", "ControlAvailable": false, "Error": "",
            "RemoteManagers": null,
        },
        "Isolation": "", "InitBinary": "berth-runtime", "ContainerdCommit": { "ID": "" },
        "RuncCommit": { "ID": "" }, "InitCommit": { "ID": "" },
        "SecurityOptions": ["name=seccomp,profile=builtin", "name=cgroupns"], "CDISpecDirs": [],
    });
    if let (Value::Object(value), Value::Object(more)) = (&mut value, more) {
        value.extend(more);
    }
    value
}
