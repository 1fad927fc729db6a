//! `docker network`: create, list, inspect, remove, connect, disconnect, prune.

use std::collections::BTreeMap;
use std::sync::Arc;

use berth_network::Endpoint;
pub use berth_network::{Driver, IpamWish, Network, NetworkWish};

use crate::container::Container;
use crate::endpoint::EndpointSettings;
use crate::filters::Filters;
use crate::{Engine, Error, check, sandbox};

/// Filters that a list of networks knows.
const KNOWN: &[&str] = &["dangling", "driver", "id", "label", "name", "scope", "type"];

/// A container in a network: its id, its name, its place.
pub type Member = (String, String, Endpoint);

impl Engine {
    /// Makes a network. Blocks.
    ///
    /// # Errors
    /// When the name or the addresses are taken, or a wish makes no sense.
    pub fn network_create(&self, wish: NetworkWish) -> Result<Network, Error> {
        let network = self.networks.create(wish)?;
        self.tell_network("create", &network, BTreeMap::new());
        Ok(network)
    }

    /// The networks that pass the filters.
    ///
    /// # Errors
    /// When a filter isn't known or makes no sense.
    pub fn network_list(&self, filters: &Filters) -> Result<Vec<Network>, Error> {
        filters.check(KNOWN)?;
        let dangling = filters.flag("dangling").map_err(|_| {
            let text =
                "invalid value for filter 'dangling', must be \"true\" (or \"1\"), or \"false\" (or \"0\")";
            Error::InvalidRequest(text.to_owned())
        })?;
        let is_type = |kind: &str| matches!(kind, "builtin" | "custom");
        if let Some(kind) = filters.values("type").into_iter().flatten().find(|kind| !is_type(kind)) {
            return Err(Error::InvalidRequest(format!("invalid filter: 'type'='{kind}'")));
        }
        let wanted = |network: &Network| {
            let unused = || !network.is_predefined() && self.members(network).is_empty();
            filters.finds("name", &network.name)
                && filters.finds("id", &network.id)
                && filters.any("driver", |driver| network.driver.name() == driver)
                && filters.any("scope", |scope| scope == "local")
                && filters.any("type", |kind| (kind == "builtin") == network.is_predefined())
                && filters.labels_match(&network.labels)
                && dangling.is_none_or(|dangling| dangling == unused())
        };
        Ok(self.networks.list().into_iter().filter(wanted).collect())
    }

    /// One network by name, id or the beginning of its id.
    ///
    /// # Errors
    /// When there is none.
    pub fn network(&self, name: &str) -> Result<Network, Error> {
        Ok(self.networks.find(name)?)
    }

    /// The running containers in a network.
    pub fn members(&self, network: &Network) -> Vec<Member> {
        let members = self.networks.members(&network.id).unwrap_or_default();
        let named = |(id, endpoint): (String, Endpoint)| {
            let name = self.containers.find(&id).map(|container| container.name()).unwrap_or_default();
            (id, name, endpoint)
        };
        members.into_iter().map(named).collect()
    }

    /// Removes a network that no running container is in. Blocks.
    ///
    /// # Errors
    /// When it is used or predefined.
    pub fn network_remove(&self, name: &str) -> Result<(), Error> {
        let network = self.networks.find(name)?;
        self.networks.remove(&network.id).map_err(|error| match error {
            berth_network::Error::InUse(_) => self.in_use(&network),
            other => other.into(),
        })?;
        self.tell_network("destroy", &network, BTreeMap::new());
        Ok(())
    }

    /// Removes every unused network that passes the filters; returns their names. Blocks.
    ///
    /// # Errors
    /// When one can't be removed.
    pub fn network_prune(&self, filters: &Filters) -> Result<Vec<String>, Error> {
        filters.check(&["label", "label!", "until"])?;
        let until = filters.until()?;
        let mut removed = Vec::new();
        for network in self.networks.list() {
            let unused =
                !network.is_predefined() && !network.config_only && self.members(&network).is_empty();
            let old = until.is_none_or(|until| network.created <= until);
            if unused && old && filters.labels_match(&network.labels) {
                self.network_remove(&network.id)?;
                removed.push(network.name);
            }
        }
        self.tell_pruned("network", 0);
        Ok(removed)
    }

