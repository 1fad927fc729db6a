//! `-p`: `[[ADDRESS:]HOST_PORT:]CONTAINER_PORT[/PROTOCOL]`, each port also a range.

use std::collections::HashMap;
use std::net::IpAddr;

use bollard::models::{PortBinding, PortMap};

use crate::failure::Failure;

/// What is published, and so exposed.
pub(super) fn publish(given: &[String]) -> Result<PortMap, Failure> {
    let mut map: PortMap = HashMap::new();
    for text in given {
        for (container, binding) in parse(text).map_err(Failure::new)? {
            map.entry(container).or_default().get_or_insert_with(Vec::new).push(binding);
        }
    }
    Ok(map)
}

/// `--expose`: ports without a host's.
pub(super) fn expose(given: &[String]) -> Result<Vec<String>, Failure> {
    let mut exposed = Vec::new();
    for text in given {
        let (ports, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
        let (first, last) = range(ports).map_err(|reason| {
            Failure::new(format!("invalid range format for --expose: {text}, error: {reason}"))
        })?;
        exposed.extend((first..=last).map(|port| format!("{port}/{protocol}")));
    }
    Ok(exposed)
}

fn parse(text: &str) -> Result<Vec<(String, PortBinding)>, String> {
    let (address, host, container) = split(text);
    let (container, protocol) = container.split_once('/').unwrap_or((container, "tcp"));
    let protocol = protocol.to_lowercase();
    let address = address.trim_start_matches('[').trim_end_matches(']');
    if !address.is_empty() && address.parse::<IpAddr>().is_err() {
        return Err(format!("invalid IP address: {address}"));
    }
    if container.is_empty() {
        return Err(format!("no port specified: {text}<empty>"));
    }
    let (first, last) = range(container).map_err(|_| format!("invalid containerPort: {container}"))?;
    let on_host = if host.is_empty() {
        None
    } else {
        Some(range(host).map_err(|_| format!("invalid hostPort: {host}"))?)
    };
    if let Some((from, to)) = on_host
        && to - from != last - first
        && last != first
    {
        return Err(format!("invalid ranges specified for container and host Ports: {container} and {host}"));
    }
    if !["tcp", "udp", "sctp"].contains(&protocol.as_str()) {
        return Err(format!("invalid proto: {protocol}"));
    }
    let binding = |port: u16| {
        let host_port = match on_host {
            None => String::new(),
            // One container port with a range of the host's: the first free one of it.
            Some((from, to)) if first == last && from != to => format!("{from}-{to}"),
            Some((from, _)) => (from + (port - first)).to_string(),
        };
        PortBinding { host_ip: Some(address.to_owned()), host_port: Some(host_port) }
    };
    Ok((first..=last).map(|port| (format!("{port}/{protocol}"), binding(port))).collect())
}

/// Address, host's and container's port; the address may hold colons.
fn split(text: &str) -> (&str, &str, &str) {
    match text.rsplit_once(':') {
        None => ("", "", text),
        Some((before, container)) => match before.rsplit_once(':') {
            None => ("", before, container),
            Some((address, host)) => (address, host, container),
        },
    }
}

fn range(text: &str) -> Result<(u16, u16), String> {
    let port = |text: &str| text.parse::<u16>().map_err(|_| format!("invalid port: {text}"));
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (port(first)?, port(last)?);
    if last < first {
        return Err(format!("invalid range specified for port: {text}"));
    }
    Ok((first, last))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(text: &str) -> (String, String, String) {
        let (container, binding) = parse(text).unwrap().remove(0);
        (binding.host_ip.unwrap(), binding.host_port.unwrap(), container)
    }

    #[test]
    fn addresses_ports_and_protocols_are_taken_apart() {
        assert_eq!(one("80"), (String::new(), String::new(), "80/tcp".to_owned()));
        assert_eq!(one("8080:80/udp"), (String::new(), "8080".to_owned(), "80/udp".to_owned()));
        assert_eq!(one("127.0.0.1::80"), ("127.0.0.1".to_owned(), String::new(), "80/tcp".to_owned()));
        assert_eq!(one("[::1]:8080:80"), ("::1".to_owned(), "8080".to_owned(), "80/tcp".to_owned()));
    }

    #[test]
    fn ranges_go_side_by_side() {
        let ports = parse("8000-8001:80-81").unwrap();
        assert_eq!(ports[1].0, "81/tcp");
        assert_eq!(ports[1].1.host_port.as_deref(), Some("8001"));
        assert!(parse("8000-8002:80-81").is_err());
    }

    #[test]
    fn nonsense_is_refused_in_dockers_words() {
        assert_eq!(parse("x:80").unwrap_err(), "invalid hostPort: x");
        assert_eq!(parse("a:1:80").unwrap_err(), "invalid IP address: a");
        assert_eq!(parse("80:x").unwrap_err(), "invalid containerPort: x");
    }
}
