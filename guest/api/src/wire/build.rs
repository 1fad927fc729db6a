//! Builds on the wire (API 1.51, `ImageBuild`, `BuildPrune`).

use std::collections::BTreeMap;

use berth_builder::Usage;
use berth_builder::options::{Limits, Options};
use berth_engine::images::{Credentials, Reference};
use serde::Deserialize;
use serde_json::{Value, json};

use super::query::{flag, number};
use crate::error::Failure;

/// `POST /build`'s query, whose names may repeat.
#[derive(Debug, Default)]
pub(crate) struct BuildQuery {
    pub(crate) remote: String,
    pub(crate) quiet: bool,
    names: Vec<String>,
    extra_hosts: Vec<String>,
    values: BTreeMap<String, String>,
}

/// Parameters that take effect or are about things that a build here has not.
const KNOWN: &[&str] = &[
    "buildargs",
    "buildid",
    "cachefrom",
    "cgroupparent",
    "cpuperiod",
    "cpuquota",
    "cpusetcpus",
    "cpusetmems",
    "cpushares",
    "dockerfile",
    "forcerm",
    "isolation",
    "labels",
    "memory",
    "memswap",
    "networkmode",
    "nocache",
    "outputs",
    "platform",
    "pull",
    "q",
    "remote",
    "rm",
    "securityopt",
    "session",
    "shmsize",
    "squash",
    "t",
    "target",
    "ulimits",
    "version",
    "session-id",
];

impl BuildQuery {
    /// Reads the query.
    pub(crate) fn parse(query: &str) -> Result<Self, Failure> {
        let mut parsed = Self::default();
        for (key, value) in form_urlencoded::parse(query.as_bytes()) {
            match key.as_ref() {
                "t" => parsed.names.push(value.into_owned()),
                "extrahosts" => parsed.extra_hosts.push(value.into_owned()),
                "remote" => parsed.remote = value.into_owned(),
                // Of several, the first one counts, as for dockerd.
                key if KNOWN.contains(&key) => {
                    parsed.values.entry(key.to_owned()).or_insert_with(|| value.into_owned());
                }
                key => tracing::warn!(key, "a build's unknown parameter is ignored"),
            }
        }
        parsed.quiet = parsed.flag("q");
        Ok(parsed)
    }

    fn text(&self, key: &str) -> &str {
        self.values.get(key).map_or("", String::as_str)
    }

    fn flag(&self, key: &str) -> bool {
        let text = self.text(key).trim().to_ascii_lowercase();
        !matches!(text.as_str(), "" | "0" | "no" | "false" | "none")
    }

    fn number<T: std::str::FromStr + PartialEq + Default>(&self, key: &str) -> Result<Option<T>, Failure> {
        let text = self.text(key);
        if text.is_empty() {
            return Ok(None);
        }
        let parsed = text.parse().map_err(|_| Failure::bad_request(format!("invalid {key}: {text:?}")))?;
        Ok(Some(parsed).filter(|number| *number != T::default()))
    }

    fn json<T: serde::de::DeserializeOwned + Default>(&self, key: &str) -> Result<T, Failure> {
        let text = self.text(key);
        if text.is_empty() {
            return Ok(T::default());
        }
        let parsed: Option<T> = serde_json::from_str(text)
            .map_err(|error| Failure::bad_request(format!("error reading {key}: {error}")))?;
        Ok(parsed.unwrap_or_default())
    }

