//! All networks of one engine.

mod announce;
mod bridge;
mod config_only;
mod create;
mod default_bridge;
mod departed;
mod hang;
mod join;
mod parent;
mod publish;
mod remove;
mod restore;
mod sandbox;
mod shorten;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::avoid::Avoid;
use crate::defaults::Defaults;
use crate::dns::{Directory, Resolver};
use crate::door::Door;
use crate::endpoint::Endpoint;
use crate::error::{Error, Result};
use crate::network::Network;
use crate::nft::Nftables;
use crate::port::PublishedPort;
use crate::publish::PortPublisher;
use crate::route::Kernel;
use crate::shortcut::Shortcut;
use crate::{firewall, record};
use departed::Departed;

pub use restore::Alive;

/// The default network's name; its bridge is named for the prefix.
const DEFAULT: &str = "bridge";

/// Where an engine's networks lie and what they are called.
#[derive(Debug, Clone)]
pub struct Options {
    /// The folder of the networks' records.
    pub records: PathBuf,
    /// The folder of the containers' namespaces: one mounted file each. It may vanish with the machine.
    pub namespaces: PathBuf,
    /// What names of interfaces and tables begin with; two engines on one machine have different ones.
    pub name_prefix: String,
    /// Subnets that networks must not meet, beside those that this machine routes to.
    pub avoid: Avoid,
    /// What the engine's configuration says.
    pub defaults: Defaults,
    /// By which published connections come, in a VM.
    pub door: Option<Door>,
}

/// All networks of one engine, in the network namespace of the thread that opened them. Methods block.
pub struct Networks {
    options: Options,
    publisher: Arc<dyn PortPublisher>,
    resolver: Resolver,
    /// Locked for whole operations: links and rules are changed by one at a time. Never locked while `ports` is
    /// being waited for.
    state: Mutex<State>,
    departed: Departed,
    /// The open ports by container. A publisher may take seconds; only other publishing waits for it.
    ports: Mutex<BTreeMap<String, Vec<PublishedPort>>>,
}

struct State {
    networks: Vec<Network>,
    /// The places of each container in networks, in the order of joining.
    endpoints: BTreeMap<String, Vec<Endpoint>>,
    kernel: Kernel,
    rules: Nftables,
    /// Past the rules, for what comes through the door; none where the kernel can't.
    shortcut: Option<Shortcut>,
}

impl Networks {
    /// Reads the records, makes the networks that every engine has, and builds bridges and rules anew where they are
    /// missing. Containers that live on are taken up by [`restore`](Self::restore), which must follow.
    pub fn open(options: Options, publisher: Arc<dyn PortPublisher>) -> Result<Self> {
        let valid = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        let prefix = &options.name_prefix;
        if !(1..=6).contains(&prefix.len()) || !prefix.chars().all(valid) {
            return Err(Error::InvalidPrefix(prefix.clone()));
        }
        let made = fs::create_dir_all(&options.namespaces);
        made.map_err(|source| file("create", &options.namespaces, source))?;
        let state = State {
            networks: record::read_all(&options.records)?,
            endpoints: BTreeMap::new(),
            kernel: Kernel::open().map_err(kernel("open a socket for", "routes"))?,
            rules: Nftables::open().map_err(kernel("open a socket for", "rules"))?,
            shortcut: None,
        };
        let resolver = Resolver::start().map_err(kernel("start", "the resolver"))?;
        let (state, ports) = (Mutex::new(state), Mutex::new(BTreeMap::new()));
        let departed = Departed::default();
        let networks = Self { options, publisher, resolver, state, departed, ports };
        networks.build()?;
        Ok(networks)
    }

    /// Every network, oldest first.
    pub fn list(&self) -> Vec<Network> {
        self.state().networks.clone()
    }

    /// The network of this name, id, or beginning of an id.
    pub fn find(&self, name: &str) -> Result<Network> {
        self.state().find(name).cloned()
    }

    /// The containers in a network and their places in it.
    pub fn members(&self, network: &str) -> Result<Vec<(String, Endpoint)>> {
        let state = self.state();
        let id = &state.find(network)?.id;
        let members = state.endpoints.iter().filter_map(|(container, endpoints)| {
            let endpoint = endpoints.iter().find(|endpoint| endpoint.network_id == *id)?;
            Some((container.clone(), endpoint.clone()))
        });
        Ok(members.collect())
    }

