//! The loop: waits for the guest's frames and the host's sockets, on one thread.

use std::io;
use std::time::Duration;

use mio::{Events, Interest, Poll};

use crate::token::LINK;
use crate::{Link, Settings, Stack};

/// Sockets that are heard at once.
const EVENTS: usize = 256;
/// Frames of the guest before the host's sockets have their turn.
const TURN: usize = 64;

/// Serves a guest until it is gone.
///
/// # Errors
/// When the link ends (as the link says), or the host can't wait for sockets.
pub fn serve(link: &mut dyn Link, settings: Settings) -> io::Result<()> {
    let mut poll = Poll::new()?;
    poll.registry().register(link, LINK, Interest::READABLE | Interest::WRITABLE)?;
    let mut stack = Stack::new(settings, poll.registry().try_clone()?);
    let (mut events, mut frame) = (Events::with_capacity(EVENTS), Vec::new());
    let mut busy = true;
    loop {
        let timeout = if busy { Some(Duration::ZERO) } else { stack.idle() };
        match poll.poll(&mut events, timeout) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            polled => polled?,
        }
        for event in &events {
            stack.ready(event, link);
        }
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
    }
}
