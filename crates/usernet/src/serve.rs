//! The loop: waits for the guest's frames and the host's sockets, on one thread.

use std::io;
use std::time::Duration;

use mio::{Events, Interest, Poll};

use crate::token::{DOOR, LINK};
use crate::{Door, Link, Settings, Stack};

/// Sockets that are heard at once.
const EVENTS: usize = 256;
/// Frames of the guest, and connections from outside, before the host's sockets have their turn.
const TURN: usize = 64;

/// Serves a guest until it is gone.
///
/// # Errors
/// When the link or the door ends (as they say), or the host can't wait for sockets.
pub fn serve(link: &mut dyn Link, door: &mut dyn Door, settings: Settings) -> io::Result<()> {
    let mut poll = Poll::new()?;
    poll.registry().register(link, LINK, Interest::READABLE | Interest::WRITABLE)?;
    poll.registry().register(door, DOOR, Interest::READABLE)?;
    let mut stack = Stack::new(settings, poll.registry().try_clone()?);
    let (mut events, mut frame) = (Events::with_capacity(EVENTS), Vec::new());
    let (mut busy, mut knocks) = (true, true);
    loop {
        let timeout = if busy { Some(Duration::ZERO) } else { stack.idle() };
        match poll.poll(&mut events, timeout) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            polled => polled?,
        }
        for event in &events {
            knocks |= event.token() == DOOR;
            stack.ready(event, link);
        }
        knocks = knocks && let_in(door, &mut stack)?;
        busy = true;
        for _ in 0..TURN {
            if !link.receive(&mut frame)? {
                busy = false;
                break;
            }
            stack.receive(&frame, link);
        }
        stack.sweep(link);
        let more = stack.run(link);
        // A link that is full says when it has room again.
        busy |= link.flush()? && more;
        busy |= knocks;
    }
}

/// Takes a turn of arrivals; false when there are no more now.
fn let_in(door: &mut dyn Door, stack: &mut Stack) -> io::Result<bool> {
    for _ in 0..TURN {
        let Some(arrival) = door.next()? else { return Ok(false) };
        stack.arrive(arrival);
    }
    Ok(true)
}
