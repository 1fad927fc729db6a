//! Who is called what, as each container sees it.

use std::collections::HashMap;
use std::net::IpAddr;

use crate::endpoint::Endpoint;

/// The names of all networks that resolve them.
#[derive(Default)]
pub(crate) struct Directory {
    views: HashMap<String, View>,
    networks: HashMap<String, Vec<Entry>>,
}

/// What one container may ask.
struct View {
    networks: Vec<Seen>,
    /// Whether its questions may leave this machine: an internal network has no way out for names either.
    forwards: bool,
}

/// A network as one container sees it.
struct Seen {
    id: String,
    /// What others are called here, by what the container calls them.
    links: HashMap<String, String>,
}

struct Entry {
    network: String,
    names: Vec<String>,
    addresses: Vec<IpAddr>,
}

impl Directory {
    /// Adds a container with its places; `resolves` says whether names are known in a network.
    pub(crate) fn add(&mut self, container: &str, places: &[Endpoint], resolves: impl Fn(&str) -> bool) {
        let known = places.iter().filter(|place| resolves(&place.network_id));
        for place in known.clone() {
            self.networks.entry(place.network_id.clone()).or_default().push(Entry {
                network: place.network_name.clone(),
                names: place.names.iter().map(|name| name.to_ascii_lowercase()).collect(),
                addresses: place.addresses().map(|(address, _)| address).collect(),
            });
        }
        let lower = |(name, own): &(String, String)| (own.to_ascii_lowercase(), name.to_ascii_lowercase());
        let seen = |place: &Endpoint| Seen {
            id: place.network_id.clone(),
            links: place.links.iter().map(lower).collect(),
        };
        let networks = known.map(seen).collect();
        let forwards = places.iter().flat_map(Endpoint::ways_out).any(|way| way.is_some());
        self.views.insert(container.to_owned(), View { networks, forwards });
    }

    /// The addresses behind a name, alone or with its network's name behind a dot: those of the first network that
    /// knows it. `None` when none does.
    pub(super) fn addresses(&self, container: &str, name: &str) -> Option<Vec<IpAddr>> {
        let name = name.to_ascii_lowercase();
        self.seen_by(container).find_map(|(seen, entries)| {
            let name = seen.links.get(&name).unwrap_or(&name);
            let mut matching = entries.iter().filter(|entry| entry.is_called(name)).peekable();
            matching.peek()?;
            Some(matching.flat_map(|entry| entry.addresses.iter().copied()).collect())
        })
    }

    /// The name behind an address, with its network's.
    pub(super) fn name(&self, container: &str, address: IpAddr) -> Option<String> {
        let entry = self
            .seen_by(container)
            .flat_map(|(_, entries)| entries)
            .find(|entry| entry.addresses.contains(&address))?;
        Some(format!("{}.{}", entry.names.first()?, entry.network))
    }

    /// Whether a container's questions may leave this machine.
    pub(super) fn forwards(&self, container: &str) -> bool {
        self.views.get(container).is_some_and(|view| view.forwards)
    }

    fn seen_by(&self, container: &str) -> impl Iterator<Item = (&Seen, &Vec<Entry>)> {
        let networks = self.views.get(container).map(|view| view.networks.as_slice()).unwrap_or_default();
        networks.iter().filter_map(|seen| Some((seen, self.networks.get(&seen.id)?)))
    }
}

impl Entry {
    /// Whether this is its name, alone or with its network's.
    fn is_called(&self, name: &str) -> bool {
        let unqualified = name.strip_suffix(&self.network.to_ascii_lowercase());
        let unqualified = unqualified.and_then(|name| name.strip_suffix('.'));
        self.names.iter().any(|known| known == name || Some(known.as_str()) == unqualified)
    }
}
