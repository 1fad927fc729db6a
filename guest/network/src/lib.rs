//! Container networks: bridges, veth pairs, macvlan and ipvlan, address pools, nftables rules, names and published ports.
//!
//! [`Networks`] is the whole of it: it keeps one record per network, builds bridges and rules, gives each container
//! a namespace (a *sandbox*), joins it to networks and states which ports should be open to a
//! [`publish::PortPublisher`]. Everything here is synchronous. A socket that must live in another network namespace
//! is opened by a short-lived thread that enters it and hands the descriptor back; no other thread ever changes
//! namespace.

mod assembly;
mod avoid;
mod defaults;
mod dns;
mod door;
mod endpoint;
mod error;
mod firewall;
mod inner;
mod ipam;
mod mode;
mod namespace;
pub mod native;
mod network;
mod networks;
mod nft;
mod options;
mod peers;
mod pool;
mod port;
pub mod publish;
mod record;
mod route;
mod shortcut;
mod subnet;
mod sys;
mod translations;

pub use avoid::Avoid;
pub use defaults::{Defaults, Pool};
pub use door::Door;
pub use endpoint::{Endpoint, EndpointWish, Mac};
pub use error::{Error, Kind, ParentError, Result};
pub use inner::InnerPublisher;
pub use network::{Driver, Ipam, IpamWish, Network, NetworkWish, Parent};
pub use networks::{Alive, Networks, Options};
pub use peers::Peers;
pub use port::{PortWish, PublishedPort};
pub use subnet::Subnet;
