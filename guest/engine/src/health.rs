//! Health checks: a container's own probe, run in it again and again, and what its results mean.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::container::Container;
use crate::container::config::{Config, HealthConfig};
use crate::container::state::{Health, HealthStatus, Probe, State, Status};
use crate::exec::{ExecConfig, ExecState};
use crate::signal::Signal;
use crate::{Engine, Error};

/// Between two probes when nobody says otherwise.
const INTERVAL: Duration = Duration::from_secs(30);
/// Between two probes in the start period.
const START_INTERVAL: Duration = Duration::from_secs(5);
/// How long a probe may take.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Failures in a row that make a container unhealthy.
const RETRIES: u32 = 3;
/// Results that are kept.
const KEPT: usize = 5;
/// Bytes of a probe's output that are kept.
const OUTPUT: usize = 4096;
/// How long a probe that was killed may take to be gone.
const KILL_DEADLINE: Duration = Duration::from_secs(5);

/// How a container is probed.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Check {
    command: Vec<String>,
    interval: Duration,
    start_interval: Duration,
    start_period: Duration,
    timeout: Duration,
    retries: u32,
}

impl Check {
    /// The check that a configuration asks for; none without one.
    fn of(config: &Config) -> Option<Self> {
        let wish = config.healthcheck.as_ref()?;
        let (kind, words) = wish.test.as_ref()?.split_first()?;
        let command = match kind.as_str() {
            "CMD" => words.to_vec(),
            "CMD-SHELL" => {
                let usual = || vec!["/bin/sh".to_owned(), "-c".to_owned()];
                let mut shell = config.shell.clone().filter(|shell| !shell.is_empty()).unwrap_or_else(usual);
                shell.push(words.join(" "));
                shell
            }
            _ => return None,
        };
        let time = |nanoseconds: Option<i64>, usual| {
            let given =
                nanoseconds.and_then(|number| u64::try_from(number).ok()).filter(|&number| number > 0);
            given.map_or(usual, Duration::from_nanos)
        };
        let retries = wish.retries.and_then(|number| u32::try_from(number).ok()).filter(|&number| number > 0);
        Some(Self {
            command,
            interval: time(wish.interval, INTERVAL),
            start_interval: time(wish.start_interval, START_INTERVAL),
            start_period: time(wish.start_period, Duration::ZERO),
            timeout: time(wish.timeout, TIMEOUT),
            retries: retries.unwrap_or(RETRIES),
        })
    }

    /// Whether failures don't count yet.
    fn is_starting(&self, state: &State) -> bool {
        let starting = state.health.as_ref().is_none_or(|health| health.status == HealthStatus::Starting);
        let began = state.started_at.unwrap_or_default();
        let ran = Duration::try_from(began.duration_until(Timestamp::now())).unwrap_or_default();
        starting && ran < self.start_period
    }

    fn pause(&self, state: &State) -> Duration {
        if self.is_starting(state) { self.start_interval.min(self.interval) } else { self.interval }
    }
}

/// What a fresh run's health is; none without a check.
pub(crate) fn fresh(config: &Config) -> Option<Health> {
    Check::of(config).map(|_| Health::default())
}

/// Checks numbers that make no sense, in Docker's words.
pub(crate) fn check(health: &HealthConfig) -> Result<(), Error> {
    const LEAST: i64 = 1_000_000;
    let times = [
        ("Interval", health.interval),
        ("Timeout", health.timeout),
        ("StartPeriod", health.start_period),
        ("StartInterval", health.start_interval),
    ];
    for (name, time) in times {
        if time.is_some_and(|time| time != 0 && time < LEAST) {
            return Err(Error::InvalidRequest(format!("{name} in Healthcheck cannot be less than 1ms")));
        }
    }
    if health.retries.is_some_and(|retries| retries < 0) {
        return Err(Error::InvalidRequest("Retries in Healthcheck cannot be negative".to_owned()));
    }
    Ok(())
}

impl Engine {
    /// Probes a container that has just started, or was found running, until its run ends.
    pub(crate) fn watch_health(self: &Arc<Self>, container: &Arc<Container>) {
        if let Some(check) = container.with(|record| Check::of(&record.config)) {
            tokio::spawn(self.clone().keep_probing(container.clone(), check));
        }
    }

