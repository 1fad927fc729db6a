//! What cgroups cost a start: in the VM, whose kernel has every controller, by what the engine says of its starts.

use std::collections::BTreeMap;

use anyhow::Context;
use serde_json::{Value, json};

use super::api::Api;
use super::median;

/// The limits of a container that has some.
const LIMITS: &str = r#"{"Memory": 67108864, "NanoCpus": 500000000, "PidsLimit": 100}"#;

/// The median parts of `runs` starts of `image`, without limits and with some, in seconds.
pub(super) fn measure(api: &mut Api, image: &str, runs: usize) -> anyhow::Result<BTreeMap<String, f64>> {
    let limits: Value = serde_json::from_str(LIMITS)?;
    let mut medians = BTreeMap::new();
    for (kind, host) in [("", json!({})), (", with limits", limits)] {
        let mut parts: BTreeMap<String, Vec<f64>> = BTreeMap::new();
        for _ in 0..runs {
            let spans = start(api, image, &host)?;
            parts.entry("whole start".to_owned()).or_default().push(spans.values().sum());
            for (name, seconds) in spans {
                parts.entry(name).or_default().push(seconds);
            }
        }
        medians.extend(parts.into_iter().map(|(name, all)| (format!("{name}{kind}"), median(all))));
    }
    Ok(medians)
}

/// The parts of one start, in seconds.
fn start(api: &mut Api, image: &str, host: &Value) -> anyhow::Result<BTreeMap<String, f64>> {
    let body = json!({ "Image": image, "HostConfig": host });
    api.call("POST", "/containers/create?name=spans", &body)?;
    api.call("POST", "/containers/spans/start", &Value::Null)?;
    let anatomy = api.call("GET", "/berth/containers/spans/anatomy", &Value::Null)?;
    api.call("DELETE", "/containers/spans?force=true", &Value::Null)?;
    let mut parts = BTreeMap::new();
    for span in anatomy["Start"].as_array().context("an anatomy has no Start")? {
        let name = span["Name"].as_str().context("a part has no name")?;
        let micros = span["Micros"].as_f64().context("a part has no length")?;
        *parts.entry(name.to_owned()).or_default() += micros / 1e6;
    }
    Ok(parts)
}
