//! Published ports within a VM: its host opens them, and whoever is in the VM reaches them, too.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use crate::error::{Error, Result};
use crate::publish::{Outcome, PortPublisher, Wanted, open};
use crate::translations::Translations;

/// A publisher whose ports containers, and the engine itself, find at the VM's addresses and at the host's.
pub struct InnerPublisher {
    host: Arc<dyn PortPublisher>,
    translations: Mutex<Translations>,
}

impl InnerPublisher {
    /// Of a host that opens ports. Its loopback is `address` to containers, where they have a name for it; rules are in the
    /// table `name_prefix`.
    pub fn new(host: Arc<dyn PortPublisher>, name_prefix: &str, address: Option<IpAddr>) -> Result<Self> {
        let wrong =
            |source| Error::Kernel { operation: "open a socket for", subject: "rules".to_owned(), source };
        let translations = Translations::open(name_prefix, address).map_err(wrong)?;
        Ok(Self { host, translations: Mutex::new(translations) })
    }
}

impl PortPublisher for InnerPublisher {
    fn reconcile(&self, wanted: &[Wanted]) -> Vec<Outcome> {
        // Sets come one after the other: the rules are those of the last.
        let mut translations = self.translations.lock().unwrap_or_else(PoisonError::into_inner);
        let outcomes = self.host.reconcile(wanted);
        if let Err(error) = translations.set(&open(wanted, &outcomes)) {
            tracing::warn!(%error, "containers don't reach published ports");
        }
        outcomes
    }
}
