//! The ports of a container in one cell, neighbours joined to ranges.

use bollard::models::PortSummary;

/// A run of ports that are published alike.
struct Range {
    ip: String,
    kind: String,
    first: u16,
    last: u16,
}

/// `0.0.0.0:8080->80/tcp, 443/tcp`.
pub(super) fn shown(mut ports: Vec<PortSummary>) -> String {
    let kind = |port: &PortSummary| port.typ.map(|kind| kind.to_string()).unwrap_or_default();
    let key = |port: &PortSummary| {
        (
            port.private_port,
            port.ip.clone().unwrap_or_default(),
            port.public_port.unwrap_or_default(),
            kind(port),
        )
    };
    ports.sort_by_key(key);
    let mut ranges: Vec<Range> = Vec::new();
    let mut finished = Vec::new();
    let mut mapped = Vec::new();
    for port in &ports {
        let (private, public) = (port.private_port, port.public_port.unwrap_or_default());
        let ip = port.ip.clone().unwrap_or_default();
        let kind = kind(port);
        if public != 0 && public != private {
            mapped.push(format!("{}->{private}/{kind}", joined(&ip, &public.to_string())));
            continue;
        }
        let ip = if public == 0 { String::new() } else { ip };
        let Some(range) = ranges.iter_mut().find(|range| range.ip == ip && range.kind == kind) else {
            ranges.push(Range { ip, kind, first: private, last: private });
            continue;
        };
        if private == range.last || private == range.last.saturating_add(1) {
            range.last = private;
        } else {
            finished.push(range.shown());
            (range.first, range.last) = (private, private);
        }
    }
    finished.extend(ranges.iter().map(Range::shown));
    finished.extend(mapped);
    finished.join(", ")
}

impl Range {
    fn shown(&self) -> String {
        let ports = match (self.first, self.last) {
            (first, last) if first == last => first.to_string(),
            (first, last) => format!("{first}-{last}"),
        };
        if self.ip.is_empty() {
            return format!("{ports}/{}", self.kind);
        }
        format!("{}->{ports}/{}", joined(&self.ip, &ports), self.kind)
    }
}

/// An address with its port; IPv6 in brackets.
fn joined(ip: &str, port: &str) -> String {
    if ip.contains(':') { format!("[{ip}]:{port}") } else { format!("{ip}:{port}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bollard::models::PortSummaryTypeEnum;

    fn port(ip: Option<&str>, private: u16, public: Option<u16>) -> PortSummary {
        PortSummary {
            ip: ip.map(str::to_owned),
            private_port: private,
            public_port: public,
            typ: Some(PortSummaryTypeEnum::TCP),
        }
    }

    #[test]
    fn published_and_exposed_ports_are_shown_as_docker_shows_them() {
        let ports = vec![
            port(Some("0.0.0.0"), 80, Some(8080)),
            port(Some("::"), 80, Some(8080)),
            port(None, 443, None),
        ];
        assert_eq!(shown(ports), "443/tcp, 0.0.0.0:8080->80/tcp, [::]:8080->80/tcp");
    }

    #[test]
    fn neighbours_are_a_range() {
        let ports = (1..=3).map(|number| port(Some("0.0.0.0"), 80 + number, Some(80 + number))).collect();
        assert_eq!(shown(ports), "0.0.0.0:81-83->81-83/tcp");
    }
}
