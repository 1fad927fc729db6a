//! What new containers get, and what `docker info` tells.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use anyhow::bail;
use berth_engine::container::host_config::LogConfig;
use berth_engine::container::resources::Ulimit;
use berth_engine::{ContainerDefaults, Settings};

use super::{DaemonJson, Files, networks, registries, text};

/// Seconds that a container may take to stop when its machine powers off, which takes ten at most.
const MOST_IN_MACHINE: i64 = 7;

/// The engine's settings.
pub(crate) fn settings(json: &DaemonJson, files: &Files<'_>) -> anyhow::Result<Settings> {
    let fallback = Settings::default();
    Ok(Settings {
        debug: json.get_or("debug", false)?,
        labels: labels(json.get_or("labels", Vec::new())?)?,
        live_restore: json.get_or("live-restore", fallback.live_restore)?,
        shutdown_timeout: shutdown_timeout(json, files)?,
        registries: registries::registries(json)?,
        containers: containers(json, files)?,
        address_pools: networks::pools(json)?.iter().map(|pool| (pool.base.to_string(), pool.size)).collect(),
        warnings: Vec::new(),
    })
}

/// The settings after the file was read again: dockerd's rule is that what it no longer says stays, but for how much
/// registries are asked at a time.
pub(crate) fn reloaded(old: &Settings, new: Settings, json: &DaemonJson) -> Settings {
    let mut settings = old.clone();
    if json.has("debug") {
        settings.debug = new.debug;
    }
    if json.has("labels") {
        settings.labels = new.labels;
    }
    if json.has("live-restore") {
        settings.live_restore = new.live_restore;
    }
    if json.has("shutdown-timeout") {
        settings.shutdown_timeout = new.shutdown_timeout;
    }
    let (registries, new) = (&mut settings.registries, new.registries);
    if json.has("insecure-registries") {
        registries.insecure = new.insecure;
    }
    if json.has("registry-mirrors") {
        registries.mirrors = new.mirrors;
    }
    (registries.downloads, registries.uploads) = (new.downloads, new.uploads);
    registries.attempts = new.attempts;
    settings
}

/// `key=value`, no key with two values.
fn labels(labels: Vec<String>) -> anyhow::Result<Vec<String>> {
    let mut by_key: BTreeMap<&str, &str> = BTreeMap::new();
    for label in &labels {
        let Some((key, value)) = label.split_once('=') else { bail!("bad attribute format: {label}") };
        if let Some(other) = by_key.insert(key, value).filter(|other| *other != value) {
            bail!("conflict labels for {key}={value} and {key}={other}");
        }
    }
    let mut seen = BTreeSet::new();
    Ok(labels.iter().filter(|label| seen.insert(*label)).cloned().collect())
}

fn shutdown_timeout(json: &DaemonJson, files: &Files<'_>) -> anyhow::Result<i64> {
    let wanted = json.get::<i64>("shutdown-timeout")?;
    match (files, wanted) {
        (_, Some(seconds)) if seconds < -1 => bail!("invalid shutdown-timeout: {seconds}"),
        (Files::OfHost(_), Some(seconds)) if !(0..=MOST_IN_MACHINE).contains(&seconds) => {
            bail!(
                "shutdown-timeout: the VM powers off within ten seconds: {seconds} isn't between 0 and {MOST_IN_MACHINE}"
            )
        }
        (Files::OfHost(_), None) => Ok(MOST_IN_MACHINE),
        (_, wanted) => Ok(wanted.unwrap_or(Settings::default().shutdown_timeout)),
    }
}

fn containers(json: &DaemonJson, files: &Files<'_>) -> anyhow::Result<ContainerDefaults> {
    let fallback = ContainerDefaults::default();
    let seccomp_name: String = json.get_or("seccomp-profile", String::new())?;
    let dns: Vec<IpAddr> = json.get_or("dns", Vec::new())?;
    Ok(ContainerDefaults {
        log: LogConfig {
            driver: json.get_or("log-driver", fallback.log.driver)?,
            config: json.get_or("log-opts", BTreeMap::new())?,
        },
        ulimits: ulimits(json.get_or("default-ulimits", BTreeMap::new())?)?,
        shm_size: match json.get::<String>("default-shm-size")? {
            Some(size) => text::bytes(&size)?,
            None => fallback.shm_size,
        },
        cgroupns_mode: one_of(json, "default-cgroupns-mode", fallback.cgroupns_mode, &["private", "host"])?,
        ipc_mode: one_of(json, "default-ipc-mode", fallback.ipc_mode, &["private", "shareable"])?,
        init: json.get_or("init", false)?,
        seccomp: match seccomp_name.as_str() {
            "" | "builtin" => None,
            "unconfined" => Some(seccomp_name.clone()),
            path => Some(files.read("seccomp-profile", path)?),
        },
        seccomp_name: if seccomp_name.is_empty() { fallback.seccomp_name } else { seccomp_name },
        no_new_privileges: json.get_or("no-new-privileges", false)?,
        dns: dns.iter().map(IpAddr::to_string).collect(),
        dns_options: json.get_or("dns-opts", Vec::new())?,
        dns_search: search(json.get_or("dns-search", Vec::new())?)?,
        host_gateway: host_gateway(json)?,
    })
}

