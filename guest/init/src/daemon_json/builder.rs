//! `builder`: what builds may be granted, and that their cache isn't collected by itself.

use anyhow::bail;
use berth_engine::BuildGrants;
use serde_json::{Map, Value};

use super::DaemonJson;

/// Refuses what can't be honoured: all but `entitlements`, and that `gc` is off.
pub(super) fn check(json: &DaemonJson) -> anyhow::Result<()> {
    let builder: Map<String, Value> = json.get_or("builder", Map::new())?;
    for (key, value) in &builder {
        match key.as_str() {
            "entitlements" => {}
            "gc" if value.as_object().is_some_and(|gc| gc.len() == 1 && gc.get("enabled") == Some(&OFF)) => {}
            "gc" => bail!(
                "builder: the cache isn't collected by itself: leave gc out or say gc.enabled false, and use `docker builder prune`"
            ),
            other => bail!("builder: {other} can't be honoured: leave it out"),
        }
    }
    grants(json).map(drop)
}

const OFF: Value = Value::Bool(false);

/// What builds may be granted, as `entitlements` says.
pub(super) fn grants(json: &DaemonJson) -> anyhow::Result<BuildGrants> {
    let builder: Map<String, Value> = json.get_or("builder", Map::new())?;
    let mut grants = BuildGrants::default();
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

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> anyhow::Result<BuildGrants> {
        grants(&DaemonJson::parse(text, true)?)
    }

    #[test]
    fn builds_are_granted_what_the_file_says() {
        let usual = BuildGrants { host_network: true, insecure: false };
        assert_eq!(parsed("{}").unwrap(), usual);
        assert_eq!(parsed(r#"{"builder": {"gc": {"enabled": false}}}"#).unwrap(), usual);
        let text = r#"{"builder": {"entitlements": {"network-host": false, "security-insecure": true}}}"#;
        assert_eq!(parsed(text).unwrap(), BuildGrants { host_network: false, insecure: true });
    }

    #[test]
    fn what_is_not_there_is_refused_by_name() {
        for (text, words) in [
            (r#"{"builder": {"history": {}}}"#, "history"),
            (r#"{"builder": {"entitlements": {"device": true}}}"#, "device"),
            (r#"{"builder": {"entitlements": {"network-host": "yes"}}}"#, "network-host"),
            (r#"{"builder": {"gc": {"enabled": true}}}"#, "docker builder prune"),
        ] {
            let refused = parsed(text).unwrap_err().to_string();
            assert!(refused.contains(words), "{text}: {refused}");
        }
    }
}
