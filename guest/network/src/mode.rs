//! How interfaces hang on a parent's, read from the options of the drivers macvlan and ipvlan.

use std::collections::BTreeMap;

use netlink_packet_route::link::{IpVlanFlags, IpVlanMode, MacVlanMode};

use crate::error::ParentError;
use crate::network::Driver;

/// How the interfaces of a network's containers hang on their parent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Macvlan(MacVlanMode),
    Ipvlan(IpVlanMode, IpVlanFlags),
}

impl Mode {
    /// What the driver's options say.
    pub(crate) fn of(driver: Driver, options: &BTreeMap<String, String>) -> Result<Self, ParentError> {
        let given = |option: &str| options.get(option).map(String::as_str).unwrap_or_default();
        let wrong = |what, value: &str, default| ParentError::InvalidMode {
            driver: driver.name(),
            what,
            value: value.to_owned(),
            default,
        };
        if driver == Driver::Macvlan {
            return Ok(Self::Macvlan(match given("macvlan_mode") {
                "" | "bridge" => MacVlanMode::Bridge,
                "private" => MacVlanMode::Private,
                "vepa" => MacVlanMode::Vepa,
                "passthru" => MacVlanMode::Passthrough,
                other => return Err(wrong("mode", other, "'bridge' mode")),
            }));
        }
        let mode = match given("ipvlan_mode") {
            "" | "l2" => IpVlanMode::L2,
            "l3" => IpVlanMode::L3,
            "l3s" => IpVlanMode::L3S,
            other => return Err(wrong("mode", other, "'l2' mode")),
        };
        let flags = match given("ipvlan_flag") {
            "" | "bridge" => IpVlanFlags::empty(),
            "private" => IpVlanFlags::Private,
            "vepa" => IpVlanFlags::Vepa,
            other => return Err(wrong("flag", other, "'bridge'")),
        };
        Ok(Self::Ipvlan(mode, flags))
    }

    /// Whether the machine routes what the interfaces send, so that no gateway is needed.
    pub(crate) fn routes(self) -> bool {
        matches!(self, Self::Ipvlan(IpVlanMode::L3 | IpVlanMode::L3S, _))
    }

    /// Whether one interface has the parent for itself.
    pub(crate) fn passes_through(self) -> bool {
        self == Self::Macvlan(MacVlanMode::Passthrough)
    }
}
