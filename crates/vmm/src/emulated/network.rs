//! The guest's card: the emulator hands us its frames over a socket, each after its length in four bytes, the highest
//! first, and takes ours so (QEMU's `-netdev stream`).

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, SocketAddrV4};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::thread::JoinHandle;

use mio::event::Source;
use mio::{Interest, Registry, Token};
use usernet::{Link, Policy, Settings, V4, V6};

use super::carrier;
use crate::config::{self, Config};
use crate::handover::Handed;
use crate::{Error, sys};

/// The largest packet that our network and the guest's card carry. A big one stands in for the offloading of segments,
/// which this way of handing over frames doesn't have. The networks of containers have a smaller one, by which their
/// connections go.
pub(super) const MTU: u16 = 65_520;
/// The gateway's card and the guest's: local, and none that QEMU gives.
const HARDWARE: [u8; 6] = [0x52, 0x55, 10, 0, 2, 2];
const CARD: [u8; 6] = [0x52, 0x55, 10, 0, 2, 15];
/// Before a frame.
const PREFIX: usize = 4;
/// The longest frame.
const LONGEST: usize = MTU as usize + 14;
/// What may wait for the emulator before the network holds back.
const MOST_WAITING: usize = 1 << 20;
/// What is read at once.
const BLOCK: usize = 256 << 10;
/// Of the descriptors that this process may have, connections get one of so many, and datagrams another. (Shared
/// folders have the other half.)
const SHARE: usize = 4;
const MOST_FLOWS: usize = 8192;

/// The network's thread; it ends with the emulator's connection.
pub(super) struct Network {
    socket: PathBuf,
    door: PathBuf,
    thread: Option<JoinHandle<()>>,
}

/// The guest's card, as QEMU reads it.
pub(super) fn card() -> String {
    CARD.map(|byte| format!("{byte:02x}")).join(":")
}

impl Network {
    /// Waits for the emulator and serves it, and who connects to the ports that lead into it.
    pub(super) fn start(config: &Config) -> Result<Self, Error> {
        let socket = config.network_socket();
        let listener = carrier::listen(&socket)?;
        let door = config.door_socket();
        let mut handed = Handed::bind(&door).map_err(Error::os(format!("bind {}", door.display())))?;
        let settings = settings(config);
        let thread = std::thread::Builder::new().name("network".to_owned()).spawn(move || {
            let served = listener.accept().and_then(|(emulator, _)| {
                emulator.set_nonblocking(true)?;
                usernet::serve(&mut Frames::new(emulator), &mut handed, settings)
            });
            match served {
                Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => {
                    tracing::error!(%error, "the guest has no network any more");
                }
                _ => {}
            }
        });
        let thread = thread.map_err(Error::os("start the network"))?;
        Ok(Self { socket, door, thread: Some(thread) })
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        // An emulator that never came leaves the thread waiting for it: come in its place, and leave.
        drop(UnixStream::connect(&self.socket));
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        drop(std::fs::remove_file(&self.socket));
        drop(std::fs::remove_file(&self.door));
    }
}

fn settings(config: &Config) -> Settings {
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
        most_flows: (sys::raise_descriptors() / SHARE).min(MOST_FLOWS),
    }
}

/// Frames on the emulator's socket.
struct Frames {
    emulator: mio::net::UnixStream,
    /// What arrived and wasn't taken lies between these places.
    block: Box<[u8]>,
    begin: usize,
    end: usize,
    waiting: Vec<u8>,
    /// How much of it was written.
    written: usize,
}

impl Frames {
    fn new(emulator: UnixStream) -> Self {
        let emulator = mio::net::UnixStream::from_std(emulator);
        let block = vec![0; BLOCK].into_boxed_slice();
        Self { emulator, block, begin: 0, end: 0, waiting: Vec::new(), written: 0 }
    }

