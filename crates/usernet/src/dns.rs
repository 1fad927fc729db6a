//! Questions to the gateway's port 53, passed on as they are to the host's resolvers, one after the other. (By stream they
//! are connections as others are: see `tcp`.) Names are the resolvers' business, but for the host's (`host_names`): no
//! message is understood here beyond its question, which is needed for telling at once that none of them answers.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mio::net::UdpSocket;
use mio::{Interest, Registry, Token};

use crate::datagram::any;
use crate::emit::Wire;
use crate::packet::Path;
use crate::token::{Owner, Tokens};

/// How long one resolver may take. Clients ask again after five seconds.
const PATIENCE: Duration = Duration::from_secs(2);
/// Questions that may be open at once; of more, it is told that they failed.
const MOST: usize = 512;
/// RFC 1035, 4.1.1.
pub(crate) const HEADER: usize = 12;
/// The longest name, and its type and class.
const LONGEST_QUESTION: usize = 255 + 4;
pub(crate) const NO_ERROR: u8 = 0;
const SERVER_FAILURE: u8 = 2;
/// The longest answer by datagram that clients ask for is 4,096 bytes.
const BLOCK: usize = 65_536;

/// Open questions.
pub(crate) struct Questions {
    open: HashMap<Token, Question>,
    tokens: Tokens,
    block: Vec<u8>,
}

/// One question. It has a socket of its own, so that an answer must come from the right address to a port that nobody
/// can guess.
struct Question {
    path: Path,
    /// The guest's port and ours.
    ports: (u16, u16),
    query: Vec<u8>,
    socket: UdpSocket,
    /// Whom to ask next, last first.
    others: Vec<SocketAddr>,
    deadline: Instant,
}

impl Questions {
    pub(crate) fn new() -> Self {
        Self { open: HashMap::new(), tokens: Tokens::of(Owner::Question), block: vec![0; BLOCK] }
    }

    /// Asks the first resolver; where there is none, answers so at once.
    pub(crate) fn ask(
        &mut self,
        path: &Path,
        ports: (u16, u16),
        query: &[u8],
        mut resolvers: Vec<SocketAddr>,
        registry: &Registry,
        wire: &mut Wire<'_>,
    ) {
        if query.len() < HEADER || is_answer(query) {
            return;
        }
        resolvers.reverse();
        let token = self.tokens.next();
        let asked =
            (self.open.len() < MOST).then(|| ask_next(&mut resolvers, query, registry, token)).flatten();
        let Some(socket) = asked else { return fail(path, ports, query, wire) };
        let deadline = Instant::now() + PATIENCE;
        let (path, query) = (*path, query.to_vec());
        self.open.insert(token, Question { path, ports, query, socket, others: resolvers, deadline });
    }

    /// Takes an answer, or asks the next.
    pub(crate) fn ready(&mut self, token: Token, registry: &Registry, wire: &mut Wire<'_>) {
        let Some(question) = self.open.get_mut(&token) else { return };
        loop {
            match question.socket.recv(&mut self.block) {
                Ok(length) if answers(&self.block[..length], &question.query) => {
                    let (guest, ours) = question.ports;
                    wire.datagram(&question.path, ours, guest, &self.block[..length]);
                    self.open.remove(&token);
                    return;
                }
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => return self.advance(token, registry, wire),
            }
        }
    }

    /// Gives up on resolvers that take too long; says when to look again.
    pub(crate) fn sweep(
        &mut self,
        registry: &Registry,
        wire: &mut Wire<'_>,
        now: Instant,
    ) -> Option<Instant> {
        let late = self.open.iter().filter(|(_, question)| question.deadline <= now);
        let late: Vec<Token> = late.map(|(token, _)| *token).collect();
        for token in late {
            self.advance(token, registry, wire);
        }
        self.open.values().map(|question| question.deadline).min()
    }

