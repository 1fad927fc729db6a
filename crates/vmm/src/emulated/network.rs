//! The guest's card: our network device, carried by vhost-user, whose frames our user-mode network takes and gives. Both
//! live on one thread, so that a packet wakes one thread of the host on its way, not two.

mod introduction;

use std::collections::BTreeMap;
use std::io;
use std::net::{SocketAddr, SocketAddrV4};
use std::os::fd::{AsFd, AsRawFd};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use usernet::{Link, Policy, Server, Settings, V4, V6};
use vhost::vhost_user::message::{VhostUserProtocolFeatures, VhostUserVirtioFeatures};
use vhost_user_backend::{VhostUserBackend, VringRwLock, VringState, VringT};
use virtio::Memory;
use virtio::net::{Net, QUEUE_SIZE, QUEUES, Rings};
use virtio_queue::QueueT;
use vm_memory::{GuestAddressSpace, GuestMemoryMmap};
use vmm_sys_util::epoll::EventSet;
use vmm_sys_util::event::{EventConsumer, EventFlag, EventNotifier, new_event_consumer_and_notifier};

use self::introduction::Introduction;
use super::carrier::{Carried, FEATURES, GuestMemory};
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
    introduction: Option<Introduction>,
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
        let memory = GuestMemory::new(GuestMemoryMmap::new());
        let station = Station::new(handed, settings(config)).map_err(Error::os("start the network"))?;
        let beside = station.beside();
        let backend = Arc::new(Backend { station: Mutex::new(station), memory: memory.clone() });
        let device = config.network_socket().with_extension("device");
        let carried = Carried::start("network", device.clone(), backend, memory, beside)?;
        let introduction = Introduction::wait(config.network_socket(), device)?;
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

struct Backend {
    station: Mutex<Station>,
    memory: GuestMemory,
}

impl Backend {
    fn device<T>(&self, deed: impl FnOnce(&mut Net) -> T) -> T {
        deed(&mut self.station.lock().unwrap_or_else(PoisonError::into_inner).device)
    }
}

impl VhostUserBackend for Backend {
    type Bitmap = ();
    type Vring = VringRwLock;

    fn num_queues(&self) -> usize {
        QUEUES
    }

    fn max_queue_size(&self) -> usize {
        QUEUE_SIZE.into()
    }

    fn features(&self) -> u64 {
        FEATURES | virtio::net::FEATURES | VhostUserVirtioFeatures::PROTOCOL_FEATURES.bits()
    }

    fn acked_features(&self, features: u64) {
        self.device(|device| device.choose(features));
    }

    fn protocol_features(&self) -> VhostUserProtocolFeatures {
        VhostUserProtocolFeatures::MQ
    }

    fn reset_device(&self) {
        self.device(Net::reset);
    }

    fn set_event_idx(&self, _enabled: bool) {
        // The framework sets it on the queues themselves, which is where our device asks.
    }

    fn update_memory(&self, _memory: GuestMemory) -> io::Result<()> {
        // It is the atomic that we hold already.
        Ok(())
    }

    fn exit_event(&self, _thread: usize) -> Option<(EventConsumer, EventNotifier)> {
        new_event_consumer_and_notifier(EventFlag::NONBLOCK | EventFlag::CLOEXEC).ok()
    }

    fn handle_event(
        &self,
        event: u16,
        _set: EventSet,
        vrings: &[VringRwLock],
        _thread: usize,
    ) -> io::Result<()> {
        let mut station = self.station.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut receive, mut transmit) = (vrings[0].get_mut(), vrings[1].get_mut());
        let memory = self.memory.memory();
        let ran = station.run(event, rings(&mut receive, &mut transmit, &memory));
        match ran {
            Ok(owed) => {
                if owed.receive {
                    receive.signal_used_queue()?;
                }
                if owed.transmit {
                    transmit.signal_used_queue()?;
                }
            }
            Err(error) => {
                // The guest broke its own rings, or the host has no sockets for it: its card stands still.
                tracing::error!(%error, "the guest has no network any more");
                receive.get_queue_mut().set_ready(false);
                transmit.get_queue_mut().set_ready(false);
                station.device.reset();
            }
        }
        Ok(())
    }
}

/// The rings of a driver that is there.
fn rings<'a>(
    receive: &'a mut VringState,
    transmit: &'a mut VringState,
    memory: &'a Memory,
) -> Option<Rings<'a>> {
    let ready = |vring: &VringState| vring.is_enabled() && vring.get_queue().ready();
    (ready(receive) && ready(transmit)).then(|| Rings {
        receive: receive.get_queue_mut(),
        transmit: transmit.get_queue_mut(),
        memory,
    })
}
