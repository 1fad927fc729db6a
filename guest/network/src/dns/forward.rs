//! Questions that other name servers answer.

use std::fs;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::absent::Absent;
use super::answer;
use super::sockets::Sockets;

/// Where this machine's resolvers are named.
const RESOLVERS: &str = "/etc/resolv.conf";
/// As many as the C library asks.
const MOST: usize = 3;
/// How long one of them may take. Clients ask again after five seconds.
const PATIENCE: Duration = Duration::from_secs(2);

/// A datagram's question on its way: asked of one resolver after another. Each has a socket of its own, so that an
/// answer must come from the right address to a port that nobody can guess.
pub(super) struct Pending {
    socket: UdpSocket,
    sockets: Arc<Sockets>,
    client: SocketAddr,
    query: Vec<u8>,
    /// All who may be asked,
    resolvers: Vec<SocketAddr>,
    /// and those who are still to be, last first.
    others: Vec<SocketAddr>,
    deadline: Instant,
}

impl Pending {
    /// Asks the first resolver; where there is none, or what it would say is known, answers so at once.
    pub(super) fn start(
        sockets: &Arc<Sockets>,
        client: SocketAddr,
        query: &[u8],
        absent: &Absent,
    ) -> Option<Self> {
        let resolvers = resolvers(sockets);
        if let Some(answer) = absent.answer(query, &resolvers) {
            let _ = sockets.datagrams.send_to(&answer, client);
            return None;
        }
        let mut others = resolvers.clone();
        others.reverse();
        let socket = ask_next(&mut others, query);
        let Some(socket) = socket else {
            let _ = sockets.datagrams.send_to(&answer::failure(query), client);
            return None;
        };
        let (sockets, query, deadline) = (Arc::clone(sockets), query.to_vec(), Instant::now() + PATIENCE);
        Some(Self { socket, sockets, client, query, resolvers, others, deadline })
    }

    pub(super) fn socket(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    pub(super) fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Takes an answer if there is one, or asks the next; whether the question is done with.
    pub(super) fn advance(&mut self, ready: bool, absent: &Absent) -> bool {
        let mut failed = Instant::now() >= self.deadline;
        if ready {
            let mut answer = [0; 4096];
            match self.socket.recv(&mut answer) {
                Ok(length) if answers(&answer[..length], &self.query) => {
                    let _ = self.sockets.datagrams.send_to(&answer[..length], self.client);
                    absent.keep(&self.query, &self.resolvers, &answer[..length]);
                    return true;
                }
                Ok(_) => {}
                Err(error) => failed |= error.kind() != io::ErrorKind::WouldBlock,
            }
        }
        if !failed {
            return false;
        }
        self.deadline = Instant::now() + PATIENCE;
        match ask_next(&mut self.others, &self.query) {
            Some(socket) => {
                self.socket = socket;
                false
            }
            None => {
                let _ = self.sockets.datagrams.send_to(&answer::failure(&self.query), self.client);
                true
            }
        }
    }
}

/// Asks by stream, and waits, unless the answer is known.
pub(super) fn over_stream(sockets: &Sockets, query: &[u8], absent: &Absent) -> Option<Vec<u8>> {
    let resolvers = resolvers(sockets);
    if let Some(answer) = absent.answer(query, &resolvers) {
        return Some(answer);
    }
    let ask = |resolver: SocketAddr| {
        let mut stream = TcpStream::connect_timeout(&resolver, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        super::write_framed(&mut stream, query)?;
        super::read_framed(&mut stream)
    };
    let answer = resolvers.iter().find_map(|resolver| ask(*resolver).ok())?;
    if answers(&answer, query) {
        absent.keep(query, &resolvers, &answer);
    }
    Some(answer)
}

/// Whether the message answers the query: the same number and the mark of an answer (RFC 1035, 4.1.1).
fn answers(message: &[u8], query: &[u8]) -> bool {
    message.len() >= 12 && message[..2] == query[..2] && message[2] & 0x80 != 0
}

fn ask_next(others: &mut Vec<SocketAddr>, query: &[u8]) -> Option<UdpSocket> {
    while let Some(resolver) = others.pop() {
        let any = if resolver.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        let ask = || {
            let socket = UdpSocket::bind(any)?;
            socket.set_nonblocking(true)?;
            socket.connect(resolver)?;
            socket.send(query)?;
            io::Result::Ok(socket)
        };
        if let Ok(socket) = ask() {
            return Some(socket);
        }
    }
    None
}

/// The container's name servers, else this machine's, whose file changes with its networks and is read anew for each
/// question.
fn resolvers(sockets: &Sockets) -> Vec<SocketAddr> {
    let at = |address: IpAddr| SocketAddr::new(address, 53);
    if !sockets.servers.is_empty() {
        return sockets.servers.iter().copied().take(MOST).map(at).collect();
    }
    let text = fs::read_to_string(RESOLVERS).unwrap_or_default();
    let addresses = text.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        (words.next() == Some("nameserver")).then(|| words.next()?.parse::<IpAddr>().ok()).flatten()
    });
    addresses.take(MOST).map(at).collect()
}
