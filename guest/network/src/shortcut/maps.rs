//! What the programs know. The engine writes who the containers are, the programs which connections there are.

use std::collections::HashSet;
use std::io;
use std::net::IpAddr;

use super::packet::octets;
use crate::endpoint::Mac;
use crate::sys::bpf::{Kind, Map, Program, Shape};

/// More addresses of containers than one machine has.
const MOST_CONTAINERS: u32 = 4096;
/// Twice what the host carries at once: others take the long way.
const MOST_CONNECTIONS: u32 = 16_384;
/// How many ended ones stay known.
const MOST_ENDED: u32 = 2048;

const CONTAINERS: Shape =
    Shape { name: "containers", kind: Kind::Hash, key: 16, value: 32, entries: MOST_CONTAINERS };
const CONNECTIONS: Shape =
    Shape { name: "connections", kind: Kind::Hash, key: 36, value: 8, entries: MOST_CONNECTIONS };
const ENDED: Shape = Shape { name: "ended", kind: Kind::LruHash, entries: MOST_ENDED, ..CONNECTIONS };

/// Places in what is known of a container: its network's gateway, the interface outside, hardware addresses as a frame has
/// them (its own, then the bridge's).
pub(super) const GATEWAY: i16 = 0;
pub(super) const INTERFACE: i16 = 16;
pub(super) const CARDS: i16 = 20;

/// An address of a container, and how it is reached.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    pub(crate) address: IpAddr,
    /// Of its network, in the same family: who hidden peers appear as.
    pub(crate) gateway: IpAddr,
    /// The index of the interface outside.
    pub(crate) interface: u32,
    /// The hardware addresses of the interface inside and of the bridge.
    pub(crate) inside: Mac,
    pub(crate) bridge: Mac,
}

/// The maps of both programs.
#[derive(Debug)]
pub(super) struct Maps {
    /// By address.
    pub(super) containers: Map,
    /// By container's address, peer's address, container's port, peer's port.
    pub(super) connections: Map,
    /// As above: those that both have ended.
    pub(super) ended: Map,
}

impl Maps {
    pub(super) fn create() -> io::Result<Self> {
        Ok(Self {
            containers: Map::create(&CONTAINERS)?,
            connections: Map::create(&CONNECTIONS)?,
            ended: Map::create(&ENDED)?,
        })
    }

    /// Those of a program that runs.
    pub(super) fn of(program: &Program) -> io::Result<Self> {
        Ok(Self {
            containers: program.map(&CONTAINERS)?,
            connections: program.map(&CONNECTIONS)?,
            ended: program.map(&ENDED)?,
        })
    }

    pub(super) fn add(&self, place: &Place) -> io::Result<()> {
        let Place { address, gateway, interface, inside, bridge } = *place;
        let value = [&octets(gateway)[..], &interface.to_ne_bytes(), &inside.0, &bridge.0].concat();
        self.containers.insert(&octets(address), &value)
    }

    /// Forgets a container's address, and its connections.
    pub(super) fn remove(&self, address: IpAddr) -> io::Result<()> {
        self.forget(|known| known == octets(address))
    }

    /// Forgets every address but these.
    pub(super) fn retain(&self, addresses: &HashSet<IpAddr>) -> io::Result<()> {
        let kept: HashSet<[u8; 16]> = addresses.iter().map(|address| octets(*address)).collect();
        self.forget(|known| !kept.contains(known))
    }

    /// Keys of all maps begin with a container's address.
    fn forget(&self, is_gone: impl Fn(&[u8]) -> bool) -> io::Result<()> {
        for map in [&self.containers, &self.connections, &self.ended] {
            for key in map.keys()?.iter().filter(|key| key.get(..16).is_some_and(&is_gone)) {
                map.remove(key)?;
            }
        }
        Ok(())
    }
}
