//! From a wish to a Docker API that answers: the phases of a start, each with its deadline.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use protocol::control::{Problem, ProblemCode};
use protocol::guest::FromGuest;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::mpsc;
use vmm::emulated::Phase;
use vmm::process::Event;

use crate::guest::Guest;
use crate::ports::Ports;
use crate::settings::Settings;
use crate::state::Shared;
use crate::{Error, socket};

/// What the vmm process does before the guest runs: name, what it waits for, when it is given up.
const HOST_PHASES: &[(Phase, &str, &str, Duration)] = &[
    (Phase::Found, "find the emulator", "QEMU and the VM image", Duration::from_secs(10)),
    (Phase::DiskReady, "prepare the data disk", "the data disk's file", Duration::from_secs(10)),
    (Phase::Launched, "start the emulator", "the emulator's process", Duration::from_secs(10)),
    (Phase::DriverReady, "boot the kernel", "the guest's first sign", Duration::from_secs(60)),
];
/// The first boot formats the data disk; a crashed one replays its journal.
const GREETING: Duration = Duration::from_secs(60);
const ENGINE: Duration = Duration::from_secs(60);
/// A machine whose daemon was killed powers off within 15 s.
const EARLIER: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_millis(20);

/// A machine whose Docker API answers.
pub(crate) struct Running {
    pub(crate) vmm: Vmm,
    pub(crate) guest: Guest,
    pub(crate) ports: Ports,
}

/// The vmm process. Dropping it kills it, and with it the emulator.
pub(crate) struct Vmm {
    child: Child,
    /// Its end is the order to power off.
    input: Option<ChildStdin>,
    events: mpsc::Receiver<Event>,
}

/// Boots a machine; the status shows each phase.
pub(crate) async fn boot(settings: &Settings, state: &Shared) -> Result<Running, Problem> {
    let since = Instant::now();
    let lock = machine_lock(&settings.vmm_config().data_disk).map_err(|error| died(error.to_string()))?;
    if !is_free(&lock)? {
        let name = "end the earlier machine";
        state.phase(since, name, "its containers and the data disk", EARLIER, until_free(&lock)).await?;
    }
    let mut vmm = Vmm::start(settings).await?;
    for (phase, name, waits_for, deadline) in HOST_PHASES {
        state.phase(since, name, waits_for, *deadline, vmm.reaches(*phase)).await?;
    }
    let greeted = async {
        tokio::select! {
            guest = Guest::greet(settings) => guest,
            problem = vmm.ended() => Err(problem),
        }
    };
    let mut guest = state.phase(since, "greet the guest", "the guest's init", GREETING, greeted).await?;
    let mut ports = Ports::new(&settings.vsock_socket(), &settings.vmm_config().door_socket())
        .map_err(|error| died(format!("the machine's door can't be reached: {error}")))?;
    let engine_is_up = async {
        tokio::select! {
            up = engine_is_up(&mut guest, &mut ports, state) => up,
            problem = vmm.ended() => Err(problem),
        }
    };
    state.phase(since, "start the engine", "the Docker API", ENGINE, engine_is_up).await?;
    Ok(Running { vmm, guest, ports })
}

/// What the machine's process holds: one machine at a time writes the data disk.
pub(crate) fn machine_lock(data_disk: &Path) -> Result<PathBuf, Error> {
    let lock = data_disk.with_extension("lock");
    let folder = lock.parent().unwrap_or(Path::new("/"));
    std::fs::create_dir_all(folder).map_err(|source| Error::Prepare {
        doing: "make",
        path: folder.to_path_buf(),
        source,
    })?;
    Ok(lock)
}

fn is_free(lock: &Path) -> Result<bool, Problem> {
    Ok(socket::hold(lock).map_err(|error| died(error.to_string()))?.is_some())
}

/// The machine of a daemon that was killed is powering off in order.
async fn until_free(lock: &Path) -> Result<(), Problem> {
    while !is_free(lock)? {
        tokio::time::sleep(PAUSE).await;
    }
    Ok(())
}

