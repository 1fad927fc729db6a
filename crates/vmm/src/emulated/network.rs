//! The guest's card: our network device, carried by vhost-user, whose frames our user-mode network takes and gives. Both
//! live on one thread, so that a packet wakes one thread of the host on its way, not two.

mod introduction;

use std::collections::BTreeMap;
use std::io;
use std::net::{SocketAddr, SocketAddrV4};
use std::os::fd::{AsFd, AsRawFd};
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use usernet::{Link, Policy, Server, Settings, V4, V6};
use vhost_user_backend::{VringRwLock, VringState, VringT};
use virtio::Memory;
use virtio::net::{Net, QUEUE_SIZE, QUEUES, Rings};
use vm_memory::GuestAddressSpace;

use super::carrier::Carried;
use super::device::{self, Device, GuestMemory};
use crate::Error;
use crate::config::{self, Config};
use crate::handover::Handed;
use crate::sys::{self, Alarm};

/// The largest packet that our network and the guest's card carry: the larger, the fewer. The networks of containers have a
/// smaller one, by which their connections go.
pub(super) const MTU: u16 = 65_520;
/// The gateway's card and the guest's: local, and none that QEMU gives.
const HARDWARE: [u8; 6] = [0x52, 0x55, 10, 0, 2, 2];
const CARD: [u8; 6] = [0x52, 0x55, 10, 0, 2, 15];
/// Of sixteen descriptors that this process may have, connections get so many, and pairs that exchange datagrams.
/// (Shared folders get eight; one is for everything else.)
const CONNECTIONS: usize = 5;
const EXCHANGES: usize = 2;
/// More of either aren't carried, however many descriptors there are.
const MOST_FLOWS: usize = 8192;

/// Mark the host's sockets and the network's deadlines among the events; queues and the exit come first.
const SOCKETS: u16 = QUEUES as u16 + 1;
const ALARM: u16 = SOCKETS + 1;

/// The device and the place of what comes in by it.
pub(super) struct Network {
    introduction: Option<Carried>,
    carried: Option<Carried>,
    door: PathBuf,
}

/// The guest's card, as QEMU reads it.
pub(super) fn card() -> String {
    CARD.map(|byte| format!("{byte:02x}")).join(":")
}

impl Network {
    /// Waits for the emulator and serves it, and who connects to the ports that lead into it.
    pub(super) fn start(config: &Config) -> Result<Self, Error> {
        let door = config.door_socket();
        let handed = Handed::bind(&door).map_err(Error::os(format!("bind {}", door.display())))?;
        let station = Station::new(handed, settings(config)).map_err(Error::os("start the network"))?;
        let beside = station.beside();
        let device = config.network_socket().with_extension("device");
        let carried = Carried::start("network", device.clone(), Shared(Mutex::new(station)), beside)?;
        let introduction = introduction::lead(config.network_socket(), device)?;
        Ok(Self { introduction: Some(introduction), carried: Some(carried), door })
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        drop(self.introduction.take());
        drop(self.carried.take());
        drop(std::fs::remove_file(&self.door));
    }
}

fn settings(config: &Config) -> Settings {
    let descriptors = sys::raise_descriptors();
    let [most_connections, most_exchanges] =
        [CONNECTIONS, EXCHANGES].map(|share| (descriptors / 16 * share).min(MOST_FLOWS));
    if most_connections < MOST_FLOWS {
        tracing::warn!(
            "this process may open {descriptors} files (`ulimit -Hn`), so containers have at most {most_connections} \
             connections at once instead of {MOST_FLOWS}"
        );
    }
    let forward = |forward: &config::HostForward| {
        let host = SocketAddrV4::new(std::net::Ipv4Addr::LOCALHOST, forward.host_port);
        (SocketAddr::V4(forward.guest), SocketAddr::V4(host))
    };
    let forwards: BTreeMap<_, _> = config.forwards.iter().map(forward).collect();
    Settings {
        hardware: HARDWARE,
        door: config::DOOR.hardware,
        card: CARD,
        mtu: MTU,
        v4: V4 {
            gateway: config::GUEST_GATEWAY,
            host: config::HOST_ALIAS,
            guest: config::GUEST_ADDRESS,
            prefix: config::GUEST_PREFIX,
        },
        v6: V6 { gateway: config::GUEST_GATEWAY_V6, router: config::GUEST_ROUTER_V6 },
        policy: Policy { outside: true, forwards },
        resolvers: config.resolvers.clone(),
        most_connections,
        most_exchanges,
    }
}