    /// A container's places in networks, in the order of joining.
    pub fn endpoints(&self, container: &str) -> Vec<Endpoint> {
        self.state().endpoints.get(container).cloned().unwrap_or_default()
    }

    fn build(&self) -> Result<()> {
        let mut state = self.state();
        self.add_predefined(&mut state)?;
        // Rules stand before the first bridge could carry a packet.
        self.apply_rules(&mut state)?;
        if let Some(door) = &self.options.door {
            door.open(&mut state.kernel).map_err(kernel("let connections in by", &door.card))?;
            state.open_shortcut(door, &self.options.name_prefix);
        }
        if self.options.defaults.forward {
            bridge::forward_packets()?;
        }
        let State { networks, kernel, .. } = &mut *state;
        for network in networks.iter() {
            match build_one(kernel, network) {
                // The machine's interfaces are its own: what is missing may come, and a start asks again.
                Err(error) if network.parent.is_some() => {
                    tracing::warn!(network = network.name, "a network has no parent: {error}");
                }
                built => built?,
            }
        }
        Ok(())
    }

    fn apply_rules(&self, state: &mut State) -> Result<()> {
        let table = firewall::table(&self.options.name_prefix, &state.networks, self.options.door.as_ref());
        state.rules.commit(&table.replace()).map_err(kernel("replace the rules of", &table.name))
    }

    /// Answers names in the container's namespace, if one of its networks has names.
    fn open_resolver(&self, state: &State, container: &str, sandbox: &Path) -> Result<()> {
        let places = state.endpoints.get(container).map(Vec::as_slice).unwrap_or_default();
        if places.iter().any(|place| state.resolves_names(&place.network_id)) {
            let servers = places.first().map(|place| place.name_servers.clone()).unwrap_or_default();
            let table = format!("{}-names", self.options.name_prefix);
            self.resolver.open(container, sandbox, &table, servers)?;
        }
        Ok(())
    }

    /// Tells the resolver who is where.
    fn tell_names(&self, state: &State) {
        let mut directory = Directory::default();
        for (container, places) in &state.endpoints {
            directory.add(container, places, |network| state.resolves_names(network));
        }
        self.resolver.learn(directory);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn resolves_names(&self, id: &str) -> bool {
        self.networks.iter().any(|network| network.id == id && network.resolves_names())
    }

    fn find(&self, name: &str) -> Result<&Network> {
        let exact = self.networks.iter().find(|network| network.name == name);
        if let Some(network) = exact.or_else(|| self.networks.iter().find(|network| network.id == name)) {
            return Ok(network);
        }
        let mut matches =
            self.networks.iter().filter(|network| !name.is_empty() && network.id.starts_with(name));
        match (matches.next(), matches.count()) {
            (Some(network), 0) => Ok(network),
            (None, _) => Err(Error::NoSuchNetwork(name.to_owned())),
            (Some(_), more) => Err(Error::Ambiguous { name: name.to_owned(), matches: more + 1 }),
        }
    }
}

/// Makes the interface behind a network where it is missing.
fn build_one(links: &mut Kernel, network: &Network) -> Result<()> {
    match &network.parent {
        Some(parent) => parent::build(links, network, parent).map(drop),
        None => bridge::build(links, network),
    }
}

/// Names the operation that the kernel refused.
fn kernel(operation: &'static str, subject: &str) -> impl FnOnce(std::io::Error) -> Error {
    let subject = subject.to_owned();
    move |source| Error::Kernel { operation, subject, source }
}

fn file(operation: &'static str, path: &Path, source: std::io::Error) -> Error {
    Error::File { operation, path: path.to_owned(), source }
}

/// Random hexadecimal digits.
fn random_id<const BYTES: usize>() -> Result<String> {
    let bytes = random::<BYTES>()?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn random<const BYTES: usize>() -> Result<[u8; BYTES]> {
    let mut bytes = [0; BYTES];
    getrandom::fill(&mut bytes)
        .map_err(|error| kernel("draw", "random bytes")(std::io::Error::other(error)))?;
    Ok(bytes)
}
