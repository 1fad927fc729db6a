//! A machine that boots the VM image which `cargo xtask image` lays.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use protocol::frame;
use protocol::guest::{FromGuest, HostHello, HostOs, ToGuest};
use protocol::port::{Forward, Forwarded};
use protocol::vsock::{CONTROL, DOCKER_API, FORWARD};
use serde::Serialize;
use serde::de::DeserializeOwned;
use vmm::config::{Config, HostForward, SharesOver};
use vmm::emulated::Machine;

/// No step of a test takes longer.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Whether emulator and image are there; prints what isn't.
pub(crate) fn need_machine() -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    if !std::env::split_paths(&path).any(|folder| folder.join("qemu-system-x86_64").is_file()) {
        eprintln!("skipped: QEMU isn't installed (`cargo xtask setup`)");
        return false;
    }
    let there = image("vmlinux").is_file() && image("root.erofs").is_file();
    if !there {
        eprintln!("skipped: the VM image isn't built (`cargo xtask image`)");
    }
    there
}

/// A file that `cargo xtask image` lays.
pub(crate) fn image(name: &str) -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/berth/vm")).join(name)
}

/// A machine whose files lie in `folder`.
pub(crate) fn config(folder: &Path, forwards: Vec<HostForward>) -> Config {
    Config {
        kernel: image("vmlinux"),
        root: image("root.erofs"),
        data_disk: folder.join("data.img"),
        data_disk_bytes: 8 << 30,
        run_dir: folder.join("run"),
        memory_mib: 512,
        cpus: 2,
        shares: Vec::new(),
        shares_over: SharesOver::default(),
        forwards,
        resolvers: folder.join("resolv.conf"),
    }
}

/// Sends a message to the guest.
pub(crate) fn write(stream: &mut UnixStream, message: &impl Serialize) {
    stream.write_all(&frame::encode(message).unwrap()).unwrap();
}

/// Receives a message of the guest.
pub(crate) fn read<T: DeserializeOwned>(stream: &mut UnixStream) -> T {
    let mut prefix = [0; frame::PREFIX];
    stream.read_exact(&mut prefix).unwrap();
    let mut body = vec![0; frame::body_length(prefix).unwrap()];
    stream.read_exact(&mut body).unwrap();
    frame::decode(&body).unwrap()
}

/// Greets the guest as the host daemon does.
pub(crate) fn greet(machine: &Machine) -> UnixStream {
    let mut control = machine.connect(CONTROL, Instant::now() + PATIENCE).unwrap();
    control.set_read_timeout(Some(PATIENCE)).unwrap();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let hello = HostHello {
        version: protocol::VERSION,
        unix_nanos: u64::try_from(now.as_nanos()).unwrap(),
        os: HostOs::Linux,
        shares: Vec::new(),
        door: vmm::config::DOOR,
        host_subnets: Vec::new(),
        daemon_json: String::new(),
        files: BTreeMap::new(),
        certificates: BTreeMap::new(),
        proxies: BTreeMap::new(),
    };
    write(&mut control, &ToGuest::Hello(hello));
    let FromGuest::Hello { version, image } = read(&mut control) else { panic!("no hello") };
    assert_eq!(version, protocol::VERSION);
    assert_eq!(image.len(), 64, "the guest doesn't know its image: {image}");
    control
}

/// Datagrams of one peer to and from `target`.
pub(crate) fn forward(machine: &Machine, target: SocketAddr) -> UnixStream {
    let mut stream = machine.connect(FORWARD, Instant::now() + PATIENCE).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let peer = "127.0.0.1:1".parse().unwrap();
    write(&mut stream, &Forward { target, peer });
    assert_eq!(read::<Forwarded>(&mut stream), Forwarded::Connected);
    stream
}

/// Sends a datagram and waits for one back.
pub(crate) fn exchange(stream: &mut UnixStream, datagram: &[u8]) -> Vec<u8> {
    let length = u16::try_from(datagram.len()).unwrap();
    stream.write_all(&[&length.to_le_bytes(), datagram].concat()).unwrap();
    let mut length = [0; 2];
    stream.read_exact(&mut length).unwrap();
    let mut arrived = vec![0; u16::from_le_bytes(length).into()];
    stream.read_exact(&mut arrived).unwrap();
    arrived
}

/// `GET /_ping` over the Docker API's port.
pub(crate) fn ping(machine: &Machine) -> String {
    let mut api = machine.connect(DOCKER_API, Instant::now() + PATIENCE).unwrap();
    api.set_read_timeout(Some(PATIENCE)).unwrap();
    api.write_all(b"GET /_ping HTTP/1.1\r\nHost: docker\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    api.read_to_string(&mut answer).unwrap();
    answer
}

/// The UUID that a file system keeps for life, and the magic number before it.
pub(crate) fn ext4_identity(disk: &Path) -> Vec<u8> {
    let mut superblock = vec![0; 2048];
    std::fs::File::open(disk).unwrap().read_exact(&mut superblock).unwrap();
    assert_eq!(superblock[1024 + 0x38..1024 + 0x3a], [0x53, 0xef], "the disk isn't formatted");
    superblock[1024 + 0x68..1024 + 0x78].to_vec()
}