/// The device and the network behind it.
struct Station {
    device: Net,
    server: Server,
    door: Handed,
    alarm: Alarm,
}

impl Station {
    fn new(mut door: Handed, settings: Settings) -> io::Result<Self> {
        let server = Server::new(&mut door, settings)?;
        Ok(Self { device: Net::default(), server, door, alarm: Alarm::new()? })
    }

    /// What it waits for.
    fn beside(&self) -> Vec<(i32, u16)> {
        vec![(self.server.poll().as_raw_fd(), SOCKETS), (self.alarm.as_fd().as_raw_fd(), ALARM)]
    }

    /// Does what there is to do after an event; without rings what is meant for the guest waits.
    fn run(&mut self, event: u16, rings: Option<Rings<'_>>) -> io::Result<virtio::Owed> {
        let Self { device, server, door, alarm } = self;
        let mut card = Card { device, rings };
        if event == ALARM {
            alarm.rang()?;
        }
        // Sockets have an event of their own; where there is more to do than a turn's, they have theirs between.
        let mut hears = event == SOCKETS;
        loop {
            if hears {
                server.hear(&mut card, door, Some(Duration::ZERO))?;
            }
            hears = server.run(&mut card)?;
            if !hears {
                break;
            }
        }
        if let Some(idle) = server.idle() {
            alarm.ring_at(Instant::now() + idle)?;
        }
        card.owed()
    }
}

/// The device as the network's link.
struct Card<'a> {
    device: &'a mut Net,
    rings: Option<Rings<'a>>,
}

impl Card<'_> {
    fn owed(&mut self) -> io::Result<virtio::Owed> {
        let owed = self.rings.as_mut().map(|rings| self.device.owed(rings));
        owed.unwrap_or(Ok(virtio::Owed::default())).map_err(io::Error::other)
    }
}

impl Link for Card<'_> {
    fn receive(&mut self, frame: &mut Vec<u8>) -> io::Result<bool> {
        let taken = self.rings.as_mut().map(|rings| self.device.take(rings, frame));
        taken.unwrap_or(Ok(false)).map_err(io::Error::other)
    }

    fn room(&mut self, length: usize) -> Option<&mut [u8]> {
        self.device.room(length)
    }

    fn flush(&mut self) -> io::Result<bool> {
        let passed = self.rings.as_mut().map(|rings| self.device.pass_on(rings));
        passed.unwrap_or(Ok(false)).map_err(io::Error::other)
    }
}

/// The station, as the emulator asks it.
struct Shared(Mutex<Station>);

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Station> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Device for Shared {
    const QUEUE_SIZE: u16 = QUEUE_SIZE;

    fn queues(&self) -> usize {
        QUEUES
    }

    fn features(&self) -> u64 {
        virtio::net::FEATURES
    }

    fn choose(&self, features: u64) {
        self.lock().device.choose(features);
    }

    fn reset(&self) {
        self.lock().device.reset();
    }

    fn serve(
        &self,
        event: u16,
        vrings: &[VringRwLock],
        memory: &GuestMemory,
        _thread: usize,
    ) -> io::Result<()> {
        let [receive, transmit, ..] = vrings else { return Ok(()) };
        let mut station = self.lock();
        let (mut receive, mut transmit) = (receive.get_mut(), transmit.get_mut());
        let memory = memory.memory();
        match station.run(event, rings(&mut receive, &mut transmit, &memory)) {
            Ok(owed) => device::pay(owed, &receive, &transmit),
            Err(error) => {
                // The guest broke its own rings, or the host has no sockets for it: its card stands still.
                tracing::error!(%error, "the guest has no network any more");
                device::stand_still(&mut receive);
                device::stand_still(&mut transmit);
                station.device.reset();
                Ok(())
            }
        }
    }
}

/// The rings of a driver that is there.
fn rings<'a>(
    receive: &'a mut VringState,
    transmit: &'a mut VringState,
    memory: &'a Memory,
) -> Option<Rings<'a>> {
    (device::is_ready(receive) && device::is_ready(transmit)).then(|| Rings {
        receive: receive.get_queue_mut(),
        transmit: transmit.get_queue_mut(),
        memory,
    })
}
