//! Published ports: from Docker's bindings to wishes, and back to what is open.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use berth_network::PortWish;
use berth_network::publish::Transport;

use crate::container::host_config::PortBinding;
use crate::container::record::Record;
use crate::{Engine, Error};

/// Ports by `80/tcp`, with where they are open.
pub type OpenPorts = BTreeMap<String, Option<Vec<PortBinding>>>;

/// What `-p` and `-P` ask for.
pub(crate) fn wishes(record: &Record) -> Result<Vec<PortWish>, Error> {
    let host = &record.host_config;
    let mut wishes = Vec::new();
    for (port, bindings) in &host.port_bindings {
        let (container_port, transport) = parse(port)?;
        for binding in bindings.iter().flatten() {
            wishes.push(PortWish {
                transport,
                container_port,
                host_ip: address(&binding.host_ip)?,
                host_ports: range(&binding.host_port)?,
            });
        }
    }
    if host.publish_all_ports {
        for port in record.config.exposed_ports.iter().flatten().map(|(port, _)| port) {
            if !host.port_bindings.contains_key(port) {
                let (container_port, transport) = parse(port)?;
                wishes.push(PortWish { transport, container_port, host_ip: None, host_ports: 0..=0 });
            }
        }
    }
    Ok(wishes)
}

/// Checks bindings at creation, so that nonsense isn't found only at the start.
pub(crate) fn check(record: &Record) -> Result<(), Error> {
    for port in record.config.exposed_ports.iter().flatten().map(|(port, _)| port) {
        parse(port)?;
    }
    wishes(record).map(|_| ())
}

/// `80/tcp`, `53/udp`, or `80`.
fn parse(text: &str) -> Result<(u16, Transport), Error> {
    let invalid = || Error::InvalidRequest(format!("invalid port specification: \"{text}\""));
    let (number, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let transport = match protocol {
        "tcp" => Transport::Tcp,
        "udp" => Transport::Udp,
        "sctp" => Transport::Sctp,
        _ => return Err(invalid()),
    };
    let number = number.parse().ok().filter(|&number| number > 0).ok_or_else(invalid)?;
    Ok((number, transport))
}

fn address(text: &str) -> Result<Option<std::net::IpAddr>, Error> {
    if text.is_empty() {
        return Ok(None);
    }
    let plain = text.trim_start_matches('[').trim_end_matches(']');
    plain
        .parse()
        .map(Some)
        .map_err(|_| Error::InvalidRequest(format!("invalid IP address in port binding: {text}")))
}

/// `8080`, `8080-8090` or nothing.
fn range(text: &str) -> Result<RangeInclusive<u16>, Error> {
    let invalid = || Error::InvalidRequest(format!("invalid port specification: {text:?}"));
    if text.is_empty() {
        return Ok(0..=0);
    }
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (first.parse().map_err(|_| invalid())?, last.parse().map_err(|_| invalid())?);
    if first > last { Err(invalid()) } else { Ok(first..=last) }
}

impl Engine {
    /// A container's ports and where they are open; nothing while it doesn't run.
    pub fn open_ports(&self, record: &Record) -> OpenPorts {
        let mut open = OpenPorts::new();
        if !record.state.status.has_process() {
            return open;
        }
        for port in record.config.exposed_ports.iter().flatten().map(|(port, _)| port) {
            open.insert(port.clone(), None);
        }
        for port in &record.ports {
            let bindings = open.entry(format!("{}/{}", port.container_port, port.transport)).or_default();
            bindings.get_or_insert_default().push(PortBinding {
                host_ip: port.host_ip.to_string(),
                host_port: port.host_port.to_string(),
            });
        }
        open
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_have_a_transport_and_are_numbers() {
        assert_eq!(parse("80").unwrap(), (80, Transport::Tcp));
        assert_eq!(parse("53/udp").unwrap(), (53, Transport::Udp));
        for nonsense in ["", "0/tcp", "65536/tcp", "80/http", "-1/tcp"] {
            assert!(parse(nonsense).is_err(), "{nonsense}");
        }
    }

    #[test]
    fn a_range_may_be_one_port_or_none() {
        assert_eq!(range("").unwrap(), 0..=0);
        assert_eq!(range("8000-8002").unwrap(), 8000..=8002);
        assert!(range("9-8").is_err() && range("x").is_err());
    }
}