    /// The build that is asked for.
    pub(crate) fn options(&self, credentials: BTreeMap<String, Credentials>) -> Result<Options, Failure> {
        self.refuse()?;
        let invalid = |error: berth_engine::Error| Failure::from(error);
        let mut tags = Vec::new();
        for name in self.names.iter().filter(|name| !name.is_empty()) {
            let reference: Reference =
                name.parse().map_err(|error| invalid(berth_engine::Error::from(error)))?;
            tags.push(reference.or_latest());
        }
        let platform = Some(self.text("platform")).filter(|text| !text.is_empty());
        let platform = platform.map(str::parse).transpose();
        Ok(Options {
            dockerfile: self.text("dockerfile").to_owned(),
            tags,
            target: Some(self.text("target").to_owned()).filter(|target| !target.is_empty()),
            arguments: self.json("buildargs")?,
            labels: self.json("labels")?,
            no_cache: self.flag("nocache"),
            pull: self.flag("pull"),
            platform: platform.map_err(|error| invalid(berth_engine::Error::from(error)))?,
            network: self.text("networkmode").to_owned(),
            extra_hosts: self.extra_hosts.iter().filter(|host| !host.is_empty()).cloned().collect(),
            shm_size: self.number("shmsize")?.unwrap_or(0),
            limits: self.limits()?,
            credentials,
            cache_from: self.json("cachefrom")?,
            cgroup_parent: self.text("cgroupparent").to_owned(),
            ..Options::default()
        })
    }

    fn limits(&self) -> Result<Limits, Failure> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Ulimit {
            name: String,
            soft: i64,
            hard: i64,
        }
        let ulimits: Vec<Ulimit> = self.json("ulimits")?;
        let plain = |value: i64| u64::try_from(value).unwrap_or(u64::MAX);
        let text = |key: &str| Some(self.text(key).to_owned()).filter(|text| !text.is_empty());
        Ok(Limits {
            memory: self.number("memory")?,
            memory_swap: self.number("memswap")?,
            cpu_shares: self.number("cpushares")?,
            cpu_quota: self.number("cpuquota")?,
            cpu_period: self.number("cpuperiod")?,
            cpuset_cpus: text("cpusetcpus"),
            cpuset_mems: text("cpusetmems"),
            ulimits: ulimits.into_iter().map(|u| (u.name, plain(u.soft), plain(u.hard))).collect(),
        })
    }

    /// What isn't done is refused, not ignored.
    fn refuse(&self) -> Result<(), Failure> {
        if self.flag("squash") {
            return Err(Failure::bad_request("squash is only supported with experimental mode"));
        }
        if !matches!(self.text("version"), "" | "1") {
            return Err(Failure::not_implemented(
                "POST /build with version=2 isn't supported: BuildKit is reached through /session and /grpc",
            ));
        }
        if !matches!(self.text("isolation"), "" | "default") {
            return Err(Failure::bad_request("isolation is only for Windows containers"));
        }
        if !matches!(self.text("securityopt"), "" | "null" | "[]") {
            return Err(Failure::bad_request(
                "the daemon on this platform does not support setting security options on build",
            ));
        }
        if !matches!(self.text("outputs"), "" | "null" | "[]") {
            return Err(Failure::not_implemented("outputs are for BuildKit alone"));
        }
        Ok(())
    }
}

/// A record of the cache, as `GET /system/df` lists it.
pub(crate) fn record(usage: &Usage) -> Value {
    let parents: Vec<&String> = usage.parent.iter().collect();
    json!({
        "ID": usage.id, "Parents": parents, "Type": usage.kind.as_str(), "Description": usage.description,
        "InUse": usage.in_use, "Shared": usage.shared, "Size": usage.size,
        "CreatedAt": usage.created.to_string(), "LastUsedAt": usage.last_used.to_string(),
        "UsageCount": usage.uses,
    })
}

/// `POST /build/prune`'s query.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct PruneQuery {
    #[serde(deserialize_with = "flag")]
    pub(crate) all: bool,
    pub(crate) filters: Option<String>,
    #[serde(rename = "keep-storage", deserialize_with = "number")]
    pub(crate) keep_storage: Option<i64>,
    #[serde(rename = "reserved-space", deserialize_with = "number")]
    pub(crate) reserved_space: Option<i64>,
    #[serde(rename = "max-used-space", deserialize_with = "number")]
    pub(crate) max_used_space: Option<i64>,
    #[serde(rename = "min-free-space", deserialize_with = "number")]
    pub(crate) min_free_space: Option<i64>,
}
