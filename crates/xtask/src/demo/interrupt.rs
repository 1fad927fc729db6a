//! Ctrl-C: the terminal sends it to every process of the demo, but the daemon has a session of its own. So this
//! process outlives the signal, sees that it came, and ends what it started.

use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, bail};

/// Between two looks at a child and at the signal.
const PAUSE: Duration = Duration::from_millis(5);
/// A daemon that was just started listens after this.
const SETTLED: Duration = Duration::from_millis(300);

/// Whether a signal to end came.
pub(super) struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// From now on signals to end are only noted.
    pub(super) fn watch() -> anyhow::Result<Self> {
        let came = Arc::new(AtomicBool::new(false));
        for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM, signal_hook::consts::SIGHUP]
        {
            signal_hook::flag::register(signal, Arc::clone(&came)).context("watch for Ctrl-C")?;
        }
        Ok(Self(came))
    }

    /// Fails once a signal came.
    pub(super) fn check(&self) -> anyhow::Result<()> {
        if self.0.load(Ordering::Relaxed) { bail!("interrupted") } else { Ok(()) }
    }

    /// Runs a command that must succeed; a signal ends it.
    pub(super) fn output(&self, command: &mut Command) -> anyhow::Result<Output> {
        self.check()?;
        let program = command.get_program().to_string_lossy().into_owned();
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().with_context(|| format!("run {program}"))?;
        // What these commands print fits into a pipe: they can end before anybody reads.
        while child.try_wait()?.is_none() {
            if self.check().is_err() {
                child.kill()?;
                child.wait()?;
            }
            std::thread::sleep(PAUSE);
        }
        let output = child.wait_with_output()?;
        self.check()?;
        if !output.status.success() {
            bail!("{}", String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(output)
    }
}

/// Waits until a daemon that was being started can be asked to stop.
pub(super) fn settle() {
    std::thread::sleep(SETTLED);
}
