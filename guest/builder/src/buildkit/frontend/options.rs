//! A client's options (`frontend_attrs`), as a build understands them. What isn't known is told in the log.

use std::collections::BTreeMap;

use berth_images::Platform;
use jiff::Timestamp;

use super::Given;
use crate::options::{Limits, Options};
use crate::{Error, Result};

/// Options that are read here or elsewhere in the frontend, or that are about the client's own side.
const KNOWN: &[&str] = &[
    "add-hosts",
    "cache-from",
    "cache-imports",
    "cgroup-parent",
    "cmdline",
    "context",
    "contextkey",
    "contextsubdir",
    "dockerfilekey",
    "filename",
    "force-network-mode",
    "frontend.caps",
    "hostname",
    "image-resolve-mode",
    "multi-platform",
    "no-cache",
    "platform",
    "requestid",
    "shm-size",
    "source",
    "target",
    "ulimit",
];
/// Beginnings of such options.
const FAMILIES: &[&str] =
    &["attest:", "build-arg:", "context:", "input-metadata:", "label:", "local-sessionid:", "vcs:"];

/// What the options say.
pub(super) fn read(given: &Given) -> Result<Options> {
    let is_known = |key: &str| KNOWN.contains(&key) || FAMILIES.iter().any(|start| key.starts_with(start));
    for key in given.keys().filter(|key| !is_known(key)) {
        tracing::warn!(key, "a build's unknown option is ignored");
    }
    attestations(given)?;
    let text = |key: &str| given.get(key).map(String::as_str).unwrap_or_default();
    let arguments = with_prefix(given, "build-arg:");
    let argument = |key: &str| arguments.get(key).map(String::as_str).unwrap_or_default();
    let hostname = match argument("BUILDKIT_SANDBOX_HOSTNAME") {
        "" => text("hostname"),
        name => name,
    };
    let no_cache = given.get("no-cache");
    let hosts = text("add-hosts").split(',').filter(|host| !host.is_empty()).map(str::to_owned).collect();
    Ok(Options {
        target: given.get("target").cloned().filter(|target| !target.is_empty()),
        labels: with_prefix(given, "label:"),
        no_cache: no_cache.is_some_and(String::is_empty),
        no_cache_stages: no_cache
            .map(|stages| stages.split(',').map(str::to_owned).collect())
            .unwrap_or_default(),
        pull: text("image-resolve-mode") == "pull",
        platform: platforms(given)?.into_iter().next(),
        network: text("force-network-mode").to_owned(),
        extra_hosts: hosts,
        shm_size: text("shm-size").parse().unwrap_or(0),
        limits: Limits { ulimits: ulimits(text("ulimit"))?, ..Limits::default() },
        cgroup_parent: text("cgroup-parent").to_owned(),
        hostname: hostname.to_owned(),
        epoch: epoch(argument("SOURCE_DATE_EPOCH"))?,
        cache_namespace: argument("BUILDKIT_CACHE_MOUNT_NS").to_owned(),
        arguments: arguments.into_iter().map(|(name, value)| (name, Some(value))).collect(),
        ..Options::default()
    })
}

fn with_prefix(given: &Given, prefix: &str) -> BTreeMap<String, String> {
    let found =
        given.iter().filter_map(|(key, value)| Some((key.strip_prefix(prefix)?.to_owned(), value.clone())));
    found.collect()
}

/// Attestations aren't made. What buildx asks for by itself, and only where an exporter can, isn't asked for here.
fn attestations(given: &Given) -> Result<()> {
    for (kind, value) in with_prefix(given, "attest:") {
        let is_off = value.split(',').any(|field| matches!(field, "disabled=true" | "inline-only=true"));
        if !is_off {
            return Err(Error::Unsupported(format!(
                "attestations aren't supported by this engine: build without --attest type={kind}, or with --{kind}=false"
            )));
        }
    }
    Ok(())
}

/// Seconds since 1970 (`SOURCE_DATE_EPOCH`, reproducible-builds.org); empty is none.
pub(in crate::buildkit) fn epoch(text: &str) -> Result<Option<Timestamp>> {
    if text.is_empty() {
        return Ok(None);
    }
    let moment = text.parse().ok().and_then(|seconds| Timestamp::from_second(seconds).ok());
    moment.map(Some).ok_or_else(|| {
        Error::Invalid(format!("invalid SOURCE_DATE_EPOCH: {text:?} isn't a number of seconds since 1970"))
    })
}

/// What the result is for, each once, in the order in which they were asked for; this machine when there is none.
pub(super) fn platforms(given: &Given) -> Result<Vec<Platform>> {
    let text = given.get("platform").map(String::as_str).unwrap_or_default();
    let mut platforms: Vec<Platform> = Vec::new();
    for platform in text.split(',').filter(|platform| !platform.is_empty()) {
        let platform = platform.parse()?;
        if !platforms.contains(&platform) {
            platforms.push(platform);
        }
    }
    Ok(platforms)
}

/// `nofile=1024:2048,nproc=…`
fn ulimits(text: &str) -> Result<Vec<(String, u64, u64)>> {
    let invalid = |limit: &str| Error::Invalid(format!("invalid ulimit: {limit}"));
    let parse = |limit: &str| {
        let (name, values) = limit.split_once('=').ok_or_else(|| invalid(limit))?;
        let (soft, hard) = values.split_once(':').unwrap_or((values, values));
        let number = |value: &str| value.parse::<i64>().map(|value| u64::try_from(value).unwrap_or(u64::MAX));
        let (soft, hard) =
            (number(soft).map_err(|_| invalid(limit))?, number(hard).map_err(|_| invalid(limit))?);
        Ok((name.to_owned(), soft, hard))
    };
    text.split(',').filter(|limit| !limit.is_empty()).map(parse).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(pairs: &[(&str, &str)]) -> Given {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn attestations_are_refused_unless_nobody_asked() {
        assert!(read(&given(&[("attest:provenance", "mode=min,inline-only=true")])).is_ok());
        assert!(read(&given(&[("attest:provenance", "disabled=true")])).is_ok());
        let error = read(&given(&[("attest:sbom", "generator=x")])).unwrap_err();
        assert!(error.to_string().contains("--sbom=false"), "{error}");
    }

    #[test]
    fn what_a_step_sees_of_its_machine_can_be_asked_for() {
        let options = read(&given(&[
            ("cgroup-parent", "/team"),
            ("hostname", "plain"),
            ("build-arg:BUILDKIT_SANDBOX_HOSTNAME", "argued"),
            ("build-arg:SOURCE_DATE_EPOCH", "1000000000"),
        ]))
        .unwrap();
        assert_eq!((options.cgroup_parent.as_str(), options.hostname.as_str()), ("/team", "argued"));
        assert_eq!(options.epoch.unwrap().to_string(), "2001-09-09T01:46:40Z");
        let error = read(&given(&[("build-arg:SOURCE_DATE_EPOCH", "soon")])).unwrap_err();
        assert!(error.to_string().contains("soon"), "{error}");
    }
}
