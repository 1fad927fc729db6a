//! The engine as a child: started with the listener that PID 1 keeps, and again when it dies.

use std::io::Read;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use anyhow::Context;
use protocol::guest::FromGuest;
use rustix::io::{FdFlags, fcntl_setfd};
use rustix::process::{Pid, Signal, WaitStatus, kill_process};

use super::control::{self, HELLO_FILE, Host};
use super::{Event, cgroup, disk};

const PROGRAM: &str = "/bin/berth-guest";
/// The first pause before a restart; each is twice as long, up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// An engine that lived so long was sound: the next restart is quick again.
const SOUND: Duration = Duration::from_secs(30);

/// What PID 1 keeps for it, so that clients wait while it starts again.
pub(super) struct Listeners {
    /// For clients of the host's socket.
    pub(super) local: OwnedFd,
    /// For clients of the host's `tcp://` addresses.
    pub(super) remote: OwnedFd,
}

/// The engine, running or not.
pub(super) struct Engine {
    host: Arc<Host>,
    listeners: Listeners,
    events: Sender<Event>,
    process: Option<Pid>,
    started: Instant,
    starts: u32,
    pause: Duration,
}

impl Engine {
    pub(super) fn new(host: Arc<Host>, listeners: Listeners, events: Sender<Event>) -> Self {
        let started = Instant::now();
        Self { host, listeners, events, process: None, started, starts: 0, pause: FIRST_PAUSE }
    }

    /// Starts it.
    pub(super) fn start(&mut self) -> anyhow::Result<()> {
        let (ours, theirs) = UnixStream::pair().context("make the engine's link")?;
        // Only the engine is started from here on, so only it inherits these.
        let Listeners { local, remote } = &self.listeners;
        for handed in [local.as_fd(), remote.as_fd(), theirs.as_fd()] {
            fcntl_setfd(handed, FdFlags::empty()).context("hand a descriptor on")?;
        }
        let mut command = Command::new(PROGRAM);
        command
            .arg("serve")
            .args(["--listen", &format!("fd://{}", local.as_raw_fd())])
            .args(["--remote", &remote.as_raw_fd().to_string()])
            .args(["--host-link", &theirs.as_raw_fd().to_string()])
            .args(["--data-root", &format!("{}/engine", disk::PLACE)])
            .args(["--exec-root", "/run/berth/engine"])
            .env("PATH", "/sbin:/bin")
            .env("BERTH_LOG", "warn")
            .stdin(Stdio::null());
        if std::path::Path::new(HELLO_FILE).exists() {
            command.args(["--hello", HELLO_FILE]);
        }
        // Its end is seen by the thread that reaps.
        let child = command.spawn().with_context(|| format!("start {PROGRAM}"))?;
        self.process = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        self.started = Instant::now();
        self.starts += 1;
        cgroup::adopt_engine(child.id())?;
        self.host.link_engine(Some(ours.try_clone().context("keep the engine's link")?));
        let (host, starts) = (Arc::clone(&self.host), self.starts);
        let relay = move || relay(&host, ours, starts);
        std::thread::Builder::new().name("engine link".to_owned()).spawn(relay).context("relay")?;
        Ok(())
    }

    /// Plans the next start.
    pub(super) fn start_later(&mut self) {
        let (events, pause) = (self.events.clone(), self.pause);
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        std::thread::spawn(move || {
            std::thread::sleep(pause);
            drop(events.send(Event::StartEngine));
        });
    }

    /// Takes note of a child's end; restarts the engine when it was the engine.
    pub(super) fn ended(&mut self, process: Pid, status: WaitStatus) {
        if self.process != Some(process) {
            return;
        }
        tracing::warn!(?status, "the engine ended; it is started again");
        self.process = None;
        self.host.link_engine(None);
        self.host.engine(false, self.starts);
        if self.started.elapsed() > SOUND {
            self.pause = FIRST_PAUSE;
        }
        self.start_later();
    }

    /// Whether `process` is the running engine; then it no longer counts as running.
    pub(super) fn is_gone_with(&mut self, process: Pid) -> bool {
        if self.process == Some(process) {
            self.process = None;
        }
        self.process.is_none()
    }

    /// Asks it to stop the containers and end; false when it isn't running.
    pub(super) fn ask_to_end(&self) -> bool {
        self.process.is_some_and(|process| kill_process(process, Signal::TERM).is_ok())
    }
}

/// Passes on what one engine says, until it is gone.
fn relay(host: &Host, mut link: impl Read, starts: u32) {
    loop {
        match control::read(&mut link) {
            Ok(FromGuest::Engine { up, .. }) => {
                // A restart is no phase of the machine's start.
                if up && starts == 1 {
                    host.phase("engine");
                }
                host.engine(up, starts);
            }
            Ok(set @ FromGuest::Publish { .. }) => host.publish(set),
            Ok(refusal @ FromGuest::ConfigurationRefused { .. }) => host.configuration_refused(refusal),
            Ok(other) => tracing::warn!(?other, "the engine says what isn't its to say"),
            Err(_) => return,
        }
    }
}
