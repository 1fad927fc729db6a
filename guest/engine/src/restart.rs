//! `docker restart`, and restart policies.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::container::Container;
use crate::container::record::Record;
use crate::container::state::{State, Status};
use crate::{Engine, Error};

/// The first pause before a policy starts a container again; it doubles each time.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// A run of this length makes the next pause the first again, as in Docker.
const GOOD_RUN: i64 = 10;

impl Engine {
    /// Stops a container if it runs, and starts it.
    ///
    /// # Errors
    /// As stopping and starting.
    pub async fn restart(
        self: &Arc<Self>,
        name: &str,
        signal: Option<&str>,
        timeout: Option<i64>,
    ) -> Result<(), Error> {
        let container = self.containers.find(name)?;
        let _verb = container.verb.lock().await;
        if container.state().status.has_process() {
            let ended = self.end(&container, signal, timeout).await;
            ended.map_err(|error| error.during(format!("Cannot restart container {name}")))?;
            self.tell(&container, "stop");
        }
        container.change(|record| record.state.restart_count = 0)?;
        self.bring_up(&container, Instant::now()).await?;
        self.tell(&container, "restart");
        Ok(())
    }

    /// Whether the policy wants another run after the one that just ended.
    pub(crate) fn wants_restart(record: &Record) -> bool {
        let policy = &record.host_config.restart_policy;
        let State { exit_code, restart_count, stopped_by_user, .. } = record.state;
        match policy.name.as_str() {
            _ if stopped_by_user => false,
            "always" | "unless-stopped" => true,
            "on-failure" => {
                let tries = policy.maximum_retry_count;
                exit_code != 0 && (tries == 0 || i64::from(restart_count) < tries)
            }
            _ => false,
        }
    }

    /// Starts the container again after its pause, unless the user stops or removes it before.
    pub(crate) async fn restart_later(self: Arc<Self>, container: Arc<Container>) {
        let pause = container.with(|record| pause(&record.state));
        tokio::time::sleep(pause).await;
        let _verb = container.verb.lock().await;
        let state = container.state();
        if state.status != Status::Restarting || state.stopped_by_user {
            drop(container.change(|record| {
                if record.state.status == Status::Restarting {
                    record.state.status = Status::Exited;
                }
            }));
            return;
        }
        let counted = container.change(|record| record.state.restart_count += 1);
        if let Err(error) = counted.and(self.bring_up(&container, Instant::now()).await) {
            tracing::warn!(
                container = container.id,
                error = &error as &dyn std::error::Error,
                "can't restart it"
            );
        }
    }
}

/// How long to pause before the next run.
fn pause(state: &State) -> Duration {
    let ran = state.started_at.zip(state.finished_at).map(|(start, end)| end.as_second() - start.as_second());
    if ran.is_some_and(|seconds| seconds >= GOOD_RUN) {
        return FIRST_PAUSE;
    }
    let doublings = state.restart_count.min(16);
    FIRST_PAUSE.saturating_mul(1 << doublings).min(LONGEST_PAUSE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_minute() {
        let after = |restart_count| pause(&State { restart_count, ..State::default() });
        assert_eq!(after(0), FIRST_PAUSE);
        assert_eq!(after(3), Duration::from_millis(800));
        assert_eq!(after(30), LONGEST_PAUSE);
    }
}
