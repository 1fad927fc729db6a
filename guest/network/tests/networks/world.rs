//! A machine of the test's own: a namespace with an engine's networks, a neighbour outside, servers and clients.

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use berth_network::native::NativePublisher;
use berth_network::publish::Transport;
use berth_network::{
    Alive, Avoid, Defaults, Door, Endpoint, EndpointWish, NetworkWish, Networks, Options, PortWish,
};
use rustix::mount::MountPropagationFlags;
use rustix::thread::LinkNameSpaceType;
use tempfile::TempDir;

use crate::sys;

/// What names begin with.
pub(crate) const PREFIX: &str = "tst";
/// The machine's address towards its neighbour, and the neighbour's.
pub(crate) const MACHINE: &str = "203.0.113.1";
pub(crate) const NEIGHBOUR: &str = "203.0.113.2";

/// A client's patience: one lost packet is sent again after a second; what is dropped never answers.
const PATIENCE: Duration = Duration::from_millis(1500);

pub(crate) struct World {
    folder: TempDir,
    pub(crate) networks: Networks,
}

impl World {
    /// A fresh machine; `None`, with the reason, where the test may not make one.
    pub(crate) fn new() -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            eprintln!("skipped: network namespaces need root");
            return None;
        }
        sys::leave_the_machine().unwrap();
        let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
        rustix::mount::mount_change("/", private).unwrap();
        // Temporary files go with the mount namespace: namespaces that a test leaves mounted keep no folder.
        let flags = rustix::mount::MountFlags::empty();
        rustix::mount::mount("tmpfs", std::env::temp_dir(), "tmpfs", flags, None::<&std::ffi::CStr>).unwrap();
        run("ip", &["link", "set", "lo", "up"]);
        let folder = TempDir::new().unwrap();
        let networks = open(folder.path(), PREFIX, Vec::new());
        Some(Self { folder, networks })
    }

    /// A fresh machine with a neighbour on its network.
    pub(crate) fn with_neighbour() -> Option<(Self, PathBuf)> {
        let world = Self::new()?;
        let neighbour = world.folder.path().join("neighbour");
        File::create(&neighbour).unwrap();
        thread::scope(|scope| {
            let made = scope.spawn(|| {
                sys::leave_the_network().unwrap();
                rustix::mount::mount_bind("/proc/thread-self/ns/net", &neighbour).unwrap();
                run("ip", &["link", "set", "lo", "up"]);
            });
            made.join().unwrap();
        });
        let at = neighbour.to_str().unwrap();
        run("ip", &["link", "add", "eth0", "type", "veth", "peer", "name", "out1"]);
        run("ip", &["address", "add", &format!("{MACHINE}/24"), "dev", "eth0"]);
        run("ip", &["link", "set", "eth0", "up"]);
        run_moving("out1", &neighbour);
        let inside = |arguments: &[&str]| {
            let net = format!("--net={at}");
            run("nsenter", &[&[net.as_str(), "ip"], arguments].concat());
        };
        inside(&["address", "add", &format!("{NEIGHBOUR}/24"), "dev", "out1"]);
        inside(&["link", "set", "out1", "up"]);
        Some((world, neighbour))
    }

    /// The engine dies without closing anything, and another opens.
    pub(crate) fn crash(self) -> Self {
        self.crash_avoiding(Vec::new())
    }

    /// As [`crash`](Self::crash); the next one is told of subnets to avoid.
    pub(crate) fn crash_avoiding(self, avoid: Vec<berth_network::Subnet>) -> Self {
        let Self { folder, networks } = self;
        drop(networks);
        let networks = open(folder.path(), PREFIX, avoid);
        Self { folder, networks }
    }

    /// As [`crash`](Self::crash); the next one has another configuration.
    pub(crate) fn crash_configured(self, defaults: Defaults) -> Self {
        let Self { folder, networks } = self;
        drop(networks);
        let networks = open_configured(folder.path(), PREFIX, Vec::new(), defaults, None);
        Self { folder, networks }
    }

    /// As [`crash`](Self::crash); the next one lets connections in by that door.
    pub(crate) fn crash_behind(self, door: Door) -> Self {
        let Self { folder, networks } = self;
        drop(networks);
        let networks = open_configured(folder.path(), PREFIX, Vec::new(), Defaults::default(), Some(door));
        Self { folder, networks }
    }

    /// A container on a network, with its namespace.
    pub(crate) fn container(&self, name: &str, network: &str) -> (PathBuf, Endpoint) {
        let path = self.networks.open_sandbox(name).unwrap();
        (path, self.networks.join(name, network, &EndpointWish::default()).unwrap())
    }

    /// A user's network of this name.
    pub(crate) fn network(&self, name: &str) -> berth_network::Network {
        self.networks.create(NetworkWish { name: name.to_owned(), ..NetworkWish::default() }).unwrap()
    }

    /// What an engine would hand back after its restart.
    pub(crate) fn alive(&self, container: &str) -> Alive {
        Alive {
            container: container.to_owned(),
            endpoints: self.networks.endpoints(container),
            ports: self.networks.published(container),
        }
    }
}