/// A text that must be one of a few.
fn one_of(json: &DaemonJson, key: &'static str, default: String, known: &[&str]) -> anyhow::Result<String> {
    let value: String = json.get_or(key, default.clone())?;
    match value.as_str() {
        "" => Ok(default),
        text if known.contains(&text) => Ok(value),
        text => bail!("{key}: \"{text}\" is not supported: use \"{}\"", known.join("\" or \"")),
    }
}

/// Limits by name, which each says once more.
fn ulimits(wanted: BTreeMap<String, Ulimit>) -> anyhow::Result<Vec<Ulimit>> {
    let named = |(name, ulimit): (String, Ulimit)| {
        if !ulimit.name.is_empty() && ulimit.name != name {
            bail!("default-ulimits: {name} is called {} inside", ulimit.name);
        }
        Ok(Ulimit { name, ..ulimit })
    };
    wanted.into_iter().map(named).collect()
}

fn search(domains: Vec<String>) -> anyhow::Result<Vec<String>> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    match domains
        .iter()
        .find(|domain| domain.is_empty() || domain.len() > 255 || !domain.chars().all(allowed))
    {
        Some(domain) => bail!("{domain} is not a valid domain"),
        None => Ok(domains),
    }
}

fn host_gateway(json: &DaemonJson) -> anyhow::Result<Vec<IpAddr>> {
    let one = json.get::<IpAddr>("host-gateway-ip")?;
    let several = json.get::<Vec<IpAddr>>("host-gateway-ips")?;
    if one.is_some() && several.is_some() {
        bail!("host-gateway-ip and host-gateway-ips must not both be specified in the config file");
    }
    let addresses = several.unwrap_or_else(|| one.into_iter().collect());
    for (ipv4, family) in [(true, "IPv4"), (false, "IPv6")] {
        if addresses.iter().filter(|address| address.is_ipv4() == ipv4).count() > 1 {
            bail!("only one {family} host gateway IP address can be specified");
        }
    }
    Ok(addresses)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Result<Settings, String> {
        let json = DaemonJson::parse(text, false).map_err(|error| format!("{error:#}"))?;
        settings(&json, &Files::Here).map_err(|error| format!("{error:#}"))
    }

    #[test]
    fn containers_get_what_the_file_says() {
        let text = r#"{"log-driver": "local", "log-opts": {"max-size": "5m"}, "default-shm-size": "32M",
                       "default-ulimits": {"nofile": {"Name": "nofile", "Soft": 10, "Hard": 20}},
                       "default-ipc-mode": "shareable", "dns": ["9.9.9.9"], "init": true}"#;
        let containers = of(text).unwrap().containers;
        assert_eq!((containers.log.driver.as_str(), containers.shm_size), ("local", 32 << 20));
        assert_eq!(containers.ulimits[0], Ulimit { name: "nofile".to_owned(), soft: 10, hard: 20 });
        assert_eq!((containers.ipc_mode.as_str(), containers.init), ("shareable", true));
        assert_eq!(containers.dns, ["9.9.9.9"]);
    }

    #[test]
    fn nonsense_is_refused_by_name() {
        assert_eq!(of(r#"{"labels": ["x"]}"#).unwrap_err(), "bad attribute format: x");
        assert_eq!(of(r#"{"labels": ["a=1", "a=2"]}"#).unwrap_err(), "conflict labels for a=2 and a=1");
        assert!(of(r#"{"dns": ["nine"]}"#).unwrap_err().contains("invalid value for dns"));
        assert!(of(r#"{"default-ipc-mode": "host"}"#).unwrap_err().contains("default-ipc-mode"));
        assert!(of(r#"{"host-gateway-ips": ["1.1.1.1", "2.2.2.2"]}"#).unwrap_err().contains("only one IPv4"));
        assert!(of(r#"{"seccomp-profile": "/no/profile"}"#).unwrap_err().contains("/no/profile"));
        assert_eq!(of(r#"{"dns-search": ["a b"]}"#).unwrap_err(), "a b is not a valid domain");
    }

    #[test]
    fn a_vm_gives_containers_seven_seconds() {
        let texts = BTreeMap::new();
        let files = Files::OfHost(&texts);
        let json = |text| DaemonJson::parse(text, true).unwrap();
        assert_eq!(settings(&json("{}"), &files).unwrap().shutdown_timeout, 7);
        assert!(settings(&json(r#"{"shutdown-timeout": 30}"#), &files).is_err());
    }

    #[test]
    fn what_a_reloaded_file_no_longer_says_stays() {
        let first = of(r#"{"labels": ["a=1"], "debug": true, "max-concurrent-uploads": 9}"#).unwrap();
        let text = r#"{"insecure-registries": ["r:1"], "init": true}"#;
        let json = DaemonJson::parse(text, false).unwrap();
        let second = reloaded(&first, settings(&json, &Files::Here).unwrap(), &json);
        assert_eq!(second.labels, ["a=1"]);
        assert!(second.debug && !second.containers.init);
        assert_eq!(second.registries.insecure, ["r:1"]);
        assert_eq!(second.registries.uploads, 5);
    }
}
