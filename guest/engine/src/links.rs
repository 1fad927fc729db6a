//! `--link`: another container under a name of one's own, in /etc/hosts and in the environment. Links within a network
//! of one's own are names that the network's resolver knows for one container ([`wish`](crate::sandbox::wish)).

use std::sync::Arc;

use crate::container::Container;
use crate::container::record::Record;
use crate::{Engine, Error};

/// Variables of the other container that say nothing to this one, as in Docker.
const OWN: &[&str] = &["HOME", "PATH"];

/// A container that another one is linked to.
pub(crate) struct Link {
    pub(crate) other: Arc<Container>,
    pub(crate) alias: String,
}

/// What linked containers bring.
#[derive(Default)]
pub(crate) struct Linked {
    /// Addresses and the names that stand beside them in `/etc/hosts`.
    pub(crate) hosts: Vec<(String, String)>,
    /// Variables.
    pub(crate) env: Vec<String>,
}

impl Engine {
    /// The containers that a container is linked to.
    pub(crate) fn links(&self, record: &Record) -> Result<Vec<Link>, Error> {
        let links = record.host_config.links.iter().flatten().map(|wish| {
            let (name, alias) = parse(wish)?;
            let other = self.containers.find(name).map_err(|error| {
                Error::InvalidRequest(format!("could not get container for {name}: {error}"))
            })?;
            Ok(Link { other, alias: alias.to_owned() })
        });
        links.collect()
    }

    /// What `/etc/hosts` says of linked containers, and the variables that tell of them. Both are as of now: the
    /// others must run.
    pub(crate) fn linked(&self, record: &Record) -> Result<Linked, Error> {
        let mut linked = Linked::default();
        for Link { other, alias } in self.links(record)? {
            let other = other.record();
            let shared = other
                .endpoints
                .iter()
                .find(|endpoint| record.endpoints.iter().any(|own| own.network_id == endpoint.network_id));
            if !other.state.status.has_process() {
                let (own, name) = (&record.name, &other.name);
                return Err(Error::CannotUpdate(format!(
                    "Cannot link to a non running container: /{name} AS /{own}/{alias}"
                )));
            }
            let address = shared.and_then(|endpoint| endpoint.addresses().next());
            let Some((address, _)) = address else {
                let text = format!("container {} not attached to default bridge network", other.id);
                return Err(Error::CannotUpdate(text));
            };
            let address = address.to_string();
            let names = if alias == other.name {
                format!("{alias} {}", other.short_id())
            } else {
                format!("{alias} {} {}", other.short_id(), other.name)
            };
            linked.env.extend(variables(record, &other, &alias, &address));
            linked.hosts.push((address, names));
        }
        Ok(linked)
    }
}

/// `name:alias`, `name`, or as inspect shows it, `/name:/own/alias`.
pub(crate) fn parse(wish: &str) -> Result<(&str, &str), Error> {
    let refuse = |text: String| Err(Error::InvalidRequest(text));
    let (name, alias) = wish.split_once(':').unwrap_or((wish, wish));
    let name = name.strip_prefix('/').unwrap_or(name);
    let alias = alias.rsplit('/').next().unwrap_or(alias);
    if wish.is_empty() {
        return refuse("empty string specified for links".to_owned());
    }
    if name.is_empty() {
        return refuse("could not get container for : invalid name or ID supplied: \"\"".to_owned());
    }
    if alias.contains(|letter: char| letter.is_whitespace() || letter == ':') {
        return refuse(format!("bad format for links: {wish}"));
    }
    Ok((name, alias))
}

/// `DB_PORT_80_TCP_ADDR=…` and its kin.
fn variables(record: &Record, other: &Record, alias: &str, address: &str) -> Vec<String> {
    let prefix = alias.to_ascii_uppercase().replace('-', "_");
    let mut env = vec![format!("{prefix}_NAME=/{}/{alias}", record.name)];
    let ports = other.config.exposed_ports.iter().flatten().filter_map(|(port, _)| {
        let (number, protocol) = port.split_once('/').unwrap_or((port, "tcp"));
        Some((number.parse::<u16>().ok()?, protocol))
    });
    let mut ports: Vec<_> = ports.collect();
    ports.sort_by_key(|(number, protocol)| (*number, *protocol != "tcp"));
    if let Some((number, protocol)) = ports.first() {
        env.push(format!("{prefix}_PORT={protocol}://{address}:{number}"));
    }
    for (number, protocol) in ports {
        let port = format!("{prefix}_PORT_{number}_{}", protocol.to_ascii_uppercase());
        env.push(format!("{port}={protocol}://{address}:{number}"));
        env.push(format!("{port}_ADDR={address}"));
        env.push(format!("{port}_PORT={number}"));
        env.push(format!("{port}_PROTO={protocol}"));
    }
    let theirs = other.config.env.iter().filter_map(|entry| entry.split_once('='));
    let theirs = theirs.filter(|(name, _)| !OWN.contains(name));
    env.extend(theirs.map(|(name, value)| format!("{prefix}_ENV_{name}={value}")));
    env
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_a_name_and_perhaps_an_alias() {
        assert_eq!(parse("db").unwrap(), ("db", "db"));
        assert_eq!(parse("db:store").unwrap(), ("db", "store"));
        assert_eq!(parse("/db:/web/store").unwrap(), ("db", "store"));
        assert!([":", ":x", "", "db:a:b"].into_iter().all(|wish| parse(wish).is_err()));
    }
}
