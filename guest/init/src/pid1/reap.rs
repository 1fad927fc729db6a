//! PID 1 inherits every orphan of the machine and must wait for each.

use std::sync::mpsc::Sender;
use std::time::Duration;

use anyhow::Context;
use rustix::process::{WaitOptions, wait};

use super::Event;

/// How long to look away when there is no child at all, which is only between two engines.
const NOBODY: Duration = Duration::from_millis(50);

/// Waits for children for ever and tells of each.
pub(super) fn start(events: Sender<Event>) -> anyhow::Result<()> {
    let reap = move || loop {
        match wait(WaitOptions::empty()) {
            Ok(Some((process, status))) => {
                if events.send(Event::Ended(process, status)).is_err() {
                    return;
                }
            }
            Ok(None) | Err(rustix::io::Errno::INTR) => {}
            Err(_) => std::thread::sleep(NOBODY),
        }
    };
    std::thread::Builder::new().name("reap".to_owned()).spawn(reap).map(drop).context("start reaping")
}