    fn advance(&mut self, token: Token, registry: &Registry, wire: &mut Wire<'_>) {
        let Some(question) = self.open.get_mut(&token) else { return };
        question.deadline = Instant::now() + PATIENCE;
        match ask_next(&mut question.others, &question.query, registry, token) {
            Some(socket) => question.socket = socket,
            None => {
                fail(&question.path, question.ports, &question.query, wire);
                self.open.remove(&token);
            }
        }
    }
}

/// Asks the next resolver that can be asked.
fn ask_next(
    others: &mut Vec<SocketAddr>,
    query: &[u8],
    registry: &Registry,
    token: Token,
) -> Option<UdpSocket> {
    while let Some(resolver) = others.pop() {
        let ask = || {
            let socket = std::net::UdpSocket::bind((any(resolver.ip()), 0))?;
            socket.set_nonblocking(true)?;
            socket.connect(resolver)?;
            let mut socket = UdpSocket::from_std(socket);
            registry.register(&mut socket, token, Interest::READABLE)?;
            socket.send(query)?;
            io::Result::Ok(socket)
        };
        if let Ok(socket) = ask() {
            return Some(socket);
        }
    }
    None
}

fn is_answer(message: &[u8]) -> bool {
    message.get(2).is_some_and(|flags| flags & 0x80 != 0)
}

/// Whether the message answers the query: it has the same number, and says that it is an answer.
fn answers(message: &[u8], query: &[u8]) -> bool {
    message.len() >= HEADER && message[..2] == query[..2] && is_answer(message)
}

/// Whether the message is an ordinary question, and the only one.
pub(crate) fn is_standard_query(message: &[u8]) -> bool {
    message.len() >= HEADER && message[2] & 0xf8 == 0 && message[4..6] == [0, 1]
}

/// Says that no resolver answers.
fn fail(path: &Path, (guest, ours): (u16, u16), query: &[u8], wire: &mut Wire<'_>) {
    wire.datagram(path, ours, guest, &answer_to(query, SERVER_FAILURE));
}

/// An answer without records: the query's number and first question, which clients compare. `query` has a header.
pub(crate) fn answer_to(query: &[u8], code: u8) -> Vec<u8> {
    let question = question(query).unwrap_or_default();
    let mut answer = vec![0; HEADER];
    answer[..2].copy_from_slice(&query[..2]);
    // An answer, with the operation and the wish for recursion as they were asked.
    answer[2] = query[2] & 0x79 | 0x80;
    // Recursion is to be had.
    answer[3] = 0x80 | code;
    answer[5] = u8::from(!question.is_empty());
    answer.extend_from_slice(question);
    answer
}

/// The first question's bytes: labels, each after its length, up to the empty one, type and class.
pub(crate) fn question(query: &[u8]) -> Option<&[u8]> {
    let mut end = HEADER;
    loop {
        let length = usize::from(*query.get(end)?);
        end += 1 + length;
        if length == 0 {
            break;
        }
    }
    query.get(HEADER..end + 4).filter(|question| question.len() <= LONGEST_QUESTION)
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUERY: &[u8] =
        b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x02no\x04such\x00\x00\x01\x00\x01";

    #[test]
    fn a_failure_has_the_number_and_the_question_of_its_query() {
        let mut query = QUERY.to_vec();
        query.extend_from_slice(b"\x00\x00\x29\x10\x00\x00\x00\x00\x00\x00\x00");
        let answer = answer_to(&query, SERVER_FAILURE);
        assert_eq!(answer[..4], [0x12, 0x34, 0x81, 0x82]);
        assert_eq!(answer[12..], QUERY[12..]);
        assert!(answers(&answer, QUERY));
    }

    #[test]
    fn a_query_whose_name_has_no_end_is_answered_without_it() {
        assert_eq!(answer_to(&QUERY[..20], SERVER_FAILURE).len(), HEADER);
        assert_eq!(question(&[0x3f; 600]), None);
    }
}
