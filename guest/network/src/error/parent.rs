//! What is wrong with the parent of a macvlan or ipvlan network, in Docker's words.

/// The interface that a network's containers hang on can't be used as asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ParentError {
    /// The driver has no such mode or flag.
    #[error("requested {driver} {what} '{value}' is not valid, {default} is the {driver} driver default")]
    InvalidMode {
        /// `macvlan` or `ipvlan`.
        driver: &'static str,
        /// `mode` or `flag`.
        what: &'static str,
        /// What was asked for.
        value: String,
        /// What there is when nothing is asked for, as Docker quotes it.
        default: &'static str,
    },
    /// Nothing can hang on loopback.
    #[error("loopback interface is not a valid {0} parent link")]
    Loopback(&'static str),
    /// There is no such interface, and its name isn't one of a VLAN.
    #[error("invalid subinterface vlan name {0}, example formatting is eth0.10")]
    NoVlan(String),
    /// The name has several dots.
    #[error("required interface name format is: name.vlan_id, ex. eth0.10 for vlan 10, instead received {0}")]
    SeveralDots(String),
    /// What is behind the dot is no number.
    #[error("unable to parse a valid vlan id from: {0} (ex. eth0.10 for vlan 10)")]
    InvalidVlanId(String),
    /// The number is none of a VLAN (IEEE 802.1Q).
    #[error("vlan id must be between 1-4094, received: {0}")]
    VlanIdRange(i64),
    /// The interface that a VLAN is wanted on isn't there.
    #[error("-o parent interface was not found on the host: {0}")]
    NoVlanParent(String),
    /// The interface has gone since the network was made.
    #[error("the requested parent interface {0} was not found on the Docker host")]
    Gone(String),
    /// Another ipvlan network has it.
    #[error("network {network} is already using parent interface {parent}")]
    Taken {
        /// The other network, as Docker abbreviates it.
        network: String,
        /// The interface.
        parent: String,
    },
    /// Another macvlan network has it, and this one wants it for itself.
    #[error("cannot use mode passthru, macvlan network {network} is already using parent interface {parent}")]
    NotAlone {
        /// The other network's id.
        network: String,
        /// The interface.
        parent: String,
    },
    /// Another macvlan network has it for itself.
    #[error("macvlan network {network} is already using parent interface {parent} in mode passthru")]
    PassedThrough {
        /// The other network's id.
        network: String,
        /// The interface.
        parent: String,
    },
    /// The hardware address is the parent's.
    #[error("ipvlan interfaces do not support custom mac address assignment")]
    OwnMac,
    /// The kernel was built without it.
    #[error("this machine's kernel has no {0} interfaces, which the network needs")]
    Unsupported(&'static str),
}
