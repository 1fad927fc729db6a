//! `builder`: what builds may be granted, how long they are remembered, and that their cache isn't collected by itself.

use std::time::Duration;

use anyhow::bail;
use berth_api::builds::{Grants, Memory, Settings};
use berth_engine::go_duration;
use serde_json::{Map, Value};

use super::DaemonJson;

/// Refuses what can't be honoured: all but `entitlements` and `history`, and that `gc` is off.
pub(super) fn check(json: &DaemonJson) -> anyhow::Result<()> {
    let builder: Map<String, Value> = json.get_or("builder", Map::new())?;
    for (key, value) in &builder {
        match key.as_str() {
            "entitlements" | "history" => {}
            "gc" if value.as_object().is_some_and(|gc| gc.len() == 1 && gc.get("enabled") == Some(&OFF)) => {}
            "gc" => bail!(
                "builder: the cache isn't collected by itself: leave gc out or say gc.enabled false, and use `docker builder prune`"
            ),
            other => bail!("builder: {other} can't be honoured: leave it out"),
        }
    }
    builds(json).map(drop)
}

const OFF: Value = Value::Bool(false);

/// The builder's settings.
pub(crate) fn builds(json: &DaemonJson) -> anyhow::Result<Settings> {
    Ok(Settings { allowed: grants(json)?, history: history(json)? })
}

/// What builds may be granted, as `entitlements` says.
fn grants(json: &DaemonJson) -> anyhow::Result<Grants> {
    let builder: Map<String, Value> = json.get_or("builder", Map::new())?;
    let mut grants = Settings::default().allowed;
    let Some(entitlements) = builder.get("entitlements") else { return Ok(grants) };
    let Some(entitlements) = entitlements.as_object() else {
        bail!("invalid value for builder.entitlements")
    };
    for (name, value) in entitlements {
        let grant = match name.as_str() {
            "network-host" => &mut grants.host_network,
            "security-insecure" => &mut grants.insecure,
            other => bail!("builder.entitlements: there is no {other}"),
        };
        let Some(value) = value.as_bool() else {
            bail!("builder.entitlements: {name} is neither true nor false")
        };
        *grant = value;
    }
    Ok(grants)
}

/// How long builds are remembered, as `history` says: what it leaves out is nothing, as with dockerd.
fn history(json: &DaemonJson) -> anyhow::Result<Memory> {
    let builder: Map<String, Value> = json.get_or("builder", Map::new())?;
    let Some(history) = builder.get("history") else { return Ok(Memory::default()) };
    let Some(history) = history.as_object() else { bail!("invalid value for builder.history") };
    let mut memory = Memory { most: 0, oldest: Duration::ZERO };
    for (name, value) in history {
        let read = match name.as_str() {
            "maxAge" => value.as_str().and_then(age).map(|age| memory.oldest = age),
            "maxEntries" => {
                value.as_u64().and_then(|most| usize::try_from(most).ok()).map(|most| memory.most = most)
            }
            other => bail!("builder.history: there is no {other}"),
        };
        if read.is_none() {
            bail!("builder.history: invalid value for {name}: {value}")
        }
    }
    Ok(memory)
}

/// `48h`, or a number of seconds.
fn age(text: &str) -> Option<Duration> {
    let nanoseconds = go_duration::parse(text).and_then(|age| u64::try_from(age).ok());
    nanoseconds.map(Duration::from_nanos).or_else(|| text.parse().ok().map(Duration::from_secs))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> anyhow::Result<Grants> {
        grants(&DaemonJson::parse(text, true)?)
    }

    #[test]
    fn builds_are_granted_what_the_file_says() {
        let usual = Grants { host_network: true, insecure: false };
        assert_eq!(parsed("{}").unwrap(), usual);
        assert_eq!(parsed(r#"{"builder": {"gc": {"enabled": false}}}"#).unwrap(), usual);
        let text = r#"{"builder": {"entitlements": {"network-host": false, "security-insecure": true}}}"#;
        assert_eq!(parsed(text).unwrap(), Grants { host_network: false, insecure: true });
    }

    #[test]
    fn builds_are_remembered_as_long_as_the_file_says() {
        let of = |text: &str| history(&DaemonJson::parse(text, true)?);
        let hours = |hours: u64| Duration::from_secs(hours * 3600);
        let read = |text: &str| of(text).map(|memory| (memory.most, memory.oldest)).unwrap();
        assert_eq!(read("{}"), (50, hours(48)));
        assert_eq!(read(r#"{"builder": {"history": {"maxAge": "72h", "maxEntries": 10}}}"#), (10, hours(72)));
        assert_eq!(read(r#"{"builder": {"history": {"maxAge": "7200"}}}"#), (0, hours(2)));
        for (text, words) in [
            (r#"{"maxAge": "soon"}"#, r#"invalid value for maxAge: "soon""#),
            (r#"{"maxEntries": -1}"#, "invalid value for maxEntries: -1"),
            (r#"{"forever": true}"#, "there is no forever"),
        ] {
            let refused = of(&format!(r#"{{"builder": {{"history": {text}}}}}"#)).unwrap_err().to_string();
            assert!(refused.contains(words), "{text}: {refused}");
        }
    }

    #[test]
    fn what_is_not_there_is_refused_by_name() {
        for (text, words) in [
            (r#"{"builder": {"entitlements": {"device": true}}}"#, "device"),
            (r#"{"builder": {"entitlements": {"network-host": "yes"}}}"#, "network-host"),
            (r#"{"builder": {"gc": {"enabled": true}}}"#, "docker builder prune"),
        ] {
            let refused = parsed(text).unwrap_err().to_string();
            assert!(refused.contains(words), "{text}: {refused}");
        }
    }
}
