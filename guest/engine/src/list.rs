//! `docker ps`.

use std::ops::RangeInclusive;
use std::sync::Arc;

use jiff::Timestamp;

use crate::container::Container;
use crate::container::mounts::MountKind;
use crate::container::record::Record;
use crate::container::state::Status;
use crate::filters::{Filters, found_in};
use crate::{Engine, Error};

/// Filters that a list of containers knows.
const KNOWN: &[&str] = &[
    "ancestor",
    "before",
    "exited",
    "expose",
    "health",
    "id",
    "is-task",
    "isolation",
    "label",
    "name",
    "network",
    "publish",
    "since",
    "status",
    "volume",
];

/// Which containers.
#[derive(Debug, Default)]
pub struct List {
    /// Those that don't run too.
    pub all: bool,
    /// The newest so many, running or not; 0 is without limit.
    pub limit: usize,
    /// Only these.
    pub filters: Filters,
}

impl Engine {
    /// The records of the wanted containers, newest first.
    ///
    /// # Errors
    /// When a filter isn't known or makes no sense.
    pub fn list(&self, list: &List) -> Result<Vec<Record>, Error> {
        let List { all, limit, filters } = list;
        filters.check(KNOWN)?;
        for health in filters.values("health").unwrap_or_default() {
            if !matches!(health.as_str(), "none" | "starting" | "healthy" | "unhealthy") {
                return Err(Error::InvalidRequest(format!(
                    "invalid filter 'health={health}': invalid value for health ({health}): must be one of none, \
                     starting, healthy, unhealthy"
                )));
            }
        }
        for status in filters.values("status").unwrap_or_default() {
            status_named(status)?;
        }
        for code in filters.values("exited").unwrap_or_default() {
            if code.parse::<i64>().is_err() {
                return Err(Error::InvalidRequest(format!(
                    "invalid filter 'exited={code}': strconv.Atoi: parsing \"{code}\": invalid syntax"
                )));
            }
        }
        filters
            .flag("is-task")
            .map_err(|value| Error::InvalidRequest(format!("invalid filter 'is-task=[{value}]'")))?;
        for key in ["expose", "publish"] {
            for wanted in filters.values(key).unwrap_or_default() {
                if ports_of(wanted).is_none() {
                    return Err(Error::InvalidRequest(format!(
                        "error while looking up for {key} {wanted}: strconv.ParseUint: parsing \"{wanted}\": \
                         invalid syntax"
                    )));
                }
            }
        }
        let moment = |key: &str| -> Result<Option<Timestamp>, Error> {
            let name = filters.values(key).and_then(|names| names.first());
            name.map(|name| self.containers.find(name).map(|container| container.created)).transpose()
        };
        let (before, since) = (moment("before")?, moment("since")?);
        let everything = *all
            || *limit > 0
            || ["status", "exited"].iter().any(|key| filters.values(key).is_some())
            || before.is_some()
            || since.is_some();
        let wanted = |container: &Arc<Container>| {
            before.is_none_or(|moment| container.created < moment)
                && since.is_none_or(|moment| container.created > moment)
        };
        let records = self.containers.all().into_iter().filter(wanted).map(|container| container.record());
        let records = records.filter(|record| {
            (everything || record.state.status.has_process() || record.state.status == Status::Restarting)
                && self.matches(record, filters)
        });
        Ok(records.take(if *limit > 0 { *limit } else { usize::MAX }).collect())
    }

