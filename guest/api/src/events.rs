//! `GET /events`.

use axum::body::Body;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use berth_engine::Filters;
use berth_engine::events::Event;
use futures_util::stream::{self, StreamExt};
use jiff::Timestamp;
use serde::Deserialize;
use tokio::sync::broadcast::error::RecvError;

use crate::error::Failure;
use crate::query::Query;
use crate::routes::Shared;
use crate::wire;
use crate::wire::query::{filters, moment};

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct EventsQuery {
    since: Option<String>,
    until: Option<String>,
    filters: Option<String>,
}

/// Tells what happens: from `since` on, if given, until `until`, if given; without either only what is to come.
pub(crate) async fn events(
    State(engine): State<Shared>,
    Query(query): Query<EventsQuery>,
) -> Result<Response, Failure> {
    let since = moment(query.since.as_deref())?;
    // As with Docker, an end at 0 is now.
    let until = if query.until.as_deref() == Some("0") {
        Some(Timestamp::now())
    } else {
        moment(query.until.as_deref())?
    };
    if since.zip(until).is_some_and(|(since, until)| since > until) {
        let [since, until] = [query.since, query.until].map(Option::unwrap_or_default);
        let text = format!("`since` time ({since}) cannot be after `until` time ({until})");
        return Err(Failure::bad_request(text));
    }
    let filters = filters(query.filters.as_deref())?;
    let (past, live) = engine.events().listen();
    // With only an end in the past, Docker tells what it remembers up to there.
    let wants_past = since.is_some() || until.is_some_and(|until| until <= Timestamp::now());
    let past: Vec<Event> = past
        .into_iter()
        .filter(|event| wants_past && since.is_none_or(|since| event.at >= since))
        .filter(|event| until.is_none_or(|until| event.at <= until))
        .collect();
    let live = stream::unfold(live, move |mut live| async move {
        loop {
            let next = match until {
                Some(until) => {
                    let left = std::time::Duration::try_from(Timestamp::now().duration_until(until))
                        .unwrap_or_default();
                    tokio::time::timeout(left, live.recv()).await.ok()?
                }
                None => live.recv().await,
            };
            match next {
                Ok(event) => return Some((event, live)),
                // A client that is too slow loses events rather than slowing everybody down.
                Err(RecvError::Lagged(lost)) => tracing::warn!(lost, "a client of the events is too slow"),
                Err(RecvError::Closed) => return None,
            }
        }
    });
    let lines = stream::iter(past).chain(live).filter_map(move |event| {
        let line = matches(&event, &filters).then(|| line(event));
        async move { line.map(Ok::<_, std::convert::Infallible>) }
    });
    Ok(([(CONTENT_TYPE, "application/json")], Body::from_stream(lines)).into_response())
}

fn line(event: Event) -> Vec<u8> {
    let mut text = serde_json::to_vec(&wire::event::Event::from(event)).unwrap_or_default();
    text.push(b'\n');
    text
}

fn matches(event: &Event, filters: &Filters) -> bool {
    let whose = |kind: &str, wanted: &str| {
        event.kind == kind
            && (event.id.starts_with(wanted)
                || event.attributes.get("name").is_some_and(|name| name == wanted))
    };
    let action = event.action.split(':').next().unwrap_or(&event.action);
    filters.any("type", |wanted| event.kind == wanted)
        && filters.any("event", |wanted| action == wanted || event.action == wanted)
        && filters.any("container", |wanted| whose("container", wanted))
        && filters.any("network", |wanted| whose("network", wanted))
        && filters.any("volume", |wanted| whose("volume", wanted))
        && filters.any("daemon", |wanted| whose("daemon", wanted))
        && filters.any("image", |wanted| {
            whose("image", wanted) || event.attributes.get("image").is_some_and(|image| image == wanted)
        })
        && filters.any("scope", |wanted| wanted == "local")
        && filters.labels_match(&event.attributes)
}
