//! A guest: another TCP/IP stack, at the other end of the link.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use mio::{Interest, Token};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::net::RecvFlags;
use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::socket::tcp;
use smoltcp::wire::{EthernetAddress, HardwareAddress, IpAddress, IpCidr, IpEndpoint};
use usernet::{Policy, Server, Settings, V4, V6};

use crate::door::Listening;
use crate::link::{self, Frames};

/// What anything here may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
pub(crate) const MTU: u16 = 65_520;
pub(crate) const GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 2);
pub(crate) const HOST: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 100);
pub(crate) const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 15);
const CARD: EthernetAddress = EthernetAddress([0x52, 0x54, 0, 0x12, 0x34, 0x56]);
const ADDRESS_V6: &str = "fd62:6572:7468::15";
const ROUTER_V6: &str = "fe80::2";

/// The network of the tests.
pub(crate) fn settings() -> Settings {
    Settings {
        hardware: [0x52, 0x55, 10, 0, 2, 2],
        door: [0x52, 0x55, 10, 0, 2, 3],
        card: CARD.0,
        mtu: MTU,
        v4: V4 { gateway: GATEWAY, host: HOST, guest: ADDRESS, prefix: 24 },
        v6: V6 { gateway: "fd62:6572:7468::2".parse().unwrap(), router: ROUTER_V6.parse().unwrap() },
        policy: Policy { outside: true, forwards: BTreeMap::new() },
        resolvers: PathBuf::from("/nowhere"),
        most_connections: 4096,
        most_exchanges: 4096,
    }
}

/// A network where ports of the guest's name for the host lead to these places.
pub(crate) fn leading_to(ways: &[(u16, SocketAddr)]) -> Settings {
    let mut settings = settings();
    let name = |port| SocketAddr::from((HOST, port));
    settings.policy.forwards = ways.iter().map(|(port, to)| (name(*port), *to)).collect();
    settings
}

/// Serves a guest until its link or the door ends.
fn serve(link: &mut Frames, door: &mut Listening, settings: Settings) -> io::Result<()> {
    let mut server = Server::new(door, settings)?;
    server.poll().registry().register(link, Token(0), Interest::READABLE | Interest::WRITABLE)?;
    let mut busy = true;
    loop {
        let most = if busy { Some(Duration::ZERO) } else { server.idle() };
        server.hear(link, door, most)?;
        busy = server.run(link)?;
    }
}

/// A running guest. When dropped, the network's thread ends with its link.
pub(crate) struct Guest {
    frames: Wire,
    interface: Interface,
    pub(crate) sockets: SocketSet<'static>,
    began: Instant,
    network: Option<JoinHandle<()>>,
    next_port: u16,
}

impl Guest {
    pub(crate) fn new(settings: Settings) -> Self {
        Self::on(settings, 0, MTU)
    }

    /// On a link of that MTU, which does something to one of `faulty` frames.
    pub(crate) fn on(settings: Settings, faulty: usize, mtu: u16) -> Self {
        Self::behind(Listening::to_nobody(), settings, faulty, mtu)
    }

    /// As [`Guest::on`], and where on this host is what leads to `target` in it.
    pub(crate) fn reached(
        settings: Settings,
        faulty: usize,
        mtu: u16,
        target: SocketAddr,
    ) -> (Self, SocketAddr) {
        let (door, address) = Listening::leading_to(target);
        (Self::behind(door, settings, faulty, mtu), address)
    }

    pub(crate) fn behind(mut door: Listening, settings: Settings, faulty: usize, mtu: u16) -> Self {
        let (mut ours, theirs) = link::pair(faulty);
        let network = std::thread::spawn(move || {
            let ended = serve(&mut ours, &mut door, settings).unwrap_err();
            assert_eq!(ended.kind(), io::ErrorKind::UnexpectedEof, "{ended}");
        });
        let mut frames = Wire { socket: theirs, mtu: mtu.into(), to: None };
        let mut config = Config::new(HardwareAddress::Ethernet(CARD));
        config.random_seed = 7;
        let mut interface = Interface::new(config, &mut frames, smoltcp::time::Instant::ZERO);
        interface.update_ip_addrs(|addresses| {
            addresses.push(IpCidr::new(ADDRESS.into(), 24)).unwrap();
            addresses.push(IpCidr::new(ADDRESS_V6.parse().unwrap(), 64)).unwrap();
        });
        interface.routes_mut().add_default_ipv4_route(GATEWAY).unwrap();
        let began = Instant::now();
        let sockets = SocketSet::new(Vec::new());
        Self { frames, interface, sockets, began, network: Some(network), next_port: 40_000 }
    }

