//! What happens when a container's process ends, whoever ended it.

use std::sync::Arc;

use jiff::Timestamp;

use crate::Engine;
use crate::container::Container;
use crate::container::record::Record;
use crate::container::state::Status;

/// How a process ended.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Exit {
    /// Its code; 128 + n for signal n.
    pub(crate) code: i64,
    /// Whether it met its memory limit.
    pub(crate) oom_killed: bool,
    /// When.
    pub(crate) at: Timestamp,
    /// Why, when it wasn't the program's own doing.
    pub(crate) reason: String,
}

impl Exit {
    /// The end of a container whose guard is gone: it was killed with it.
    pub(crate) fn with_its_guard() -> Self {
        Self {
            code: 137,
            oom_killed: false,
            at: Timestamp::now(),
            reason: "the container's guard ended, so the container was killed".to_owned(),
        }
    }

    /// Notes it in a container's record.
    pub(crate) fn note(&self, record: &mut Record) {
        record.state.ended(self.code, self.oom_killed, self.at);
        record.state.error.clone_from(&self.reason);
    }
}

impl Engine {
    /// Records an exit: clean up, write down, tell, and then what the restart policy or `--rm` wants. Runs
    /// without the verb lock: the verb that ended the process waits for this.
    pub(crate) async fn exited(self: &Arc<Self>, container: &Arc<Container>, exit: Exit) {
        // Written down first: whatever happens from here on, the exit is known. Told last, when everything of
        // the run is gone.
        if let Err(error) = container.write_exit(&exit) {
            tracing::error!(
                container = container.id,
                error = &error as &dyn std::error::Error,
                "its exit isn't recorded"
            );
        }
        self.tear_down(container).await;
        self.tell_networks_of(container, "disconnect");
        self.tell_volumes_of(container, "unmount");
        self.remove_exec_folder(container).await;
        for exec in std::mem::take(&mut *container.execs()).into_values() {
            exec.end(exit.code);
        }
        let mut attributes = container.attributes();
        attributes.insert("exitCode".to_owned(), exit.code.to_string());
        let started_at = container.state().started_at.unwrap_or(exit.at);
        let ran = exit.at.as_second().saturating_sub(started_at.as_second()).max(0);
        attributes.insert("execDuration".to_owned(), ran.to_string());
        if exit.oom_killed {
            self.tell(container, "oom");
        }
        let restart = {
            let mut after = container.record();
            exit.note(&mut after);
            Self::wants_restart(&after)
        };
        container.tell_exit(&exit, |record| {
            if restart {
                record.state.status = Status::Restarting;
            }
            // While the record is held: whoever looks because of the event finds the end, and whoever waits for the end
            // finds the event among the past ones.
            self.events.tell("container", "die", &container.id, attributes);
        });
        container.output.end();
        container.exited();
        if restart {
            tokio::spawn(self.clone().restart_later(container.clone()));
        } else if container.with(|record| record.host_config.auto_remove) {
            let (engine, container) = (self.clone(), container.clone());
            // Later, so that a verb that waits for the exit and holds the lock can end first.
            tokio::spawn(async move {
                let _verb = container.verb.lock().await;
                engine.remove_automatically(&container).await;
            });
        }
    }
}
