//! The short way of published connections in a VM: from the machine's card straight into the container and back, past
//! bridge, routing, rules and the tracking of connections (docs/design/004).
//!
//! Two programs in the kernel do it: one sees what the card receives ([`inward`]), one what each container sends
//! ([`outward`]). They know connections that began with them; everything else goes its usual way, and so does everything
//! where the kernel can't have such programs. They stay when the engine ends: its successor finds them, and their maps,
//! at the card.

mod inward;
mod maps;
mod outward;
mod packet;

use std::collections::HashSet;
use std::io;
use std::net::IpAddr;

pub(crate) use maps::Place;

use crate::door::Door;
use crate::route::Kernel;
use crate::sys::bpf::Program;
use maps::Maps;
use outward::Card;

/// Both programs and what they know.
#[derive(Debug)]
pub(crate) struct Shortcut {
    maps: Maps,
    outward: Program,
    /// What programs at containers' interfaces are called.
    name: String,
}

impl Shortcut {
    /// Opens it at the door's card, or takes up the one that is there, for the engine of that prefix.
    ///
    /// # Errors
    /// When the kernel has no programs at interfaces (`CONFIG_NET_CLS_ACT`), or refuses these.
    pub(crate) fn open(kernel: &mut Kernel, door: &Door, prefix: &str) -> io::Result<Self> {
        let card = card(kernel, door)?;
        let (inside, outside) = (format!("{prefix}_in"), format!("{prefix}_out"));
        let found = Program::find(&inside, card.index)?;
        let maps = found.as_ref().map_or_else(Maps::create, Maps::of)?;
        let outward = outward::load(&outside, door, &card, &maps)?;
        if found.is_none() {
            inward::load(&inside, door, &maps)?.attach(card.index)?;
        }
        Ok(Self { maps, outward, name: outside })
    }

    /// From now on new connections to that address take it; twice is fine.
    pub(crate) fn add(&self, place: &Place) -> io::Result<()> {
        // One of an engine before this one has the same maps.
        if Program::find(&self.name, place.interface)?.is_none() {
            self.outward.attach(place.interface)?;
        }
        self.maps.add(place)
    }

    /// No connection to that address takes it any more.
    pub(crate) fn remove(&self, address: IpAddr) -> io::Result<()> {
        self.maps.remove(address)
    }

    /// Forgets every address but these: an engine that was killed may have left others.
    pub(crate) fn retain(&self, addresses: &HashSet<IpAddr>) -> io::Result<()> {
        self.maps.retain(addresses)
    }
}

fn card(kernel: &mut Kernel, door: &Door) -> io::Result<Card> {
    let index = kernel.index(&door.card)?.ok_or(io::ErrorKind::NotFound)?;
    let hardware = kernel.mac(index)?.ok_or(io::ErrorKind::NotFound)?;
    let mtu = door.mtu(kernel)?.ok_or(io::ErrorKind::NotFound)?;
    Ok(Card { index, hardware, mtu })
}
