//! What a container is doing.
//!
//! ```text
//!            start            exit
//! created ─────────► running ──────► exited ──► (start again)
//!    │                │  ▲ restart policy │
//!    └── remove ──────┴──┴── removing ◄───┘
//! ```

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::anatomy::StartSpan;

/// Docker's word for where a container is in its life.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Made and never started.
    #[default]
    Created,
    /// Its process lives.
    Running,
    /// Running, and frozen.
    Paused,
    /// Exited, and about to be started by its restart policy.
    Restarting,
    /// Its process ended.
    Exited,
    /// Being removed.
    Removing,
    /// Could not be removed whole.
    Dead,
}

impl Status {
    /// Docker's word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Restarting => "restarting",
            Self::Exited => "exited",
            Self::Removing => "removing",
            Self::Dead => "dead",
        }
    }

    /// Whether there is a living process.
    pub fn has_process(self) -> bool {
        matches!(self, Self::Running | Self::Paused)
    }
}

/// Docker's word for how a container's health check finds it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HealthStatus {
    /// Not known yet.
    #[default]
    Starting,
    /// The last probe was good.
    Healthy,
    /// Too many probes in a row were bad.
    Unhealthy,
}

impl HealthStatus {
    /// Docker's word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Healthy => "healthy",
            Self::Unhealthy => "unhealthy",
        }
    }
}

/// How a container's health check finds it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Health {
    /// In a word.
    pub status: HealthStatus,
    /// Bad probes in a row.
    pub failing_streak: u32,
    /// The last few probes, the newest last.
    pub log: Vec<Probe>,
}

/// One run of a health check.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Probe {
    /// When it began.
    pub start: Timestamp,
    /// When it ended.
    pub end: Timestamp,
    /// 0 is good; -1 when it took too long or couldn't be run.
    pub exit_code: i64,
    /// What it wrote, cut off.
    pub output: String,
}

impl Health {
    /// Takes a probe into account. A bad one that doesn't `count` changes nothing; `retries` of those that do, in a
    /// row, make it unhealthy.
    pub(crate) fn take(&mut self, probe: Probe, counts: bool, retries: u32, kept: usize) {
        if probe.exit_code == 0 {
            self.failing_streak = 0;
            self.status = HealthStatus::Healthy;
        } else if counts {
            self.failing_streak += 1;
            if self.failing_streak >= retries {
                self.status = HealthStatus::Unhealthy;
            }
        }
        if self.log.len() >= kept {
            self.log.drain(..=self.log.len() - kept);
        }
        self.log.push(probe);
    }
}

/// What a container is doing, and how its last run ended.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// Where it is in its life.
    pub status: Status,
    /// Its process, while it lives; 0 otherwise.
    pub pid: i32,
    /// How the last run ended; 128 + n for signal n.
    pub exit_code: i64,
    /// Why the last start failed, or why it was ended.
    pub error: String,
    /// Whether the last run met its memory limit.
    pub oom_killed: bool,
    /// When the last run began.
    pub started_at: Option<Timestamp>,
    /// When the last run ended.
    pub finished_at: Option<Timestamp>,
    /// Whether the user stopped it, so that a restart policy leaves it alone.
    pub stopped_by_user: bool,
    /// How often its restart policy started it since the user did.
    pub restart_count: u32,
    /// How its health check finds it; none without one.
    #[serde(default)]
    pub health: Option<Health>,
    /// The parts of the last start.
    #[serde(default)]
    pub spans: Vec<StartSpan>,
}

impl State {
    /// Notes that its process lives.
    pub fn began(&mut self, pid: i32, at: Timestamp) {
        let restart_count = self.restart_count;
        *self = Self { status: Status::Running, pid, started_at: Some(at), restart_count, ..Self::default() };
    }

    /// Notes that its process ended.
    pub fn ended(&mut self, exit_code: i64, oom_killed: bool, at: Timestamp) {
        self.status = Status::Exited;
        self.pid = 0;
        self.exit_code = exit_code;
        self.oom_killed = oom_killed;
        self.finished_at = Some(at);
        if let Some(health) = &mut self.health {
            // Nobody probes it any more; Docker's word for that.
            health.status = HealthStatus::Unhealthy;
        }
    }

