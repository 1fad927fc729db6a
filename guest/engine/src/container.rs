//! One container in the engine's memory: its record, what it is doing, and who listens to it.

pub mod config;
pub mod host_config;
pub mod mounts;
pub(crate) mod names;
pub mod record;
pub mod resources;
pub mod state;
pub(crate) mod user;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use tokio::sync::watch;

use crate::Error;
use crate::container::record::Record;
use crate::container::state::State;
use crate::exec::Exec;
use crate::exit::Exit;
use crate::guard_link::GuardLink;
use crate::output::Fanout;

/// A moment in a container's life, for those who wait.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Moment {
    /// How often its process ended since the engine knows it.
    pub(crate) exits: u64,
    /// Whether a process lives now.
    pub(crate) running: bool,
    /// How the last run ended.
    pub(crate) exit_code: i64,
    /// Whether it is gone.
    pub(crate) removed: bool,
}

/// One container.
#[derive(Debug)]
pub struct Container {
    /// 64 hexadecimal digits.
    pub id: String,
    /// When it was made.
    pub created: Timestamp,
    /// Its folder in the data root: the record, the log, files that are mounted into it.
    pub(crate) folder: PathBuf,
    /// Its folder in the exec root: the bundle, the guard's socket.
    pub(crate) exec_folder: PathBuf,
    /// Held by a verb that changes what the container is doing: one at a time.
    pub(crate) verb: Arc<tokio::sync::Mutex<()>>,
    /// Who listens to its output.
    pub(crate) output: Fanout,
    record: Mutex<Record>,
    /// Held while the record is written, so that the newest one is written last. An exit in it stands on disk
    /// already, and will be told when everything of the run is gone.
    disk: Mutex<Option<Exit>>,
    guard: Mutex<Option<Arc<GuardLink>>>,
    execs: Mutex<BTreeMap<u32, Arc<Exec>>>,
    /// The highest of the guard's numbers for execs that was given out; none is given twice.
    last_exec: AtomicU32,
    moment: watch::Sender<Moment>,
    writes: watch::Sender<()>,
}

impl Container {
    /// A container with this record, in these folders.
    pub(crate) fn new(record: Record, folder: PathBuf, exec_folder: PathBuf) -> Arc<Self> {
        let (running, exit_code) = (record.state.status.has_process(), record.state.exit_code);
        Arc::new(Self {
            id: record.id.clone(),
            created: record.created,
            folder,
            exec_folder,
            verb: Arc::default(),
            output: Fanout::default(),
            record: Mutex::new(record),
            disk: Mutex::default(),
            guard: Mutex::default(),
            execs: Mutex::default(),
            last_exec: AtomicU32::new(berth_guard::CONTAINER),
            moment: watch::Sender::new(Moment { running, exit_code, ..Moment::default() }),
            writes: watch::Sender::default(),
        })
    }

    /// A copy of its record.
    pub fn record(&self) -> Record {
        self.lock().clone()
    }

    /// A look at its record without a copy.
    pub(crate) fn with<T>(&self, look: impl FnOnce(&Record) -> T) -> T {
        look(&self.lock())
    }

    /// Its name.
    pub fn name(&self) -> String {
        self.lock().name.clone()
    }

    /// What it is doing.
    pub(crate) fn state(&self) -> State {
        self.lock().state.clone()
    }

    /// Changes the record, writes it down and tells those who wait. The disk may take its time; meanwhile the record
    /// can be read, and other tasks of this thread run elsewhere.
    pub(crate) fn change(&self, change: impl FnOnce(&mut Record)) -> Result<(), Error> {
        tokio::task::block_in_place(|| {
            let ahead = self.disk.lock().unwrap_or_else(PoisonError::into_inner);
            change(&mut self.lock());
            let written = self.write(ahead.as_ref());
            // Of what it is now: it may have ended while the disk took its time.
            self.announce(&self.lock());
            written
        })
    }

    /// Writes down how its process ended, without telling anybody yet.
    pub(crate) fn write_exit(&self, exit: &Exit) -> Result<(), Error> {
        tokio::task::block_in_place(|| {
            let mut ahead = self.disk.lock().unwrap_or_else(PoisonError::into_inner);
            *ahead = Some(exit.clone());
            self.write(ahead.as_ref())
        })
    }

    /// Tells the exit that was written down, and what follows from it.
    pub(crate) fn tell_exit(&self, exit: &Exit, then: impl FnOnce(&mut Record)) {
        tokio::task::block_in_place(|| {
            let mut ahead = self.disk.lock().unwrap_or_else(PoisonError::into_inner);
            *ahead = None;
            let mut record = self.lock();
            exit.note(&mut record);
            then(&mut record);
            self.announce(&record);
        });
    }

    fn write(&self, ahead: Option<&Exit>) -> Result<(), Error> {
        let mut record = self.record();
        if let Some(exit) = ahead {
            exit.note(&mut record);
        }
        record.write(&self.folder)
    }

    /// Changes the record and tells those who wait: of what is written down already, or need not be.
    pub(crate) fn apply(&self, change: impl FnOnce(&mut Record)) {
        let mut record = self.lock();
        change(&mut record);
        self.announce(&record);
    }

    fn announce(&self, record: &Record) {
        let state = &record.state;
        self.moment.send_modify(|moment| {
            moment.running = state.status.has_process();
            moment.exit_code = state.exit_code;
        });
    }

    /// Counts an exit, for those who wait for the next one.
    pub(crate) fn exited(&self) {
        self.moment.send_modify(|moment| moment.exits += 1);
    }

    /// Tells those who wait that it is gone.
    pub(crate) fn removed(&self) {
        self.moment.send_modify(|moment| moment.removed = true);
    }

    /// Its moments from now on.
    pub(crate) fn moments(&self) -> watch::Receiver<Moment> {
        self.moment.subscribe()
    }

    /// Notes that it wrote something.
    pub(crate) fn wrote(&self) {
        self.writes.send_replace(());
    }

    /// Changes whenever it wrote something.
    pub(crate) fn writes(&self) -> watch::Receiver<()> {
        self.writes.subscribe()
    }

    /// The link to its guard, while it has one.
    pub(crate) fn guard(&self) -> Result<Arc<GuardLink>, Error> {
        let guard = self.guard.lock().unwrap_or_else(PoisonError::into_inner);
        guard.clone().ok_or_else(|| Error::NotRunning(self.id.clone()))
    }

    /// Sets or takes the link to its guard.
    pub(crate) fn set_guard(&self, link: Option<Arc<GuardLink>>) {
        *self.guard.lock().unwrap_or_else(PoisonError::into_inner) = link;
    }

    /// Its execs by the guard's number for them.
    pub(crate) fn execs(&self) -> MutexGuard<'_, BTreeMap<u32, Arc<Exec>>> {
        self.execs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A number for a new exec.
    pub(crate) fn next_exec(&self) -> u32 {
        self.last_exec.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Leaves out the numbers up to `used`: a guard that outlived an engine still has execs of those.
    pub(crate) fn skip_execs(&self, used: u32) {
        self.last_exec.fetch_max(used, Ordering::Relaxed);
    }

    /// What events tell of it: image, name and labels.
    pub(crate) fn attributes(&self) -> BTreeMap<String, String> {
        let record = self.lock();
        let mut attributes = record.config.labels.clone();
        attributes.insert("image".to_owned(), record.config.image.clone());
        attributes.insert("name".to_owned(), record.name.clone());
        attributes
    }

    fn lock(&self) -> MutexGuard<'_, Record> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
