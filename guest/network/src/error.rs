//! What can go wrong, in Docker's words where Docker has some.

mod parent;

use std::io;
use std::path::PathBuf;

pub use parent::ParentError;

use crate::subnet::Subnet;

/// The crate's result.
pub type Result<T> = std::result::Result<T, Error>;

/// What went wrong.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No network has this name or id.
    #[error("network {0} not found")]
    NoSuchNetwork(String),
    /// The id's beginning names several.
    #[error("network {name} is ambiguous ({matches} matches found based on ID prefix)")]
    Ambiguous {
        /// What was asked for.
        name: String,
        /// How many networks it names.
        matches: usize,
    },
    /// The name is taken.
    #[error("network with name {0} already exists")]
    NetworkExists(String),
    /// Containers are in it.
    #[error("error while removing network: network {0} has active endpoints")]
    InUse(String),
    /// Every engine has it.
    #[error("{0} is a pre-defined network and cannot be removed")]
    Predefined(String),
    /// The name belongs to a network that every engine has.
    #[error("operation is not permitted on predefined {0} network")]
    ReservedName(String),
    /// There is no name.
    #[error("invalid name: name is empty")]
    NoName,
    /// The name is longer than a file's may be.
    #[error("invalid name: {0:?} has more than {1} bytes")]
    LongName(String, usize),
    /// There is one of each already.
    #[error("only one instance of \"{0}\" network is allowed")]
    OnlyOne(&'static str),
    /// No driver has this name.
    #[error("plugin \"{0}\" not found")]
    NoSuchDriver(String),
    /// A driver that networks of a swarm have.
    #[error(
        "This node is not a swarm manager. Use \"docker swarm init\" or \"docker swarm join\" to connect this node \
         to swarm and try again."
    )]
    NoManager,
    /// Networks of a swarm need one.
    #[error("cannot create a swarm scoped network when swarm is not active")]
    NoSwarm,
    /// A swarm's published ports come in by networks of a swarm.
    #[error("Ingress network can only be global scope network")]
    LocalIngress,
    /// A subnet, or what is said of it, makes no sense.
    #[error("invalid network config:\n{0}")]
    InvalidConfig(String),
    /// A driver option has a value that it can't have.
    #[error("failed to parse {option} value: {value} ({reason})")]
    InvalidOption {
        /// The option.
        option: String,
        /// Its value.
        value: String,
        /// Why not.
        reason: String,
    },
    /// An option says neither yes nor no whether the network has addresses of a family.
    #[error("driver-opt {0:?} is not a valid bool")]
    InvalidSwitch(&'static str),
    /// No interface has this MTU.
    #[error("invalid MTU number: {0}")]
    InvalidMtu(i64),
    /// A bridge without an address has no way out.
    #[error("gateway mode 'isolated' can only be used for an internal network")]
    IsolatedWayOut,
    /// A network without addresses is of no use.
    #[error("IPv4 or IPv6 must be enabled")]
    NoFamily,
    /// Nobody gives out addresses.
    #[error("{0} pool is empty")]
    NoPool(&'static str),
    /// A bridge has one subnet of each family.
    #[error("bridge driver doesn't support multiple subnets")]
    SeveralSubnets,
    /// Of these addresses every interface has one of its own.
    #[error("'{0}' clashes with the Link-Local prefix 'fe80::/64'")]
    LinkLocal(Subnet),
    /// These addresses are groups'.
    #[error("multicast subnet '{0}' is not allowed")]
    Multicast(Subnet),
    /// Another network's bridge has the name.
    #[error(
        "cannot create network {id} ({bridge}): conflicts with network {other} ({bridge}): networks have same bridge name"
    )]
    BridgeTaken {
        /// The new network.
        id: String,
        /// The interface's name.
        bridge: String,
        /// The network that has it.
        other: String,
    },
    /// A configuration network says what a network is like, not what may be done with it.
    #[error(
        "configuration network can only contain network specific fields. Network operator fields like [ ingress | \
         internal | attachable | scope ] are not supported."
    )]
    OperatorFields,
    /// Configuration networks aren't made by others.
    #[error("a configuration network cannot depend on another configuration network")]
    ConfigurationOfConfiguration,
    /// There is no such configuration network.
    #[error("configuration network {0:?} does not exist")]
    NoConfiguration(String),
    /// What a configuration network says, nobody else may.
    #[error(
        "user specified configurations are not supported if the network depends on a configuration network"
    )]
    BesideConfiguration,
    /// The same of the driver's options.
    #[error("network driver options are not supported if the network depends on a configuration network")]
    OptionsBesideConfiguration,
    /// Networks were made by it.
    #[error("error while removing network: configuration network {0:?} is in use")]
    ConfigurationInUse(String),
    /// A configuration network is joined by nobody.
    #[error("cannot create endpoint on configuration-only network")]
    JoinsConfiguration,
    /// Another network has these addresses.
    #[error("invalid pool request: Pool overlaps with other one on this address space")]
    PoolOverlaps {
        /// What was asked for.
        asked: Subnet,
        /// What has it.
        taken: Subnet,
    },
    /// Every pool is in use.
    #[error("all predefined address pools have been fully subnetted")]
    PoolsExhausted,
    /// Every address of the network is in use.
    #[error("no available IPv4 addresses on this network's address pools: {name} ({id})")]
    AddressesExhausted {
        /// The network's name.
        name: String,
        /// Its id.
        id: String,
    },
    /// The name that was asked for an interface isn't one, or another interface of the container has it.
    #[error(
        "invalid interface name {0:?}: up to 15 letters and digits that no other interface of the container has"
    )]
    InvalidInterface(String),
    /// A setting that isn't one of an interface.
    #[error("invalid sysctl of an endpoint {0:?}: it must be like net.ipv4.conf.IFNAME.log_martians")]
    InvalidSysctl(String),
    /// The address that was asked for is in use.
    #[error("Address already in use")]
    AddressInUse,
    /// The address that was asked for is in none of the network's subnets.
    #[error("no configured subnet or ip-range contain the IP address {0}")]
    NotInSubnet(std::net::IpAddr),
    /// The default network gives addresses out itself.
    #[error("user specified IP address is supported on user defined networks only")]
    FixedAddressOnDefault,
    /// The network's subnet was chosen by the engine, and may change.
    #[error(
        "user specified IP address is supported only when connecting to networks with user configured subnets"
    )]
    FixedAddressOnChosen,
    /// The container is in the network already.
    #[error("endpoint with name {container} already exists in network {network}")]
    AlreadyJoined {
        /// The container.
        container: String,
        /// The network's name.
        network: String,
    },
    /// The container isn't in the network.
    #[error("container {container} is not connected to network {network}")]
    NotJoined {
        /// The container.
        container: String,
        /// The network's name.
        network: String,
    },
    /// Another container of this engine has the port.
    #[error("Bind for {host_ip}:{host_port} failed: port is already allocated")]
    PortAllocated {
        /// The address at which it has it.
        host_ip: String,
        /// The host's port.
        host_port: u16,
    },
    /// The same of each port that would do.
    #[error("all ports are allocated")]
    PortsAllocated,
    /// Something else on the host has the port, or the host refuses it.
    #[error("failed to bind host port for {binding}: {reason}")]
    PortRefused {
        /// Address and port of the host and of the container, and the transport.
        binding: String,
        /// Why.
        reason: &'static str,
    },
    /// The interface that a network's containers hang on can't be used as asked.
    #[error(transparent)]
    Parent(#[from] ParentError),
    /// Two engines on one machine are told apart by this.
    #[error("an interface prefix has one to six lower-case letters and digits: {0:?}")]
    InvalidPrefix(String),
    /// A container's id becomes a file's name.
    #[error("invalid container id: {0:?}")]
    InvalidContainer(String),
    /// A file couldn't be read or written.
    #[error("{operation} {}", path.display())]
    File {
        /// What was done.
        operation: &'static str,
        /// With which file.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// A record isn't one of ours.
    #[error("read the network record {}", path.display())]
    Record {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
    /// A record was written by a later version.
    #[error("the network record {} has version {version}, which this engine doesn't know", path.display())]
    RecordVersion {
        /// The file.
        path: PathBuf,
        /// Its version.
        version: u32,
    },
    /// The kernel refused a change to links, addresses, routes or rules.
    #[error("{operation} {subject}")]
    Kernel {
        /// What was done.
        operation: &'static str,
        /// To what.
        subject: String,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
}

/// What a client may make of an error; an API turns it into a status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The thing isn't there.
    NotFound,
    /// The request makes no sense.
    InvalidParameter,
    /// The thing is in the way, or in use.
    Conflict,
    /// It will never be allowed.
    Forbidden,
    /// The machine failed.
    System,
}

impl Error {
    /// What a client may make of it.
    pub fn kind(&self) -> Kind {
        match self {
            Self::NoSuchNetwork(_) | Self::NoSuchDriver(_) | Self::NoConfiguration(_) => Kind::NotFound,
            Self::Ambiguous { .. }
            | Self::NoName
            | Self::LongName(..)
            | Self::InvalidConfig(_)
            | Self::InvalidOption { .. }
            | Self::InvalidSwitch(_)
            | Self::InvalidMtu(_)
            | Self::IsolatedWayOut
            | Self::NoFamily
            | Self::NoPool(_)
            | Self::LinkLocal(_)
            | Self::Multicast(_)
            | Self::InvalidInterface(_)
            | Self::InvalidSysctl(_)
            | Self::NotInSubnet(_)
            | Self::FixedAddressOnDefault
            | Self::FixedAddressOnChosen
            | Self::InvalidPrefix(_)
            | Self::InvalidContainer(_) => Kind::InvalidParameter,
            Self::NetworkExists(_) => Kind::Conflict,
            Self::InUse(_)
            | Self::Predefined(_)
            | Self::ReservedName(_)
            | Self::OnlyOne(_)
            | Self::NoManager
            | Self::NoSwarm
            | Self::LocalIngress
            | Self::SeveralSubnets
            | Self::BridgeTaken { .. }
            | Self::OperatorFields
            | Self::ConfigurationOfConfiguration
            | Self::BesideConfiguration
            | Self::OptionsBesideConfiguration
            | Self::ConfigurationInUse(_)
            | Self::JoinsConfiguration
            | Self::AlreadyJoined { .. }
            | Self::PoolOverlaps { .. } => Kind::Forbidden,
            Self::PoolsExhausted
            | Self::NotJoined { .. }
            | Self::AddressesExhausted { .. }
            | Self::AddressInUse
            | Self::PortAllocated { .. }
            | Self::PortsAllocated
            | Self::PortRefused { .. }
            | Self::Parent(_)
            | Self::File { .. }
            | Self::Record { .. }
            | Self::RecordVersion { .. }
            | Self::Kernel { .. } => Kind::System,
        }
    }
}
