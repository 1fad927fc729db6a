//! What networks must not meet beside this machine's routes.

use std::fmt;
use std::sync::Arc;

use crate::subnet::Subnet;

/// Subnets that are somebody else's, asked for whenever one is chosen: the host of a VM gets and loses some.
#[derive(Clone)]
pub struct Avoid(Arc<dyn Fn() -> Vec<Subnet> + Send + Sync>);

impl Avoid {
    /// Those that `subnets` gives then.
    pub fn new(subnets: impl Fn() -> Vec<Subnet> + Send + Sync + 'static) -> Self {
        Self(Arc::new(subnets))
    }

    pub(crate) fn subnets(&self) -> Vec<Subnet> {
        (self.0)()
    }
}

impl Default for Avoid {
    fn default() -> Self {
        Self::new(Vec::new)
    }
}

impl fmt::Debug for Avoid {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_list().entries(self.subnets().iter().map(ToString::to_string)).finish()
    }
}
