//! After an engine's restart: what lives is taken up again, what belongs to nobody is removed.

use std::collections::HashSet;
use std::fs;

use super::{Networks, file, hang, kernel};
use crate::endpoint::Endpoint;
use crate::error::Result;
use crate::namespace;
use crate::port::PublishedPort;

/// A container that outlived its engine, as that engine recorded it.
#[derive(Debug, Clone, Default)]
pub struct Alive {
    /// Its id.
    pub container: String,
    /// Its places in networks, in the order of joining.
    pub endpoints: Vec<Endpoint>,
    /// Its open ports.
    pub ports: Vec<PublishedPort>,
}

impl Networks {
    /// Takes up the containers that live: their addresses and ports stay. Every namespace and interface of ours that
    /// belongs to none of them is removed. Called once, before anything joins.
    pub fn restore(&self, alive: Vec<Alive>) -> Result<()> {
        let mut held = self.ports.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        {
            let mut state = self.state();
            for Alive { container, mut endpoints, ports } in alive {
                Endpoint::sort(&mut endpoints);
                held.insert(container.clone(), ports);
                state.endpoints.insert(container, endpoints);
            }
            self.follow_configuration(&mut state)?;
            let places = state.endpoints.values().flatten();
            let interfaces: HashSet<String> = places.map(|endpoint| self.outside_name(endpoint)).collect();
            let bridges: HashSet<String> =
                state.networks.iter().filter_map(|network| network.bridge.clone()).collect();
            for (name, _) in state.kernel.links().map_err(kernel("list", "interfaces"))? {
                if self.is_ours(&name) && !interfaces.contains(&name) && !bridges.contains(&name) {
                    state.kernel.remove_link(&name).map_err(kernel("remove the interface", &name))?;
                }
            }
            let folder = &self.options.namespaces;
            for entry in fs::read_dir(folder).map_err(|source| file("list", folder, source))? {
                let entry = entry.map_err(|source| file("list", folder, source))?;
                let name = entry.file_name().to_string_lossy().into_owned();
                if !state.endpoints.contains_key(&name) {
                    hang::unhang_all(&entry.path());
                    namespace::remove(&entry.path())?;
                }
            }
            self.restore_shortcut(&mut state);
            self.tell_names(&state);
            for container in state.endpoints.keys() {
                // One container without names is no reason to keep the others waiting.
                if let Err(error) = self.open_resolver(&state, container, &folder.join(container)) {
                    tracing::warn!(
                        container,
                        error = &error as &dyn std::error::Error,
                        "no names in a container"
                    );
                }
            }
        }
        self.reconcile(&held);
        Ok(())
    }

    /// Whether an interface's name is one that this engine gives: a bridge's or a veth's outside end.
    fn is_ours(&self, name: &str) -> bool {
        let rest = name.strip_prefix(&self.options.name_prefix).unwrap_or_default();
        let digits = rest.strip_prefix('v').or_else(|| rest.strip_prefix('-')).unwrap_or_default();
        digits.len() >= 8 && digits.bytes().all(|digit| digit.is_ascii_hexdigit())
    }
}