    async fn keep_probing(self: Arc<Self>, container: Arc<Container>, check: Check) {
        let mut moments = container.moments();
        let run = moments.borrow_and_update().exits;
        loop {
            let pause = check.pause(&container.state());
            let over = moments.wait_for(|moment| moment.exits != run || moment.removed);
            if tokio::time::timeout(pause, over).await.is_ok() {
                return;
            }
            if container.state().status != Status::Running {
                continue;
            }
            let probe = self.probe(&container, &check).await;
            if moments.borrow().exits != run {
                return;
            }
            self.note(&container, &check, probe);
        }
    }

    /// One probe, from its start to its end.
    async fn probe(&self, container: &Arc<Container>, check: &Check) -> Probe {
        let start = Timestamp::now();
        let (exit_code, output) = match self.run_probe(container, check).await {
            Ok(result) => result,
            Err(error) => (-1, error.to_string()),
        };
        Probe { start, end: Timestamp::now(), exit_code, output }
    }

    async fn run_probe(&self, container: &Arc<Container>, check: &Check) -> Result<(i64, String), Error> {
        let config = ExecConfig {
            cmd: check.command.clone(),
            attach_stdout: true,
            attach_stderr: true,
            ..ExecConfig::default()
        };
        let id = self.exec_create(&container.id, config)?;
        let deadline = tokio::time::Instant::now() + check.timeout;
        let mut said = Vec::new();
        let finished = tokio::time::timeout_at(deadline, async {
            let mut attached = self.exec_start(&id, None).await?;
            while let Some(chunk) = attached.output.recv().await {
                let room = OUTPUT.saturating_sub(said.len());
                said.extend_from_slice(&chunk.bytes[..room.min(chunk.bytes.len())]);
            }
            Ok::<_, Error>(())
        });
        let finished = finished.await;
        let exec = self.exec(&id)?;
        match finished {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return Err(error),
            Err(_) => {
                self.kill_exec(&exec).await;
                let seconds = check.timeout.as_secs_f64();
                return Ok((-1, format!("Health check exceeded timeout ({seconds}s)")));
            }
        }
        let code = match exec.state() {
            ExecState::Exited { code, .. } => code,
            _ => -1,
        };
        Ok((code, String::from_utf8_lossy(&said).into_owned()))
    }

    /// Ends a probe that takes too long.
    async fn kill_exec(&self, exec: &crate::exec::Exec) {
        if let Ok(guard) = exec.container.guard() {
            drop(guard.signal_process(exec.process, Signal::KILL).await);
            drop(tokio::time::timeout(KILL_DEADLINE, exec.ended()).await);
        }
    }

    /// Takes a result into account; tells when it changes what the container is.
    fn note(&self, container: &Container, check: &Check, probe: Probe) {
        let (mut status, mut changed) = (HealthStatus::Starting, false);
        let take = |state: &mut State| {
            let counts = !check.is_starting(state);
            let health = state.health.get_or_insert_default();
            let before = health.status;
            health.take(probe, counts, check.retries, KEPT);
            (status, changed) = (health.status, health.status != before);
        };
        container.apply(|record| take(&mut record.state));
        if !changed {
            return;
        }
        if let Err(error) = container.change(|_| {}) {
            tracing::warn!(
                container = container.id,
                error = &error as &dyn std::error::Error,
                "its health isn't recorded"
            );
        }
        self.tell(container, &format!("health_status: {}", status.name()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_of(test: &[&str]) -> Option<Check> {
        let test = Some(test.iter().map(|&word| word.to_owned()).collect());
        let health = HealthConfig { test, interval: Some(2_000_000_000), ..HealthConfig::default() };
        Check::of(&Config { healthcheck: Some(health), ..Config::default() })
    }

    #[test]
    fn a_test_is_a_command_a_line_or_nothing() {
        assert_eq!(check_of(&["CMD", "a", "b"]).unwrap().command, ["a", "b"]);
        let line = check_of(&["CMD-SHELL", "a | b"]).unwrap();
        assert_eq!(line.command, ["/bin/sh", "-c", "a | b"]);
        assert_eq!((line.interval, line.timeout), (Duration::from_secs(2), TIMEOUT));
        assert!(check_of(&["NONE"]).is_none() && check_of(&[]).is_none());
    }

    #[test]
    fn too_short_an_interval_is_refused() {
        assert!(check(&HealthConfig { interval: Some(1), ..HealthConfig::default() }).is_err());
        assert!(check(&HealthConfig { interval: Some(0), ..HealthConfig::default() }).is_ok());
    }
}
