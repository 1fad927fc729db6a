//! The emulated machine: QEMU's microvm under TCG with **our** vsock and file system devices over vhost-user and
//! our own network. It needs no hypervisor, so it is the fallback everywhere; user code runs about ten times slower than on the host.

mod carrier;
mod command_line;
mod device;
mod fs;
mod network;
mod program;
mod vsock;

use std::io::{Read, Seek, SeekFrom};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::config::Config;
use crate::{Error, connect, data_disk, sys};

/// How much of a log a user is shown.
const LAST_WORDS: u64 = 600;

/// Words on the console of a guest that didn't end in order, the kernel's and our init's.
const GAVE_UP: &[&str] = &["Kernel panic", "the machine can't go on"];

/// A step of the start that has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Emulator and image files are there.
    Found,
    /// The data disk's file is there and large enough.
    DiskReady,
    /// The emulator's process runs.
    Launched,
    /// The guest's kernel has found our vsock device.
    DriverReady,
}

/// A running machine. Dropping it kills it.
pub struct Machine {
    config: Config,
    leader: u32,
    ended: Arc<Ended>,
    device: Option<vsock::Device>,
    folders: Option<carrier::Carried>,
    network: Option<network::Network>,
}

/// Set once by the thread that waits for the emulator.
#[derive(Default)]
struct Ended {
    status: Mutex<Option<ExitStatus>>,
    changed: Condvar,
}

impl Machine {
    /// Starts the machine; returns when its emulator runs, before the guest does. `on_phase` hears of each step,
    /// the last one on a thread of the device. The machine dies with the thread that calls this.
    ///
    /// # Errors
    /// When something that it needs is missing, by name.
    pub fn start(config: Config, on_phase: impl Fn(Phase) + Send + Sync + 'static) -> Result<Self, Error> {
        for file in [&config.kernel, &config.root] {
            if !file.is_file() {
                return Err(Error::ImageMissing(file.clone()));
            }
        }
        // Asking the emulator for its version takes as long as measuring the counter.
        let counter = std::thread::spawn(sys::tsc_khz);
        let emulator = program::find()?;
        let tsc_khz = counter.join().ok().flatten();
        on_phase(Phase::Found);
        data_disk::prepare(&config)?;
        on_phase(Phase::DiskReady);
        std::fs::create_dir_all(&config.run_dir).map_err(Error::os("make the machine's folder"))?;
        let on_phase = Arc::new(on_phase);
        let on_driver = Arc::clone(&on_phase);
        let device = vsock::Device::listen(&config, move || on_driver(Phase::DriverReady))?;
        let folders = fs::start(&config)?;
        let network = network::Network::start(&config)?;
        let log =
            std::fs::File::create(config.emulator_log()).map_err(Error::os("open the emulator's log"))?;
        let mut command = command_line::build(&emulator, &config, tsc_khz);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let child = sys::spawn_bound(&mut command).map_err(Error::os("start the emulator"))?;
        let machine = Self {
            leader: child.id(),
            ended: watch(child).map_err(Error::os("watch the emulator"))?,
            device: Some(device),
            folders,
            network: Some(network),
            config,
        };
        on_phase(Phase::Launched);
        Ok(machine)
    }

    /// Connects to a port of the guest as soon as it listens; see [`connect::connect`].
    ///
    /// # Errors
    /// When the guest doesn't listen before the deadline.
    pub fn connect(&self, port: u32, deadline: Instant) -> Result<UnixStream, connect::Error> {
        connect::connect(&self.config.vsock_socket(), port, deadline)
    }

    /// The emulator's process, which leads a group of its own.
    pub fn process_id(&self) -> u32 {
        self.leader
    }

    /// Waits until the machine has ended, at most so long; false when it still runs.
    pub fn wait_for(&self, most: Duration) -> bool {
        let status = lock(&self.ended.status);
        let waited = self.ended.changed.wait_timeout_while(status, most, |status| status.is_none());
        waited.unwrap_or_else(PoisonError::into_inner).0.is_some()
    }

    /// Waits until the machine has ended.
    ///
    /// # Errors
    /// When it didn't end by itself in order: its emulator failed, was killed, or the guest's kernel panicked.
    pub fn wait(&self) -> Result<(), Error> {
        let status = lock(&self.ended.status);
        let status = self
            .ended
            .changed
            .wait_while(status, |status| status.is_none())
            .unwrap_or_else(PoisonError::into_inner);
        let ended = status.unwrap_or_default();
        drop(status);
        let emulator_words = tail(&self.config.emulator_log());
        let console = tail(&self.config.serial_log());
        let gave_up = GAVE_UP.iter().any(|words| console.contains(words));
        if ended.success() && !gave_up {
            return Ok(());
        }
        if emulator_words.contains("annot allocate memory")
            || emulator_words.contains("annot set up guest memory")
        {
            return Err(Error::OutOfMemory { mib: self.config.memory_mib });
        }
        let last_words = if emulator_words.is_empty() || gave_up { console } else { emulator_words };
        Err(Error::Died { status: ended.to_string(), last_words })
    }

    /// Asks the guest to power off in order and waits; kills the machine when the time is over.
    ///
    /// # Errors
    /// When it had to be killed.
    pub fn power_off(&self, within: Duration) -> Result<(), Error> {
        let deadline = Instant::now() + within;
        let asked = crate::power_off::ask(&self.config.vsock_socket(), deadline);
        let ended = asked.is_ok() && self.wait_for(deadline.saturating_duration_since(Instant::now()));
        if ended {
            return Ok(());
        }
        self.kill();
        asked.and(Err(Error::Deadline { waited_for: "powering the guest off", after: within }))
    }

    /// Kills the emulator and all that it started. The data disk survives: its journal is replayed at the next
    /// start.
    pub fn kill(&self) {
        if lock(&self.ended.status).is_none() {
            sys::kill_group(self.leader);
        }
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.kill();
        self.wait_for(Duration::from_secs(5));
        drop(self.device.take());
        drop(self.folders.take());
        drop(self.network.take());
    }
}

/// Waits for the emulator on a thread of its own.
fn watch(mut child: Child) -> std::io::Result<Arc<Ended>> {
    let ended = Arc::new(Ended::default());
    let told = Arc::clone(&ended);
    std::thread::Builder::new().name("emulator".to_owned()).spawn(move || {
        let status = child.wait();
        *lock(&told.status) = Some(status.unwrap_or_default());
        told.changed.notify_all();
    })?;
    Ok(ended)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The end of a log, as far as it is text.
fn tail(path: &Path) -> String {
    let read = || {
        let mut file = std::fs::File::open(path)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(LAST_WORDS)))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        std::io::Result::Ok(bytes)
    };
    String::from_utf8_lossy(&read().unwrap_or_default()).trim().to_owned()
}