    /// `Up 2 minutes`, `Exited (0) 3 hours ago`: as `docker ps` shows it.
    pub fn sentence(&self, now: Timestamp) -> String {
        let since = |then: Option<Timestamp>| then.map_or_else(String::new, |then| ago(now, then));
        match self.status {
            Status::Created => "Created".to_owned(),
            Status::Running => {
                let health = match self.health.as_ref().map(|health| health.status) {
                    None => "",
                    Some(HealthStatus::Starting) => " (health: starting)",
                    Some(HealthStatus::Healthy) => " (healthy)",
                    Some(HealthStatus::Unhealthy) => " (unhealthy)",
                };
                format!("Up {}{health}", since(self.started_at))
            }
            Status::Paused => format!("Up {} (Paused)", since(self.started_at)),
            Status::Restarting => format!("Restarting ({}) {} ago", self.exit_code, since(self.finished_at)),
            Status::Exited => format!("Exited ({}) {} ago", self.exit_code, since(self.finished_at)),
            Status::Removing => "Removal In Progress".to_owned(),
            Status::Dead => "Dead".to_owned(),
        }
    }
}

/// The time between two moments in Docker's words (go-units' `HumanDuration`).
fn ago(now: Timestamp, then: Timestamp) -> String {
    let seconds = now.as_second().saturating_sub(then.as_second()).max(0);
    let (minutes, hours) = (seconds / 60, (seconds + 1800) / 3600);
    match () {
        () if seconds < 1 => "Less than a second".to_owned(),
        () if seconds == 1 => "1 second".to_owned(),
        () if seconds < 60 => format!("{seconds} seconds"),
        () if minutes == 1 => "About a minute".to_owned(),
        () if minutes < 60 => format!("{minutes} minutes"),
        () if hours == 1 => "About an hour".to_owned(),
        () if hours < 48 => format!("{hours} hours"),
        () if hours < 24 * 7 * 2 => format!("{} days", hours / 24),
        () if hours < 24 * 30 * 2 => format!("{} weeks", hours / 24 / 7),
        () if hours < 24 * 365 * 2 => format!("{} months", hours / 24 / 30),
        () => format!("{} years", hours / 24 / 365),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(seconds: i64) -> String {
        ago(
            Timestamp::from_second(1_000_000_000 + seconds).unwrap(),
            Timestamp::from_second(1_000_000_000).unwrap(),
        )
    }

    #[test]
    fn durations_read_as_docker_writes_them() {
        let words = [0, 1, 59, 60, 150, 3600, 7200, 86_400 * 3, 86_400 * 15].map(after);
        let expected = [
            "Less than a second",
            "1 second",
            "59 seconds",
            "About a minute",
            "2 minutes",
            "About an hour",
            "2 hours",
            "3 days",
            "2 weeks",
        ];
        assert_eq!(words, expected);
    }

    #[test]
    fn health_turns_after_bad_probes_in_a_row_and_with_one_good_one() {
        let probe = |exit_code| {
            let at = Timestamp::UNIX_EPOCH;
            Probe { start: at, end: at, exit_code, output: String::new() }
        };
        let mut health = Health::default();
        health.take(probe(1), false, 2, 3);
        assert_eq!((health.status, health.failing_streak), (HealthStatus::Starting, 0));
        health.take(probe(1), true, 2, 3);
        assert_eq!(health.status, HealthStatus::Starting);
        health.take(probe(1), true, 2, 3);
        assert_eq!((health.status, health.failing_streak), (HealthStatus::Unhealthy, 2));
        health.take(probe(0), true, 2, 3);
        assert_eq!((health.status, health.log.len()), (HealthStatus::Healthy, 3));
        assert_eq!(health.log.last().unwrap().exit_code, 0);
    }

    #[test]
    fn a_new_run_forgets_how_the_last_one_ended() {
        let mut state = State::default();
        state.ended(137, true, Timestamp::UNIX_EPOCH);
        state.began(7, Timestamp::UNIX_EPOCH);
        assert_eq!((state.exit_code, state.oom_killed, state.pid), (0, false, 7));
    }
}
