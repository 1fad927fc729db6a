//! After the host slept, its far ends may have forgotten it, and its networks the way there: who doesn't answer any more is
//! given up within a minute or two, not in the quarter of an hour that TCP has for that. Who answers isn't touched.

use std::io;
use std::os::fd::AsFd;
use std::time::{Duration, Instant, SystemTime};

use rustix::net::sockopt;

/// How often the clocks are looked at while there are connections.
const LOOK: Duration = Duration::from_secs(5);
/// A sleep shorter than this has changed nothing: such a silence is usual, too.
const NAP: Duration = Duration::from_secs(30);
/// After so much silence the far end is asked whether it is still there, and then so often and so many times.
const SILENCE: Duration = Duration::from_secs(600);
const BETWEEN: Duration = Duration::from_secs(60);
const TIMES: u32 = 9;
/// The same after a sleep: for half a minute, in which wireless networks come back.
const SHORT_SILENCE: Duration = Duration::from_secs(5);
const SHORT_TIMES: u32 = 6;
const ASKS_FOR: Duration = Duration::from_secs(40);
/// What was sent isn't asked after, but sent again, two minutes apart at most: then this long without a word is the end.
const UNHEARD: Duration = Duration::from_secs(30);
const INSISTS_FOR: Duration = Duration::from_secs(150);

/// How a far end is watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Vigil {
    /// As long as nothing has happened.
    Usual,
    /// Who is silent is asked at once.
    Asks,
    /// Who hasn't acknowledged what was sent is given up.
    Insists,
}

impl Vigil {
    /// Lets the host watch so: the guest can't, since we answer in the far end's name.
    pub(super) fn keep(self, socket: &impl AsFd) -> io::Result<()> {
        let (silence, between, times) = match self {
            Self::Asks => (SHORT_SILENCE, SHORT_SILENCE, SHORT_TIMES),
            Self::Usual | Self::Insists => (SILENCE, BETWEEN, TIMES),
        };
        let unheard = if self == Self::Insists { UNHEARD } else { Duration::ZERO };
        sockopt::set_tcp_keepidle(socket, silence)?;
        sockopt::set_tcp_keepintvl(socket, between)?;
        sockopt::set_tcp_keepcnt(socket, times)?;
        // None is the kernel's own patience.
        sockopt::set_tcp_user_timeout(socket, u32::try_from(unheard.as_millis()).unwrap_or(0))?;
        Ok(sockopt::set_socket_keepalive(socket, true)?)
    }
}

/// Notices a sleep, and what follows from it.
pub(super) struct Wake {
    /// Two clocks, when they were looked at last. The steady one stands still while the host sleeps.
    wall: SystemTime,
    steady: Instant,
    vigil: Vigil,
    /// When the present vigil ends, unless it is the usual one.
    until: Instant,
}

impl Wake {
    pub(super) fn new(wall: SystemTime, steady: Instant) -> Self {
        Self { wall, steady, vigil: Vigil::Usual, until: steady }
    }

    /// Looks at the clocks: how far ends are to be watched from now on, when that changes.
    pub(super) fn look(&mut self, wall: SystemTime, steady: Instant) -> Option<Vigil> {
        let passed = steady.saturating_duration_since(self.steady);
        let slept = wall.duration_since(self.wall + passed).unwrap_or_default() > NAP;
        (self.wall, self.steady) = (wall, steady);
        let next = match self.vigil {
            _ if slept => (Vigil::Asks, ASKS_FOR),
            Vigil::Asks if self.until <= steady => (Vigil::Insists, INSISTS_FOR),
            Vigil::Insists if self.until <= steady => (Vigil::Usual, Duration::ZERO),
            _ => return None,
        };
        (self.vigil, self.until) = (next.0, steady + next.1);
        Some(self.vigil)
    }

    /// When to look again.
    pub(super) fn next_look(&self) -> Instant {
        self.steady + LOOK
    }
}

#[cfg(test)]
mod tests {
    use std::net::{SocketAddr, TcpListener, TcpStream};

    use smoltcp::wire::EthernetAddress;

    use super::*;
    use crate::packet::Path;
    use crate::tcp::flow::{Flow, Opening};
    use crate::tcp::{Connections, Key};

    const HOUR: Duration = Duration::from_secs(3600);

    #[test]
    fn a_sleep_is_followed_by_questions_then_by_insistence_then_by_nothing() {
        let (wall, steady) = (SystemTime::now(), Instant::now());
        let mut wake = Wake::new(wall, steady);
        assert_eq!(wake.look(wall + LOOK, steady + LOOK), None);
        let (wall, steady) = (wall + HOUR, steady + LOOK * 2);
        assert_eq!(wake.look(wall, steady), Some(Vigil::Asks));
        assert_eq!(wake.look(wall + LOOK, steady + LOOK), None);
        let (wall, steady) = (wall + ASKS_FOR, steady + ASKS_FOR);
        assert_eq!(wake.look(wall, steady), Some(Vigil::Insists));
        let (wall, steady) = (wall + INSISTS_FOR, steady + INSISTS_FOR);
        assert_eq!(wake.look(wall, steady), Some(Vigil::Usual));
        assert_eq!(wake.look(wall + HOUR, steady + HOUR), None);
    }

    #[test]
    fn connections_of_a_host_that_slept_are_asked() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let socket = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let seen = socket.try_clone().unwrap();
        let now = Instant::now();
        let place = SocketAddr::from(([10, 0, 2, 15], 80));
        let key = Key { guest: place, remote: place };
        let (card, ip) = (EthernetAddress([2; 6]), place.ip());
        let path = Path { card, ours: card, guest: ip, remote: ip };
        let opening = Opening { path, guest: 80, remote: 80, first: 0, mtu: 1500, ways: Vec::new() };
        let mut connections = Connections::new();
        let token = connections.tokens.next();
        let flow = Flow::call(mio::net::TcpStream::from_std(socket), opening, now).unwrap();
        connections.insert(token, key, flow);
        assert_eq!(sockopt::tcp_keepidle(&seen).unwrap(), SILENCE);
        connections.look_at_clocks(now);
        assert_eq!(sockopt::tcp_keepidle(&seen).unwrap(), SILENCE);
        connections.wake = Wake::new(SystemTime::now() - HOUR, now);
        connections.look_at_clocks(now);
        assert_eq!(sockopt::tcp_keepidle(&seen).unwrap(), SHORT_SILENCE);
    }

    #[test]
    fn a_clock_that_is_set_back_is_no_sleep() {
        let (wall, steady) = (SystemTime::now(), Instant::now());
        let mut wake = Wake::new(wall, steady);
        assert_eq!(wake.look(wall - HOUR, steady + LOOK), None);
        assert_eq!(wake.look(wall - HOUR + LOOK, steady + LOOK * 2), None);
    }

    #[test]
    fn the_host_is_told_how_to_watch() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let socket = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        Vigil::Asks.keep(&socket).unwrap();
        assert_eq!(sockopt::tcp_keepidle(&socket).unwrap(), SHORT_SILENCE);
        assert!(sockopt::socket_keepalive(&socket).unwrap());
        Vigil::Insists.keep(&socket).unwrap();
        assert_eq!(sockopt::tcp_keepidle(&socket).unwrap(), SILENCE);
        assert_eq!(sockopt::tcp_user_timeout(&socket).unwrap(), 30_000);
        Vigil::Usual.keep(&socket).unwrap();
        assert_eq!(sockopt::tcp_user_timeout(&socket).unwrap(), 0);
    }
}
