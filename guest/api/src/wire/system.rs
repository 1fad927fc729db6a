//! The engine itself on the wire (API 1.51, `SystemVersion`, `SystemInfo`).

use berth_engine::images::{RegistryOptions, masked};
use berth_engine::network::Driver;
use berth_engine::{Info, Settings};
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
pub(crate) fn info(info: &Info, settings: &Settings, root: &std::path::Path, now: &str) -> Value {
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
        "LoggingDriver": settings.containers.log.driver, "CgroupDriver": "cgroupfs", "CgroupVersion": "2",
        "MemoryLimit": has("memory"), "SwapLimit": has("memory"), "CpuCfsPeriod": has("cpu"),
        "CpuCfsQuota": has("cpu"), "CPUShares": has("cpu"), "CPUSet": has("cpuset"), "PidsLimit": has("pids"),
        "OomKillDisable": false, "IPv4Forwarding": info.forwards, "Debug": settings.debug,
        "ExperimentalBuild": false, "LiveRestoreEnabled": settings.live_restore,
        "Warnings": warnings(info, settings),
    });
    let proxies = &settings.registries.proxies;
    let more = json!({
        "Plugins": {
            "Volume": ["local"], "Network": Driver::ALL.map(Driver::name), "Authorization": null,
            "Log": ["json-file", "local", "none"],
        },
        "NFd": info.descriptors, "NGoroutines": 0, "NEventsListener": info.listeners, "IndexServerAddress": "https://index.docker.io/v1/",
        "RegistryConfig": registries(&settings.registries),
        "FirewallBackend": { "Driver": "nftables" },
        "GenericResources": null, "HttpProxy": masked(&proxies.http),
        "HttpsProxy": masked(&proxies.https), "NoProxy": proxies.none, "Labels": settings.labels,
        "Runtimes": { "berth": { "path": "berth-runtime" } }, "DefaultRuntime": "berth",
        "Swarm": {
            "NodeID": "", "NodeAddr": "", "LocalNodeState": "inactive", "ControlAvailable": false, "Error": "",
            "RemoteManagers": null,
        },
        "Isolation": "", "InitBinary": "berth-runtime", "ContainerdCommit": { "ID": "" },
        "RuncCommit": { "ID": "" }, "InitCommit": { "ID": "" },
        "SecurityOptions": security(settings), "CDISpecDirs": [],
    });
    if let (Value::Object(value), Value::Object(more)) = (&mut value, more) {
        value.extend(more);
        // Only the user's own are told.
        if !settings.address_pools.is_empty() {
            value.insert("DefaultAddressPools".to_owned(), pools(settings).into());
        }
    }
    value
}

fn warnings(info: &Info, settings: &Settings) -> Vec<String> {
    let seccomp = (settings.containers.seccomp_name != "builtin")
        .then(|| "WARNING: daemon is not using the default seccomp profile".to_owned());
    info.warnings.iter().chain(&settings.warnings).cloned().chain(seccomp).collect()
}

fn security(settings: &Settings) -> Vec<String> {
    let seccomp = format!("name=seccomp,profile={}", settings.containers.seccomp_name);
    let no_more = settings.containers.no_new_privileges.then(|| "name=no-new-privileges".to_owned());
    [seccomp, "name=cgroupns".to_owned()].into_iter().chain(no_more).collect()
}

fn pools(settings: &Settings) -> Vec<Value> {
    settings.address_pools.iter().map(|(base, size)| json!({ "Base": base, "Size": size })).collect()
}

/// Who may be insecure and who has mirrors. This very machine is always among the former.
fn registries(options: &RegistryOptions) -> Value {
    let (networks, hosts): (Vec<&String>, Vec<_>) =
        options.insecure.iter().partition(|entry| entry.contains('/'));
    let networks: Vec<&str> =
        networks.into_iter().map(String::as_str).chain(["::1/128", "127.0.0.0/8"]).collect();
    let mut indexes: serde_json::Map<String, Value> = hosts
        .into_iter()
        .map(|host| {
            (host.clone(), json!({ "Mirrors": [], "Name": host, "Official": false, "Secure": false }))
        })
        .collect();
    let hub = json!({ "Mirrors": options.mirrors, "Name": "docker.io", "Official": true, "Secure": true });
    indexes.insert("docker.io".to_owned(), hub);
    json!({ "IndexConfigs": indexes, "InsecureRegistryCIDRs": networks, "Mirrors": options.mirrors })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registries_are_told_by_name_and_by_network() {
        let insecure = vec!["reg:5000".to_owned(), "10.0.0.0/8".to_owned()];
        let mirrors = vec!["https://m.example/".to_owned()];
        let told = registries(&RegistryOptions { insecure, mirrors, ..RegistryOptions::default() });
        assert_eq!(told["InsecureRegistryCIDRs"], json!(["10.0.0.0/8", "::1/128", "127.0.0.0/8"]));
        assert_eq!(told["IndexConfigs"]["reg:5000"]["Secure"], false);
        assert_eq!(told["IndexConfigs"]["docker.io"]["Mirrors"], json!(["https://m.example/"]));
    }
}