    /// Whether a container passes every filter.
    pub(crate) fn matches(&self, record: &Record, filters: &Filters) -> bool {
        let networks = |wanted: &str| {
            let found = record.networks.iter();
            found
                .into_iter()
                .any(|(name, endpoint)| name == wanted || endpoint.network_id.starts_with(wanted))
        };
        filters.any("id", |wanted| record.id.starts_with(wanted))
            && filters.any("name", |wanted| name_matches(&record.name, wanted))
            && filters.any("status", |wanted| record.state.status.name() == wanted)
            && filters.any("exited", |wanted| {
                record.state.status == Status::Exited && wanted.parse() == Ok(record.state.exit_code)
            })
            && filters.any("volume", |wanted| {
                record.mounts.iter().any(|mount| {
                    let named = mount.kind == MountKind::Volume && mount.name == wanted;
                    named || mount.destination == wanted
                })
            })
            && filters.any("network", networks)
            && filters.any("expose", |wanted| exposes(record, wanted))
            && filters.any("publish", |wanted| publishes(record, wanted))
            && filters.any("ancestor", |wanted| self.descends(record, wanted))
            && filters.any("health", |wanted| {
                record.state.health.as_ref().map_or("none", |health| health.status.name()) == wanted
            })
            && filters.any("is-task", |wanted| matches!(wanted, "0" | "false"))
            && filters.labels_match(&record.config.labels)
    }

    /// Whether the container's image is `wanted` or was made from it.
    fn descends(&self, record: &Record, wanted: &str) -> bool {
        let Ok(wanted) = self.images.image(wanted) else { return false };
        let mut next = self.images.image(&record.image).ok();
        while let Some(image) = next {
            if image.id == wanted.id {
                return true;
            }
            next = image.parent.and_then(|parent| self.images.image(&parent.to_string()).ok());
        }
        false
    }
}

fn status_named(name: &str) -> Result<(), Error> {
    let all = [
        Status::Created,
        Status::Running,
        Status::Paused,
        Status::Restarting,
        Status::Removing,
        Status::Exited,
        Status::Dead,
    ];
    if all.iter().any(|status| status.name() == name) {
        return Ok(());
    }
    let all = all.map(Status::name).join(", ");
    Err(Error::InvalidRequest(format!(
        "invalid filter 'status={name}': invalid value for state ({name}): must be one of {all}"
    )))
}

/// Docker's name filter is a regular expression, on the name with or without its slash. What isn't one is compared.
fn name_matches(name: &str, wanted: &str) -> bool {
    found_in(name, wanted) || found_in(&format!("/{name}"), wanted)
}

/// The ports and the protocol of `80`, `80/tcp` or `80-90/udp`.
fn ports_of(text: &str) -> Option<(RangeInclusive<u16>, &str)> {
    let (numbers, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let (first, last) = numbers.split_once('-').unwrap_or((numbers, numbers));
    Some((first.parse().ok()?..=last.parse().ok()?, protocol))
}

fn port_matches(port: u16, protocol: &str, wanted: &str) -> bool {
    ports_of(wanted).is_some_and(|(wanted, of)| wanted.contains(&port) && of == protocol)
}

/// Whether it listens at such a port of its own, or says so.
fn exposes(record: &Record, wanted: &str) -> bool {
    let mut exposed = record.config.exposed_ports.iter().flatten().filter_map(|(port, _)| ports_of(port));
    let open = &record.ports;
    exposed.any(|(ports, protocol)| port_matches(*ports.start(), protocol, wanted))
        || open.iter().any(|port| port_matches(port.container_port, &port.transport.to_string(), wanted))
}

/// Whether such a port of the host leads to it, or will.
fn publishes(record: &Record, wanted: &str) -> bool {
    let bindings = record.host_config.port_bindings.iter();
    let asked = bindings.flat_map(|(port, bindings)| bindings.iter().flatten().map(move |at| (port, at)));
    let mut asked = asked.filter_map(|(port, at)| Some((at.host_port.parse().ok()?, ports_of(port)?.1)));
    asked.any(|(port, protocol)| port_matches(port, protocol, wanted))
        || record.ports.iter().any(|port| port_matches(port.host_port, &port.transport.to_string(), wanted))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_filter_is_a_substring_unless_anchored() {
        assert!(name_matches("my_web_1", "web"));
        assert!(name_matches("web", "^/web$"));
        assert!(!name_matches("web2", "^web$"));
        assert!(name_matches("web-2", "w.b-[0-9]+") && !name_matches("web", "w.*b["));
    }

    #[test]
    fn a_port_filter_takes_ranges() {
        assert!(port_matches(80, "tcp", "80") && port_matches(85, "tcp", "80-90/tcp"));
        assert!(!port_matches(80, "udp", "80"));
    }
}