    /// The next frame that is there as a whole.
    fn next(&mut self) -> io::Result<Option<&[u8]>> {
        let arrived = &self.block[self.begin..self.end];
        let Some((prefix, rest)) = arrived.split_first_chunk::<PREFIX>() else { return Ok(None) };
        let length = u32::from_be_bytes(*prefix) as usize;
        if length > LONGEST {
            let message = format!("the emulator announces a frame of {length} bytes");
            return Err(io::Error::new(io::ErrorKind::InvalidData, message));
        }
        let Some(frame) = rest.get(..length) else { return Ok(None) };
        self.begin += PREFIX + length;
        Ok(Some(frame))
    }

    /// Reads more; false when there is nothing now. What is left of the last frame is short: there is room for all of it.
    fn read(&mut self) -> io::Result<bool> {
        self.block.copy_within(self.begin..self.end, 0);
        (self.begin, self.end) = (0, self.end - self.begin);
        match self.emulator.read(&mut self.block[self.end..]) {
            Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(read) => {
                self.end += read;
                Ok(true)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(true),
            Err(error) => Err(gone(error)),
        }
    }
}

/// An emulator that was killed is gone as one that ended.
fn gone(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => io::ErrorKind::UnexpectedEof.into(),
        _ => error,
    }
}

impl Link for Frames {
    fn receive(&mut self, frame: &mut Vec<u8>) -> io::Result<bool> {
        loop {
            if let Some(next) = self.next()? {
                frame.clear();
                frame.extend_from_slice(next);
                return Ok(true);
            }
            if !self.read()? {
                return Ok(false);
            }
        }
    }

    fn room(&mut self, length: usize) -> Option<&mut [u8]> {
        let begin = self.waiting.len() + PREFIX;
        if length > LONGEST || self.waiting.len() - self.written > MOST_WAITING {
            return None;
        }
        let prefix = u32::try_from(length).ok()?.to_be_bytes();
        self.waiting.extend_from_slice(&prefix);
        self.waiting.resize(begin + length, 0);
        Some(&mut self.waiting[begin..])
    }

    fn flush(&mut self) -> io::Result<bool> {
        while self.written < self.waiting.len() {
            match self.emulator.write(&self.waiting[self.written..]) {
                Ok(written) => self.written += written,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if self.written > MOST_WAITING {
                        self.waiting.drain(..self.written);
                        self.written = 0;
                    }
                    return Ok(false);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(gone(error)),
            }
        }
        self.waiting.clear();
        self.written = 0;
        Ok(true)
    }
}

impl Source for Frames {
    fn register(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        self.emulator.register(registry, token, interests)
    }

    fn reregister(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        self.emulator.reregister(registry, token, interests)
    }

    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        self.emulator.deregister(registry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ends() -> (Frames, UnixStream) {
        let (ours, emulator) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        (Frames::new(ours), emulator)
    }

    #[test]
    fn frames_keep_their_borders_however_they_are_cut() {
        let (mut frames, mut emulator) = ends();
        let mut frame = Vec::new();
        for byte in [&[0, 0, 0, 2, b'a', b'b', 0, 0, 0, 0, 0, 0, 0, 1][..], b"c"].concat() {
            assert!(frame != b"c");
            emulator.write_all(&[byte]).unwrap();
            while frames.receive(&mut frame).unwrap() {}
        }
        assert_eq!(frame, b"c");
        frames.room(3).unwrap().copy_from_slice(b"xyz");
        assert!(frames.flush().unwrap());
        let mut sent = [0; 7];
        emulator.read_exact(&mut sent).unwrap();
        assert_eq!(&sent, b"\0\0\0\x03xyz");
    }

    #[test]
    fn a_full_socket_leaves_no_room_and_an_emulator_that_left_is_noticed() {
        let (mut frames, emulator) = ends();
        let mut frame = Vec::new();
        while let Some(room) = frames.room(60_000) {
            room.fill(1);
            frames.flush().unwrap();
        }
        assert!(!frames.flush().unwrap());
        drop(emulator);
        assert_eq!(frames.receive(&mut frame).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn a_length_beyond_reason_is_refused() {
        let (mut frames, mut emulator) = ends();
        emulator.write_all(&[0xff; 4]).unwrap();
        assert_eq!(frames.receive(&mut Vec::new()).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}