/// An engine's networks, with everything beneath the folder.
pub(crate) fn open(folder: &Path, prefix: &str, avoid: Vec<berth_network::Subnet>) -> Networks {
    open_configured(folder, prefix, avoid, Defaults::default(), None)
}

fn open_configured(
    folder: &Path,
    prefix: &str,
    avoid: Vec<berth_network::Subnet>,
    defaults: Defaults,
    door: Option<Door>,
) -> Networks {
    let options = Options {
        records: folder.join("networks"),
        namespaces: folder.join("namespaces"),
        name_prefix: prefix.to_owned(),
        avoid: Avoid::new(move || avoid.clone()),
        defaults,
        door,
    };
    Networks::open(options, Arc::new(NativePublisher::new(prefix).unwrap())).unwrap()
}

/// A TCP wish on every address of IPv4.
pub(crate) fn wish(host_port: u16, container_port: u16) -> PortWish {
    PortWish {
        transport: Transport::Tcp,
        container_port,
        host_ip: Some("0.0.0.0".parse().unwrap()),
        host_ports: host_port..=host_port,
    }
}

/// Runs `work` in the namespace, in a thread of its own.
pub(crate) fn within<T: Send>(
    namespace: &Path,
    work: impl FnOnce() -> io::Result<T> + Send,
) -> io::Result<T> {
    let namespace = File::open(namespace)?;
    thread::scope(|scope| {
        let thread = scope.spawn(move || {
            #[expect(clippy::disallowed_methods, reason = "this thread ends with the work")]
            rustix::thread::move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?;
            work()
        });
        thread.join().unwrap()
    })
}

/// Serves TCP and UDP in the namespace: every client is told its own address as the server sees it.
pub(crate) fn serve(namespace: &Path, port: u16) {
    let (listener, socket) =
        within(namespace, || Ok((TcpListener::bind(("::", port))?, UdpSocket::bind(("::", port))?))).unwrap();
    thread::spawn(move || {
        while let Ok((mut stream, peer)) = listener.accept() {
            let _ = write!(stream, "{}", peer.ip().to_canonical());
        }
    });
    thread::spawn(move || {
        let mut datagram = [0; 64];
        while let Ok((_, peer)) = socket.recv_from(&mut datagram) {
            let _ = socket.send_to(peer.ip().to_canonical().to_string().as_bytes(), peer);
        }
    });
}

/// What a server at the address says over TCP, asked from the namespace; `None` where nobody answers.
pub(crate) fn ask(namespace: &Path, ip: &str, port: u16) -> Option<String> {
    within(namespace, || Ok(ask_here(ip, port))).unwrap()
}

/// As [`ask`], from the calling thread's namespace.
pub(crate) fn ask_here(ip: &str, port: u16) -> Option<String> {
    let address = SocketAddr::new(ip.parse::<IpAddr>().unwrap(), port);
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}

/// As [`ask`], over UDP.
pub(crate) fn ask_udp(namespace: &Path, ip: &str, port: u16) -> Option<String> {
    within(namespace, || Ok(ask_udp_here(ip, port))).unwrap()
}

/// As [`ask_here`], over UDP.
pub(crate) fn ask_udp_here(ip: &str, port: u16) -> Option<String> {
    let address = SocketAddr::new(ip.parse::<IpAddr>().unwrap(), port);
    let socket = UdpSocket::bind((if address.is_ipv4() { "0.0.0.0" } else { "::" }, 0)).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.connect(address).ok()?;
    socket.send(b"?").ok()?;
    let mut answer = [0; 64];
    let length = socket.recv(&mut answer).ok()?;
    Some(String::from_utf8_lossy(&answer[..length]).into_owned())
}

/// The names of all interfaces here.
pub(crate) fn interfaces() -> Vec<String> {
    let text = run("ip", &["-o", "link"]);
    let names = text.lines().filter_map(|line| line.split(": ").nth(1));
    names.map(|name| name.split('@').next().unwrap_or(name).to_owned()).collect()
}

/// The rules here as nft prints them, without counters of its own.
pub(crate) fn rules() -> String {
    run("nft", &["list", "ruleset"])
}

fn run_moving(interface: &str, namespace: &Path) {
    // `ip link set … netns` takes a process or a name beneath /run/netns; a descriptor works through /proc.
    let holder =
        Command::new("nsenter").arg(format!("--net={}", namespace.display())).args(["sleep", "60"]).spawn();
    let mut holder = holder.unwrap();
    while std::fs::read_link(format!("/proc/{}/ns/net", holder.id())).ok()
        == std::fs::read_link("/proc/thread-self/ns/net").ok()
    {
        thread::yield_now();
    }
    run("ip", &["link", "set", interface, "netns", &holder.id().to_string()]);
    holder.kill().unwrap();
    holder.wait().unwrap();
}

/// Runs a program in the calling thread's namespace.
pub(crate) fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}
