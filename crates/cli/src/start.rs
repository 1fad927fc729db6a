//! `berth start`.

use std::io::Write;
use std::process::ExitCode;
use std::time::Instant;

use protocol::control::{Status, Wish};
use protocol::machine::{Kind, Phase};
use tokio::net::UnixStream;

use crate::control::Conversation;
use crate::daemon;
use crate::failure::{Failure, Outcome};
use crate::terminal;

/// A start that takes longer than this says what it waits for.
const PATIENCE: std::time::Duration = std::time::Duration::from_millis(500);

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
    let status = start(daemon::connect(&settings).await?, machine).await?;
    if args.select {
        hostd::use_context()?;
    }
    let took: u64 = status.phases.iter().filter_map(|phase| phase.took_ms).sum();
    let mut out = std::io::stdout().lock();
    writeln!(out, "The machine runs (started in {:.1} s).", seconds(took))?;
    writeln!(out, "Docker clients reach it at unix://{}", status.docker_socket)?;
    Ok(ExitCode::SUCCESS)
}

/// Waits until the machine runs; a terminal sees the phase when that takes long.
pub(crate) async fn start(daemon: UnixStream, machine: Kind) -> Result<Status, Failure> {
    let mut conversation = Conversation::begin(daemon, Wish::Start { machine }).await?;
    let mut line = PhaseLine { began: Instant::now(), shown: false };
    let started = conversation.until_it_runs(|status| line.show(status)).await;
    line.clear();
    started
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
