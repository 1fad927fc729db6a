//! The host daemon's status as the page gets it.

use protocol::control::Status;
use protocol::machine;
use serde::Serialize;
use ts_rs::TS;

use crate::failure::Failure;

/// The host daemon, seen from here.
#[derive(Debug, Clone, PartialEq, Serialize, TS)]
#[serde(tag = "presence", rename_all = "snake_case")]
pub(crate) enum Daemon {
    /// It wasn't asked yet.
    Unknown,
    /// It isn't running.
    Absent,
    /// It won't talk to this window.
    Refusing {
        /// Why not.
        failure: Failure,
    },
    /// It runs and says this.
    Present {
        /// The machine.
        machine: Machine,
    },
}

/// The machine.
#[derive(Debug, Clone, PartialEq, Serialize, TS)]
pub(crate) struct Machine {
    /// As a whole.
    pub(crate) state: MachineState,
    /// Its kind in a word, once it is chosen.
    pub(crate) kind: Option<String>,
    /// What went wrong.
    pub(crate) problem: Option<Failure>,
    /// The phases of the latest start or stop, in order.
    pub(crate) phases: Vec<Phase>,
    /// The Docker socket, for people who use other clients too.
    pub(crate) docker_socket: String,
    /// Open published ports, as `address:port/transport`.
    pub(crate) ports: Vec<String>,
}

/// The machine as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, TS)]
#[serde(rename_all = "snake_case")]
pub(crate) enum MachineState {
    /// No machine and nothing wrong.
    Stopped,
    /// On its way up.
    Starting,
    /// The Docker API answers.
    Running,
    /// On its way down.
    Stopping,
    /// It can't run.
    Failed,
}

/// One step of a start or a stop.
#[derive(Debug, Clone, PartialEq, Serialize, TS)]
pub(crate) struct Phase {
    /// Its name.
    pub(crate) name: String,
    /// What it waits for.
    pub(crate) waits_for: String,
    /// When it began, in milliseconds since the start or stop was asked for.
    pub(crate) began_ms: u64,
    /// How long it took; none while it lasts.
    pub(crate) took_ms: Option<u64>,
    /// When it is given up, in milliseconds after it began.
    pub(crate) deadline_ms: u64,
}

impl Daemon {
    /// Where the Docker API answers, when it does.
    pub(crate) fn docker_socket(&self) -> Option<String> {
        match self {
            Self::Present { machine } if machine.state == MachineState::Running => {
                Some(machine.docker_socket.clone())
            }
            _ => None,
        }
    }
}

impl From<Status> for Daemon {
    fn from(status: Status) -> Self {
        let state = match status.state {
            machine::State::Stopped => MachineState::Stopped,
            machine::State::Starting => MachineState::Starting,
            machine::State::Running => MachineState::Running,
            machine::State::Stopping => MachineState::Stopping,
            machine::State::Failed => MachineState::Failed,
        };
        let kind = status.machine.map(|kind| match kind {
            machine::Kind::Auto => "auto".to_owned(),
            machine::Kind::Emulated => "emulated".to_owned(),
        });
        let machine = Machine {
            state,
            kind,
            problem: status.problem.map(Failure::from),
            phases: status.phases.into_iter().map(Phase::from).collect(),
            docker_socket: status.docker_socket,
            ports: status.ports,
        };
        Self::Present { machine }
    }
}

impl From<machine::Phase> for Phase {
    fn from(phase: machine::Phase) -> Self {
        let machine::Phase { name, waits_for, began_ms, took_ms, deadline_ms } = phase;
        Self { name, waits_for, began_ms, took_ms, deadline_ms }
    }
}
