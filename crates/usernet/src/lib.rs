//! A user-mode network: the guest's way out, without any privilege on the host. What the guest sends as frames leaves as
//! the host's own connections, datagrams and pings, so that the host's routes, VPNs and firewalls apply to it.
//!
//! ```text
//! guest ──frames──► Link ─► Stack ─┬─ ARP, NDP, DHCP, router advertisements: answered here
//!                                  ├─ TCP: ended here, a socket of the host per connection (tcp)
//!                                  ├─ UDP, echo: a socket per pair of addresses (datagram)
//!                                  └─ port 53 of the gateway: the host's resolvers (dns), but for
//!                                     the host's own names (host_names)
//! guest ◄─frames── Link ◄─ Stack ◄─── Door ◄── connections that the host accepted for it
//! ```
//!
//! [`Policy`] says what a guest may reach; the host itself isn't among it, but for the ports that are named. The other way
//! round a connection comes through the [`Door`] alone, under the address of whoever made it. Who carries the frames
//! isn't known here: a [`Link`] is a queue of a device or a socket; nor who listens on the host.
//!
//! One thread does it all ([`Server`]); nothing in here blocks. Not here: routing between guests, datagrams that the guest
//! didn't ask for, IP options, multicast.

mod arp;
mod datagram;
mod dhcp;
mod dns;
mod door;
mod emit;
mod fragments;
mod host_names;
mod icmp;
mod link;
mod ndp;
mod packet;
mod policy;
mod resolvers;
mod serve;
mod settings;
mod stack;
mod sys;
mod tcp;
mod token;

pub use door::{Arrival, Door};
pub use link::Link;
pub use policy::Policy;
pub use serve::Server;
pub use settings::{Settings, V4, V6};
pub use stack::Stack;
