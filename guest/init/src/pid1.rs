//! PID 1 of the VM, from the kernel's first call to the end of the machine.
//!
//! It starts no container and serves no API: it prepares the machine, keeps the vsock listeners (so that a client
//! waits while the engine restarts, instead of being refused), runs the engine as a child, carries published
//! datagrams and ends the machine in order.

mod arguments;
mod cgroup;
mod clock;
mod control;
mod datagrams;
mod disk;
mod forward;
mod interpreters;
mod mount;
mod network;
mod power_off;
mod reap;
mod shares;
mod supervise;
mod vsock;

use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use anyhow::Context;
use protocol::vsock::{CONTROL, DOCKER_API, DOCKER_API_REMOTE, FORWARD};
use rustix::process::{Pid, Resource, Rlimit, WaitStatus};

pub(crate) use control::{read, write};
pub(crate) use network::CARD;
pub(crate) use shares::PLACE as SHARES;

use control::Host;
use supervise::{Engine, Listeners};

/// How long the engine's start waits for the host's first word, which carries the clock, the shared folders and
/// daemon.json. Without one it starts all the same: a machine started by hand has no host daemon.
const HOST_PATIENCE: Duration = Duration::from_secs(5);

/// How long the console may take to write a last line; at its speed that is a few milliseconds.
const CONSOLE_DRAINS: Duration = Duration::from_millis(200);

/// How many files programs may open: what systemd gives, since programs expect that. The kernel's own limit is 4096,
/// too few for an engine with many clients.
const OPEN_FILES: Rlimit = Rlimit { current: Some(1024), maximum: Some(524_288) };

/// What wakes PID 1.
pub(crate) enum Event {
    /// A child, own or adopted, ended.
    Ended(Pid, WaitStatus),
    /// It is time to start the engine again.
    StartEngine,
    /// The host wants the machine off.
    PowerOff,
}

/// Runs the machine; returns only what kept it from running.
pub(crate) fn run() -> anyhow::Result<()> {
    if let Err(error) = live() {
        // The host shows the console's last lines to the user.
        tracing::error!("the machine can't go on: {error:#}");
        rustix::fs::sync();
        // The console's line discipline writes behind our back.
        std::thread::sleep(CONSOLE_DRAINS);
        let _ = rustix::system::reboot(rustix::system::RebootCommand::Restart);
    }
    Ok(())
}

fn live() -> anyhow::Result<()> {
    mount::kernel_file_systems()?;
    interpreters::register();
    rustix::process::setrlimit(Resource::Nofile, OPEN_FILES).context("set the limit of open files")?;
    let (events, inbox) = channel();
    let host = Arc::new(Host::new(events.clone()));
    // Listening early: the host's first connection waits in the backlog instead of being refused.
    let control = vsock::listen(CONTROL)?;
    let listeners =
        Listeners { local: vsock::listen(DOCKER_API)?, remote: vsock::listen(DOCKER_API_REMOTE)? };
    let forward = vsock::listen(FORWARD)?;
    control::serve(&host, control)?;
    host.phase("kernel and listeners");
    cgroup::prepare()?;
    let arguments = arguments::Arguments::read()?;
    network::prepare(&arguments).context("set up the network")?;
    host.phase("network");
    disk::mount_data().context("mount the data disk")?;
    host.phase("data disk");
    forward::serve(forward)?;
    host.wait_for_hello(HOST_PATIENCE);
    shares::mount(host.shares_folders())?;
    // From here on children are reaped on a thread; those above were waited for by name.
    reap::start(events.clone())?;
    let mut engine = Engine::new(Arc::clone(&host), listeners, events);
    engine.start()?;
    until_power_off(&inbox, &mut engine);
    power_off::run(&host, &mut engine, &inbox);
    Ok(())
}

fn until_power_off(inbox: &Receiver<Event>, engine: &mut Engine) {
    while let Ok(event) = inbox.recv() {
        match event {
            Event::Ended(process, status) => engine.ended(process, status),
            Event::StartEngine => {
                if let Err(error) = engine.start() {
                    tracing::error!("the engine can't be started: {error:#}");
                    engine.start_later();
                }
            }
            Event::PowerOff => return,
        }
    }
}
