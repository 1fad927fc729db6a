//! The options of a container's log: `HostConfig.LogConfig.Config`.

use e2e::engine::Engine;
use serde_json::{Value, json};

use crate::table::{Field, outside, refused};

/// Each with what `docker logs` has of the 300 lines, or of the one, that the container writes.
pub(crate) fn fields() -> Vec<Field> {
    const MANY: &str = "i=0; while [ $i -lt 300 ]; do echo line $i; i=$((i+1)); done";
    let option = |name: &'static str, config: &Value, script, look: fn(&Engine) -> String, expected| {
        let wish = json!({ "HostConfig": { "LogConfig": { "Type": "json-file", "Config": config } } });
        outside(
            name,
            merged(wish, &json!({ "Labels": { "team": "a" }, "Env": ["STAGE=b"] })),
            script,
            look,
            expected,
        )
    };
    let whole = "300 lines from line 0";
    let small = |more: Value| merged(json!({ "max-size": "4k" }), &more);
    vec![
        option("HostConfig.LogConfig.max-size", &small(json!({})), MANY, is_shortened, "the last lines"),
        option(
            "HostConfig.LogConfig.max-file",
            &small(json!({ "max-file": "50" })),
            MANY,
            from_the_first,
            whole,
        ),
        option(
            "HostConfig.LogConfig.compress",
            &small(json!({ "max-file": "50", "compress": "true" })),
            MANY,
            from_the_first,
            whole,
        ),
        option("HostConfig.LogConfig.mode", &json!({ "mode": "non-blocking" }), MANY, from_the_first, whole),
        option(
            "HostConfig.LogConfig.max-buffer-size",
            &json!({ "mode": "non-blocking", "max-buffer-size": "1m" }),
            MANY,
            from_the_first,
            whole,
        ),
        option(
            "HostConfig.LogConfig.labels",
            &json!({ "labels": "team" }),
            "echo line",
            details,
            "team=a line",
        ),
        option(
            "HostConfig.LogConfig.labels-regex",
            &json!({ "labels-regex": "^te" }),
            "echo line",
            details,
            "team=a line",
        ),
        option("HostConfig.LogConfig.env", &json!({ "env": "STAGE" }), "echo line", details, "STAGE=b line"),
        option(
            "HostConfig.LogConfig.env-regex",
            &json!({ "env-regex": "^ST" }),
            "echo line",
            details,
            "STAGE=b line",
        ),
        option(
            "HostConfig.LogConfig.tag",
            &json!({ "tag": "{{.Name}}" }),
            "echo line",
            details,
            "tag=field line",
        ),
        refused(
            "HostConfig.LogConfig.others",
            json!({ "HostConfig": { "LogConfig": { "Type": "json-file", "Config": { "colour": "red" } } } }),
            "unknown log opt 'colour' for json-file log driver",
        ),
    ]
}

/// `one` with what `other` has beside it.
fn merged(mut one: Value, other: &Value) -> Value {
    crate::merge(&mut one, other);
    one
}

/// The details and the line.
fn details(engine: &Engine) -> String {
    engine.ok(&["logs", "--details", "field"])
}

fn from_the_first(engine: &Engine) -> String {
    let lines = engine.ok(&["logs", "field"]);
    format!("{} lines from {}", lines.lines().count(), lines.lines().next().unwrap_or_default())
}

fn is_shortened(engine: &Engine) -> String {
    let lines = engine.ok(&["logs", "field"]);
    let is_short = lines.lines().count() < 300 && !lines.starts_with("line 0\n");
    if is_short && lines.ends_with("line 299") { "the last lines".to_owned() } else { lines }
}