    /// Puts a container into a network, at once when it runs.
    ///
    /// # Errors
    /// When it is in it already, or shares another's network.
    pub async fn network_connect(
        self: &Arc<Self>,
        name: &str,
        container: &str,
        settings: EndpointSettings,
    ) -> Result<(), Error> {
        let container = self.containers.find(container)?;
        let network = self.networks.find(name)?;
        if network.config_only {
            return Err(berth_network::Error::JoinsConfiguration.into());
        }
        let _verb = container.verb.lock().await;
        let (mode, inside, alone) = container.with(|record| {
            let inside = record.networks.contains_key(&network.name);
            let asks_for_none = network.driver == Driver::Null && !record.networks.is_empty();
            let alone = record.networks.contains_key("none") || asks_for_none;
            (record.host_config.network_mode.clone(), inside, alone)
        });
        if mode == "host" || mode.starts_with("container:") {
            return Err(Error::SharedNetwork);
        }
        if network.driver == Driver::Host {
            return Err(Error::HostNetwork);
        }
        if alone && !inside {
            return Err(Error::PrivateNetwork);
        }
        check::endpoint(&network, &settings)?;
        let running = container.state().status.has_process();
        if inside && running {
            let (container, network) = (container.name(), network.name);
            return Err(Error::InNetwork { container, network });
        }
        let engine = self.clone();
        let member = container.clone();
        let joined = network.clone();
        tokio::task::spawn_blocking(move || {
            if !running {
                return member.change(|record| drop(record.networks.insert(joined.name, settings)));
            }
            let wish = member.with(|record| sandbox::wish(record, &settings))?;
            let endpoint = engine.networks.join(&member.id, &joined.id, &wish)?;
            let noted = member.change(|record| {
                record.networks.insert(joined.name.clone(), settings);
                sandbox::joined(record, &joined.name, endpoint.clone());
            });
            let noted = noted.and_then(|()| sandbox::add_hosts(&member, &endpoint));
            let noted = noted.and_then(|()| sandbox::ask_network(&member, &joined));
            if noted.is_err() {
                // As if it had never come; what is wrong is told already.
                drop(engine.networks.leave(&member.id, &joined.id));
                drop(member.change(|record| sandbox::left(record, &joined)));
            }
            noted
        })
        .await??;
        self.tell_network(
            "connect",
            &network,
            BTreeMap::from([("container".to_owned(), container.id.clone())]),
        );
        Ok(())
    }

    /// Takes a container out of a network. With `force`, one that isn't there is only missing in the network.
    ///
    /// # Errors
    /// When it isn't in it.
    pub async fn network_disconnect(
        self: &Arc<Self>,
        name: &str,
        container: &str,
        force: bool,
    ) -> Result<(), Error> {
        let container = match self.containers.find(container) {
            Err(Error::NoSuchContainer(container)) if force => {
                self.networks.find(name)?;
                return Err(Error::NoSuchEndpoint(container));
            }
            found => found?,
        };
        let network = self.networks.find(name)?;
        let _verb = container.verb.lock().await;
        if !container.with(|record| record.networks.contains_key(&network.name)) {
            // Docker says so of a container at rest.
            let article = if container.state().status.has_process() { "" } else { "the " };
            let (container, network) = (container.id.clone(), network.name);
            return Err(Error::NotInNetwork { container, article, network });
        }
        let engine = self.clone();
        let (member, left) = (container.clone(), network.clone());
        tokio::task::spawn_blocking(move || {
            let is_running = member.state().status.has_process();
            let lines = sandbox::hosts_in(&member, &left.id);
            if is_running {
                engine.networks.leave(&member.id, &left.id)?;
            }
            member.change(|record| sandbox::left(record, &left))?;
            if is_running && let Err(error) = sandbox::remove_hosts(&member, &lines) {
                // It has left all the same.
                tracing::warn!(error = &error as &dyn std::error::Error, "an address stays in /etc/hosts");
            }
            Ok::<_, Error>(())
        })
        .await??;
        self.tell_network(
            "disconnect",
            &network,
            BTreeMap::from([("container".to_owned(), container.id.clone())]),
        );
        Ok(())
    }

    /// Why a network stays: whoever is in it.
    fn in_use(&self, network: &Network) -> Error {
        let members = self.members(network).into_iter().map(|(_, name, endpoint)| {
            let id = endpoint.endpoint_id.get(..12).unwrap_or(&endpoint.endpoint_id).to_owned();
            format!("name:\"{name}\" id:\"{id}\"")
        });
        let members = members.collect::<Vec<_>>().join(", ");
        Error::NetworkInUse { network: network.name.clone(), members }
    }

    /// Tells that a container came into its networks (`connect`) or left them (`disconnect`).
    pub(crate) fn tell_networks_of(&self, container: &Container, action: &str) {
        let names: Vec<String> = container.with(|record| record.networks.keys().cloned().collect());
        for network in names.iter().filter_map(|name| self.networks.find(name).ok()) {
            let container = BTreeMap::from([("container".to_owned(), container.id.clone())]);
            self.tell_network(action, &network, container);
        }
    }

    fn tell_network(&self, action: &str, network: &Network, mut attributes: BTreeMap<String, String>) {
        attributes.insert("name".to_owned(), network.name.clone());
        attributes.insert("type".to_owned(), network.driver.name().to_owned());
        self.events.tell("network", action, &network.id, attributes);
    }
}
