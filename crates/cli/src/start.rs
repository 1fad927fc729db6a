//! `berth start`.

use std::io::Write;
use std::process::ExitCode;
use std::time::Instant;

use hostd::settings::Settings;
use protocol::control::{Status, Wish};
use protocol::machine::{Kind, Phase};

use crate::control::Conversation;
use crate::daemon;
use crate::failure::{Failure, Outcome};
use crate::terminal;

/// A start that takes longer than this says what it waits for.
const PATIENCE: std::time::Duration = std::time::Duration::from_millis(500);

/// How long a daemon that says nothing is taken for one that is dying.
const SILENCE: std::time::Duration = std::time::Duration::from_secs(5);
/// Between two calls to such a daemon.
const PAUSE: std::time::Duration = std::time::Duration::from_millis(20);

/// Starts the machine and waits until its engine answers. What runs already is left as it is.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Which kind of machine to boot
    #[arg(long, value_enum, default_value = "auto")]
    machine: Machine,
    /// Make `docker` use Berth: its current context becomes `berth` until `berth stop`
    #[arg(long = "use")]
    select: bool,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Machine {
    /// The best one that works here
    Auto,
    /// Software emulation: works everywhere, slowly
    Emulated,
}

/// Starts and says where the engine is.
pub(crate) async fn run(args: Args) -> Outcome {
    let settings = daemon::settings()?;
    let machine = match args.machine {
        Machine::Auto => Kind::Auto,
        Machine::Emulated => Kind::Emulated,
    };
    let status = start(&settings, machine).await?;
    if args.select {
        hostd::use_context()?;
    }
    let took: u64 = status.phases.iter().filter_map(|phase| phase.took_ms).sum();
    let mut out = std::io::stdout().lock();
    writeln!(out, "The machine runs (started in {:.1} s).", seconds(took))?;
    writeln!(out, "Docker clients reach it at unix://{}", status.docker_socket)?;
    Ok(ExitCode::SUCCESS)
}

/// Waits until the machine runs; a terminal sees the phase when that takes long. A daemon that was just killed may
/// still take the call and say nothing: then the next one is asked.
pub(crate) async fn start(settings: &Settings, machine: Kind) -> Result<Status, Failure> {
    let deadline = Instant::now() + SILENCE;
    let mut line = PhaseLine { began: Instant::now(), shown: false };
    loop {
        let mut heard = false;
        let started = async {
            let daemon = daemon::connect(settings).await?;
            // One that can't even be told is as silent as one that doesn't answer.
            let Ok(mut conversation) = Conversation::begin(daemon, Wish::Start { machine }).await else {
                return Ok(None);
            };
            conversation
                .until_it_runs(|status| {
                    heard = true;
                    line.show(status);
                })
                .await
        };
        let started = started.await;
        line.clear();
        match started {
            Ok(None) if !heard && Instant::now() < deadline => tokio::time::sleep(PAUSE).await,
            Ok(None) => return Err(Failure::new("the Berth daemon ended before the machine ran")),
            Ok(Some(status)) => return Ok(status),
            Err(failure) => return Err(failure),
        }
    }
}

/// The line on standard error that names the phase.
struct PhaseLine {
    began: Instant,
    shown: bool,
}

impl PhaseLine {
    fn show(&mut self, status: &Status) {
        if self.began.elapsed() < PATIENCE || !terminal::is_terminal(&std::io::stderr()) {
            return;
        }
        if let Some(Phase { name, waits_for, .. }) = status.phases.last() {
            self.shown = true;
            let text = format!("\r\x1b[KStarting the machine: {name} (waiting for {waits_for})");
            let _ = std::io::stderr().lock().write_all(text.as_bytes());
        }
    }

    fn clear(&self) {
        if self.shown {
            let _ = std::io::stderr().lock().write_all(b"\r\x1b[K");
        }
    }
}

/// Milliseconds as seconds.
pub(crate) fn seconds(millis: u64) -> f64 {
    std::time::Duration::from_millis(millis).as_secs_f64()
}
