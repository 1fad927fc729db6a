//! Interfaces of containers that left.
//!
//! The kernel deletes an interface within a grace period of 10 to 20 ms, and nobody who waits for a container's end
//! should wait for that: it happens in a thread of its own. Until then the interface keeps its addresses.

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::Builder;
use std::time::Duration;

use crate::endpoint::Endpoint;
use crate::route::Kernel;

/// What the kernel needs at most, however many leave at once.
const PATIENCE: Duration = Duration::from_secs(10);

/// The interfaces that are being deleted.
#[derive(Clone, Default)]
pub(super) struct Departed(Arc<Shared>);

#[derive(Default)]
struct Shared {
    /// By the outside name, with whose it was.
    links: Mutex<BTreeMap<String, Departure>>,
    gone: Condvar,
}

/// One interface that is being deleted.
pub(super) struct Departure {
    pub(super) container: String,
    pub(super) endpoint: Endpoint,
}

impl Departed {
    /// Has the pair of interfaces deleted whose outside end has the name `outside`.
    pub(super) fn delete(&self, outside: String, departure: Departure) -> io::Result<()> {
        self.links().insert(outside.clone(), departure);
        let departed = self.clone();
        let name = outside.clone();
        let started = Builder::new().name("departure".to_owned()).spawn(move || {
            if let Err(error) = Kernel::open().and_then(|mut kernel| kernel.remove_link(&name)) {
                tracing::warn!(interface = name, "the interface isn't removed: {error}");
            }
            departed.forget(&name);
        });
        if let Err(error) = started {
            self.forget(&outside);
            return Err(error);
        }
        Ok(())
    }

    /// The addresses in a network that are still on interfaces of containers other than `container`.
    pub(super) fn addresses(&self, network: &str, container: &str) -> Vec<IpAddr> {
        let links = self.links();
        let others = links
            .values()
            .filter(|left| left.endpoint.network_id == network && left.container != container)
            .flat_map(|left| left.endpoint.addresses());
        others.map(|(address, _)| address).collect()
    }

    /// Waits until no interface of these addresses in the network is left.
    pub(super) fn wait_for_addresses(&self, endpoint: &Endpoint) {
        self.wait_while(|left| {
            left.endpoint.network_id == endpoint.network_id
                && left.endpoint.addresses().any(|(left, _)| endpoint.addresses().any(|(own, _)| own == left))
        });
    }

    /// Waits until everything is deleted.
    pub(super) fn wait_for_all(&self) {
        self.wait_while(|_| true);
    }

    fn wait_while(&self, is_awaited: impl Fn(&Departure) -> bool) {
        let awaited = |links: &mut BTreeMap<String, Departure>| links.values().any(&is_awaited);
        // What takes longer was told of, or will be.
        drop(self.0.gone.wait_timeout_while(self.links(), PATIENCE, awaited));
    }

    fn forget(&self, outside: &str) {
        self.links().remove(outside);
        self.0.gone.notify_all();
    }

    fn links(&self) -> MutexGuard<'_, BTreeMap<String, Departure>> {
        self.0.links.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
