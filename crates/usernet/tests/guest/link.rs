//! Frames over a pair of sockets, one packet each; and a link that loses, doubles and swaps some.

use std::collections::VecDeque;
use std::io;
use std::os::unix::net::UnixDatagram;

use mio::event::Source;
use mio::{Interest, Registry, Token};
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use usernet::Link;

/// Frames that may wait before there is no more room.
const MOST: usize = 256;
/// More than a frame has.
const BLOCK: usize = 70_000;

/// The network's end.
pub(crate) struct Frames {
    socket: mio::net::UnixDatagram,
    waiting: VecDeque<Vec<u8>>,
    /// Of so many frames towards the guest something befalls one; 0: of none.
    faulty: usize,
    count: usize,
}

/// Two ends: the network's, and the guest's. Packets keep their borders, and an end that is gone is noticed.
pub(crate) fn pair(faulty: usize) -> (Frames, UnixDatagram) {
    let kind = SocketType::SEQPACKET;
    let (ours, theirs) =
        rustix::net::socketpair(AddressFamily::UNIX, kind, SocketFlags::CLOEXEC, None).unwrap();
    let ours = UnixDatagram::from(ours);
    ours.set_nonblocking(true).unwrap();
    let socket = mio::net::UnixDatagram::from_std(ours);
    (Frames { socket, waiting: VecDeque::new(), faulty, count: 0 }, UnixDatagram::from(theirs))
}

impl Frames {
    /// Of every so many frames one is lost, the next comes twice, and the one after that late.
    fn befall(&mut self) {
        self.count += 1;
        if self.faulty == 0 || self.waiting.len() < 2 {
            return;
        }
        let last = self.waiting.len() - 1;
        match self.count % self.faulty {
            0 => drop(self.waiting.remove(last - 1)),
            1 => self.waiting.insert(last, self.waiting[last - 1].clone()),
            2 if last > 1 => self.waiting.swap(last - 2, last - 1),
            _ => {}
        }
    }
}

impl Link for Frames {
    fn receive(&mut self, frame: &mut Vec<u8>) -> io::Result<bool> {
        frame.resize(BLOCK, 0);
        match self.socket.recv(frame) {
            Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(length) => {
                frame.truncate(length);
                Ok(true)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn room(&mut self, length: usize) -> Option<&mut [u8]> {
        if self.waiting.len() >= MOST {
            return None;
        }
        self.befall();
        self.waiting.push_back(vec![0; length]);
        self.waiting.back_mut().map(Vec::as_mut_slice)
    }

    fn flush(&mut self) -> io::Result<bool> {
        while let Some(frame) = self.waiting.front() {
            match self.socket.send(frame) {
                Ok(_) => drop(self.waiting.pop_front()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                // A guest that is gone is gone, whoever notices first.
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }
}

impl Source for Frames {
    fn register(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        self.socket.register(registry, token, interests)
    }

    fn reregister(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        self.socket.reregister(registry, token, interests)
    }

    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        self.socket.deregister(registry)
    }
}
