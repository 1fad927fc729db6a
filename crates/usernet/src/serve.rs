//! What a loop does in turns: the guest's frames and the host's sockets, on one thread.

use std::io;
use std::time::Duration;

use mio::{Events, Interest, Poll};

use crate::token::DOOR;
use crate::{Door, Link, Settings, Stack};

/// Sockets that are heard at once.
const EVENTS: usize = 256;
/// Frames of the guest, and connections from outside, before the host's sockets have their turn.
const TURN: usize = 64;

/// A network with what it waits on, for a loop that waits for the guest's frames in its own way.
pub struct Server {
    stack: Stack,
    poll: Poll,
    events: Events,
    frame: Vec<u8>,
    /// Whether somebody may wait at the door.
    knocks: bool,
}

impl Server {
    /// A network behind that door.
    ///
    /// # Errors
    /// When the host can't wait for sockets.
    pub fn new(door: &mut dyn Door, settings: Settings) -> io::Result<Self> {
        let poll = Poll::new()?;
        poll.registry().register(door, DOOR, Interest::READABLE)?;
        let stack = Stack::new(settings, poll.registry().try_clone()?);
        Ok(Self { stack, poll, events: Events::with_capacity(EVENTS), frame: Vec::new(), knocks: true })
    }

    /// What is ready when [`Server::hear`] has something to hear. A link may wait there, too, under the number 0.
    pub fn poll(&self) -> &Poll {
        &self.poll
    }

    /// Hears the host's sockets and the door; waits at most so long for the first of them, or for ever.
    ///
    /// # Errors
    /// When the door ends (as it says), or the host can't wait for sockets.
    pub fn hear(
        &mut self,
        link: &mut dyn Link,
        door: &mut dyn Door,
        most: Option<Duration>,
    ) -> io::Result<()> {
        match self.poll.poll(&mut self.events, most) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(()),
            polled => polled?,
        }
        for event in &self.events {
            self.knocks |= event.token() == DOOR;
            self.stack.ready(event, link);
        }
        self.knocks = self.knocks && self.let_in(door)?;
        Ok(())
    }

    /// Takes a turn of arrivals; false when there are no more now.
    fn let_in(&mut self, door: &mut dyn Door) -> io::Result<bool> {
        for _ in 0..TURN {
            let Some(arrival) = door.next()? else { return Ok(false) };
            self.stack.arrive(arrival);
        }
        Ok(true)
    }

    /// Takes a turn of the guest's frames and moves the connections' bytes. True when there is more to do, after who else
    /// waits was heard.
    ///
    /// # Errors
    /// When the link ends, as it says.
    pub fn run(&mut self, link: &mut dyn Link) -> io::Result<bool> {
        let mut busy = true;
        for _ in 0..TURN {
            if !link.receive(&mut self.frame)? {
                busy = false;
                break;
            }
            self.stack.receive(&self.frame, link);
        }
        self.stack.sweep(link);
        let more = self.stack.run(link);
        // A link that is full says when it has room again.
        busy |= link.flush()? && more;
        Ok(busy || self.knocks)
    }

    /// How long nothing needs to be done if nothing happens; none: for ever.
    pub fn idle(&self) -> Option<Duration> {
        self.stack.idle()
    }
}