/// An engine that starts again publishes the ports of its containers, and waits for the answer before it serves.
async fn engine_is_up(guest: &mut Guest, ports: &mut Ports, state: &Shared) -> Result<(), Problem> {
    while let Some(message) = guest.messages.recv().await {
        match message {
            FromGuest::Engine { up: true, .. } => return Ok(()),
            FromGuest::ConfigurationRefused { problem } => {
                let message = format!("daemon.json can't be honoured: {problem}");
                return Err(Problem { code: ProblemCode::Configuration, message });
            }
            FromGuest::Phase { name, ended_at } => tracing::info!(name, ended_at, "guest"),
            FromGuest::Publish { generation, ports: wanted } => {
                guest.publish(generation, &wanted, ports, state).await;
            }
            _ => {}
        }
    }
    Err(died("the guest ended its conversation".to_owned()))
}

fn died(message: String) -> Problem {
    Problem { code: ProblemCode::MachineDied, message }
}

impl Vmm {
    async fn start(settings: &Settings) -> Result<Self, Problem> {
        let failed = |error: std::io::Error| died(format!("the machine's process can't be started: {error}"));
        let config = settings.vmm_config();
        std::fs::create_dir_all(&config.run_dir).map_err(failed)?;
        let file = config.run_dir.join("config.json");
        let text = serde_json::to_vec_pretty(&config).map_err(|error| failed(error.into()))?;
        std::fs::write(&file, text).map_err(failed)?;
        let log = std::fs::File::create(config.run_dir.join("vmm.log")).map_err(failed)?;
        let (program, words) =
            settings.relaunch.split_first().ok_or_else(|| died("no program".to_owned()))?;
        let mut command = Command::new(program);
        command.args(words).arg("vmm").arg(&file);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(log).kill_on_drop(true);
        // A Ctrl-C in the terminal is for the daemon, which then powers the guest off in order.
        command.process_group(0);
        let mut child = command.spawn().map_err(failed)?;
        let (sender, events) = mpsc::channel(16);
        if let Some(output) = child.stdout.take() {
            tokio::spawn(async move {
                let mut lines = BufReader::new(output).lines();
                while let Ok(Some(line)) = lines.next_line().await {
                    match serde_json::from_str(&line) {
                        Ok(event) => drop(sender.send(event).await),
                        Err(error) => tracing::warn!(%error, line, "the vmm process says something else"),
                    }
                }
            });
        }
        Ok(Self { input: child.stdin.take(), child, events })
    }

    /// Waits for a phase of the start.
    async fn reaches(&mut self, wanted: Phase) -> Result<(), Problem> {
        loop {
            match self.events.recv().await {
                Some(Event::Phase { phase, .. }) if phase == wanted => return Ok(()),
                Some(Event::Phase { .. }) => {}
                other => return Err(problem(other)),
            }
        }
    }

    /// Waits until the machine is no more, and says why.
    pub(crate) async fn ended(&mut self) -> Problem {
        loop {
            match self.events.recv().await {
                Some(Event::Phase { .. }) => {}
                other => return problem(other),
            }
        }
    }

    /// Waits for the process to end by itself, at most so long; then kills it.
    pub(crate) async fn end_within(mut self, most: Duration) -> bool {
        let ended = tokio::time::timeout(most, self.child.wait()).await.is_ok();
        if !ended {
            // Its end orders the power-off once more; the process itself is killed right after.
            drop(self.input.take());
            drop(self.child.start_kill());
        }
        ended
    }
}

/// What the last event means.
fn problem(last: Option<Event>) -> Problem {
    match last {
        Some(Event::Failed { code, message }) => Problem { code, message },
        Some(Event::Ended) => died("the machine powered off by itself".to_owned()),
        Some(Event::Phase { .. }) | None => died("the machine's process died".to_owned()),
    }
}