    /// Begins to connect; both buffers have that many bytes.
    pub(crate) fn connect(&mut self, to: impl Into<SocketAddr>, buffer: usize) -> SocketHandle {
        let room = || tcp::SocketBuffer::new(vec![0; buffer]);
        let mut socket = tcp::Socket::new(room(), room());
        self.next_port += 1;
        let to: SocketAddr = to.into();
        let to = IpEndpoint::new(IpAddress::from(to.ip()), to.port());
        socket.connect(self.interface.context(), to, self.next_port).unwrap();
        self.sockets.add(socket)
    }

    /// Waits for a connection; both buffers have that many bytes.
    pub(crate) fn listen(&mut self, port: u16, buffer: usize) -> SocketHandle {
        let room = || tcp::SocketBuffer::new(vec![0; buffer]);
        let mut socket = tcp::Socket::new(room(), room());
        socket.listen(port).unwrap();
        self.sockets.add(socket)
    }

    /// A connection that is there.
    pub(crate) fn connected(&mut self, to: impl Into<SocketAddr>, buffer: usize) -> SocketHandle {
        let handle = self.connect(to, buffer);
        self.until("the connection is there", |guest| {
            let socket = guest.tcp(handle);
            assert_ne!(socket.state(), tcp::State::Closed, "it was refused");
            socket.may_send().then_some(())
        });
        handle
    }

    /// Whether a connection is refused; it must be one or the other.
    pub(crate) fn is_refused(&mut self, to: impl Into<SocketAddr>) -> bool {
        let handle = self.connect(to, 100);
        self.until("the connection is there or refused", |guest| match guest.tcp(handle).state() {
            tcp::State::Closed => Some(true),
            tcp::State::SynSent => None,
            _ => Some(false),
        })
    }

    pub(crate) fn tcp(&mut self, handle: SocketHandle) -> &mut tcp::Socket<'static> {
        self.sockets.get_mut(handle)
    }

    /// Lets the guest's stack work until something is there.
    pub(crate) fn until<T>(&mut self, what: &str, mut look: impl FnMut(&mut Self) -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        loop {
            self.work();
            if let Some(found) = look(self) {
                self.work();
                return found;
            }
            assert!(Instant::now() < deadline, "{what}: not within {PATIENCE:?}");
            let mut ready = [PollFd::new(&self.frames.socket, PollFlags::IN)];
            let most = Timespec { tv_sec: 0, tv_nsec: 5_000_000 };
            rustix::event::poll(&mut ready, Some(&most)).unwrap();
        }
    }

    fn work(&mut self) {
        let now =
            smoltcp::time::Instant::from_micros(i64::try_from(self.began.elapsed().as_micros()).unwrap());
        self.interface.poll(now, &mut self.frames, &mut self.sockets);
    }

    /// Sends packets to that hardware address from now on.
    pub(crate) fn speak_to(&mut self, hardware: [u8; 6]) {
        self.frames.to = Some(hardware);
    }

    /// Sends a frame as it is.
    pub(crate) fn send_raw(&self, frame: &[u8]) {
        self.frames.socket.send(frame).unwrap();
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.frames.socket.shutdown(std::net::Shutdown::Both).unwrap();
        if let Some(Err(panic)) = self.network.take().map(JoinHandle::join)
            && !std::thread::panicking()
        {
            std::panic::resume_unwind(panic);
        }
    }
}

/// The guest's card.
struct Wire {
    socket: UnixDatagram,
    mtu: usize,
    /// Where packets go instead of to who was asked for.
    to: Option<[u8; 6]>,
}

impl Device for Wire {
    type RxToken<'a> = Received;
    type TxToken<'a> = Sending<'a>;

    fn receive(&mut self, _now: smoltcp::time::Instant) -> Option<(Received, Sending<'_>)> {
        let mut frame = vec![0; 70_000];
        let (length, _) = rustix::net::recv(&self.socket, &mut frame[..], RecvFlags::DONTWAIT).ok()?;
        frame.truncate(length);
        (length > 0).then_some((Received(frame), Sending(&self.socket, self.to)))
    }

    fn transmit(&mut self, _now: smoltcp::time::Instant) -> Option<Sending<'_>> {
        Some(Sending(&self.socket, self.to))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = self.mtu + 14;
        capabilities
    }
}

struct Received(Vec<u8>);

impl RxToken for Received {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, read: F) -> R {
        read(&self.0)
    }
}

struct Sending<'a>(&'a UnixDatagram, Option<[u8; 6]>);

impl TxToken for Sending<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, write: F) -> R {
        let mut frame = vec![0; length];
        let result = write(&mut frame);
        if let (Some(to), [0x08, 0x00]) = (self.1, [frame[12], frame[13]]) {
            frame[..6].copy_from_slice(&to);
        }
        self.0.send(&frame).unwrap();
        result
    }
}
