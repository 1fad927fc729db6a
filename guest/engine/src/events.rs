//! What happens, as it happens: `docker events`.
//!
//! The last 256 events are kept for `--since`, as in Docker.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;
use tokio::sync::broadcast;

/// How many past events are kept.
const KEPT: usize = 256;
/// How far a listener may fall behind before it loses events.
const BACKLOG: usize = 1024;

/// One thing that happened.
#[derive(Debug, Clone)]
pub struct Event {
    /// `container`, `image`, `network`, `volume`.
    pub kind: &'static str,
    /// `start`, `die`, …
    pub action: String,
    /// To whom: an id or a name.
    pub id: String,
    /// More about it.
    pub attributes: BTreeMap<String, String>,
    /// When.
    pub at: Timestamp,
}

/// Where events are told and heard.
#[derive(Debug)]
pub struct Events {
    live: broadcast::Sender<Event>,
    past: Mutex<VecDeque<Event>>,
}

impl Default for Events {
    fn default() -> Self {
        Self { live: broadcast::Sender::new(BACKLOG), past: Mutex::default() }
    }
}

impl Events {
    /// Tells everybody who listens.
    pub fn tell(&self, kind: &'static str, action: &str, id: &str, attributes: BTreeMap<String, String>) {
        let event =
            Event { kind, action: action.to_owned(), id: id.to_owned(), attributes, at: Timestamp::now() };
        let mut past = self.past.lock().unwrap_or_else(PoisonError::into_inner);
        if past.len() == KEPT {
            past.pop_front();
        }
        past.push_back(event.clone());
        // Sent under the lock, so that a listener's past and its future meet without gap or repeat. Nobody
        // listening is fine.
        drop(self.live.send(event));
    }

    /// How many listen.
    pub fn listeners(&self) -> usize {
        self.live.receiver_count()
    }

    /// What is kept of the past, and everything from now on.
    pub fn listen(&self) -> (Vec<Event>, broadcast::Receiver<Event>) {
        let past = self.past.lock().unwrap_or_else(PoisonError::into_inner);
        (past.iter().cloned().collect(), self.live.subscribe())
    }
}
