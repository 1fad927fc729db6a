//! Events on the wire (API 1.51, `EventMessage`, with the older fields that clients still read).

use std::collections::BTreeMap;

use serde::Serialize;

/// One line of `GET /events`.
#[derive(Debug, Serialize)]
pub(crate) struct Event {
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<String>,
    #[serde(rename = "Type")]
    kind: &'static str,
    #[serde(rename = "Action")]
    action: String,
    #[serde(rename = "Actor")]
    actor: Actor,
    scope: &'static str,
    time: i64,
    #[serde(rename = "timeNano")]
    time_nano: i64,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Actor {
    #[serde(rename = "ID")]
    id: String,
    attributes: BTreeMap<String, String>,
}

impl From<berth_engine::events::Event> for Event {
    fn from(event: berth_engine::events::Event) -> Self {
        let old = matches!(event.kind, "container" | "image");
        Self {
            status: old.then(|| event.action.clone()),
            id: old.then(|| event.id.clone()),
            from: (event.kind == "container").then(|| event.attributes.get("image").cloned()).flatten(),
            kind: event.kind,
            action: event.action,
            time: event.at.as_second(),
            time_nano: i64::try_from(event.at.as_nanosecond()).unwrap_or(i64::MAX),
            actor: Actor { id: event.id, attributes: event.attributes },
            scope: "local",
        }
    }
}
