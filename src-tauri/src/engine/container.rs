//! Containers: how the page sees them, and what it can do with them.

use bollard::Docker;
use bollard::models::{ContainerSummary, ContainerSummaryStateEnum as State, PortSummary};
use bollard::query_parameters::{
    ListContainersOptions, RemoveContainerOptions, StartContainerOptions, StopContainerOptions,
};
use serde::Serialize;
use ts_rs::TS;

use crate::failure::Failure;

/// One container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
pub(crate) struct Container {
    /// Its id, in full.
    pub(crate) id: String,
    /// Its name, without Docker's slash.
    pub(crate) name: String,
    /// The image it was made from, as it was asked for.
    pub(crate) image: String,
    /// What runs in it.
    pub(crate) command: String,
    /// What it does.
    pub(crate) state: ContainerState,
    /// The exit code, when it has ended.
    pub(crate) exit_code: Option<i32>,
    /// When it was made, in seconds since 1970.
    pub(crate) created: i64,
    /// Its ports.
    pub(crate) ports: Vec<Port>,
}

/// What a container does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, TS)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ContainerState {
    /// Made, never started.
    Created,
    /// Its process runs.
    Running,
    /// Its processes are frozen.
    Paused,
    /// Between two runs.
    Restarting,
    /// Its process ended.
    Exited,
    /// On its way out.
    Removing,
    /// It can't be used any more.
    Dead,
}

/// One port.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, TS)]
pub(crate) struct Port {
    /// On this computer, when it is published.
    pub(crate) public: Option<u16>,
    /// In the container.
    pub(crate) private: u16,
    /// `tcp`, `udp` or `sctp`.
    pub(crate) transport: String,
}

/// All containers, the running ones first, then the newest.
pub(crate) async fn list(docker: &Docker) -> Result<Vec<Container>, Failure> {
    let all = ListContainersOptions { all: true, ..ListContainersOptions::default() };
    let mut containers: Vec<_> =
        docker.list_containers(Some(all)).await?.into_iter().map(Container::from).collect();
    containers.sort_by_key(|container| (!container.is_up(), -container.created, container.name.clone()));
    Ok(containers)
}

/// Starts one.
pub(crate) async fn start(docker: &Docker, id: &str) -> Result<(), Failure> {
    Ok(docker.start_container(id, None::<StartContainerOptions>).await?)
}

/// Stops one.
pub(crate) async fn stop(docker: &Docker, id: &str) -> Result<(), Failure> {
    Ok(docker.stop_container(id, None::<StopContainerOptions>).await?)
}

/// Removes one, running or not, with the volumes that have no name.
pub(crate) async fn remove(docker: &Docker, id: &str) -> Result<(), Failure> {
    let options = RemoveContainerOptions { force: true, v: true, ..RemoveContainerOptions::default() };
    Ok(docker.remove_container(id, Some(options)).await?)
}

impl Container {
    fn is_up(&self) -> bool {
        matches!(self.state, ContainerState::Running | ContainerState::Paused | ContainerState::Restarting)
    }
}

impl From<ContainerSummary> for Container {
    fn from(summary: ContainerSummary) -> Self {
        let state = match summary.state {
            Some(State::RUNNING | State::STOPPING) => ContainerState::Running,
            Some(State::PAUSED) => ContainerState::Paused,
            Some(State::RESTARTING) => ContainerState::Restarting,
            Some(State::EXITED) => ContainerState::Exited,
            Some(State::REMOVING) => ContainerState::Removing,
            Some(State::DEAD) => ContainerState::Dead,
            Some(State::CREATED | State::EMPTY) | None => ContainerState::Created,
        };
        let name = summary.names.unwrap_or_default().into_iter().next().unwrap_or_default();
        Self {
            id: summary.id.unwrap_or_default(),
            name: name.trim_start_matches('/').to_owned(),
            image: summary.image.unwrap_or_default(),
            command: summary.command.unwrap_or_default(),
            state,
            exit_code: exit_code(summary.status.as_deref().unwrap_or_default()),
            created: summary.created.unwrap_or_default(),
            ports: ports(summary.ports.unwrap_or_default()),
        }
    }
}

/// The code in `Exited (137) 2 minutes ago`: a listing has it nowhere else.
fn exit_code(status: &str) -> Option<i32> {
    let (code, _) = status.strip_prefix("Exited (")?.split_once(')')?;
    code.parse().ok()
}

/// A port that is published on IPv4 and on IPv6 is one port.
fn ports(summaries: Vec<PortSummary>) -> Vec<Port> {
    let transport = |port: &PortSummary| port.typ.map(|kind| kind.to_string()).unwrap_or_default();
    let mut ports: Vec<Port> = summaries
        .into_iter()
        .map(|port| Port {
            public: port.public_port,
            private: port.private_port,
            transport: transport(&port),
        })
        .collect();
    ports.sort();
    ports.dedup();
    ports
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exit_code_is_read_from_dockers_sentence() {
        assert_eq!(exit_code("Exited (137) 2 minutes ago"), Some(137));
        assert_eq!(exit_code("Up 3 seconds"), None);
    }

    #[test]
    fn a_port_on_both_address_families_is_shown_once() {
        let port = |ip: &str| PortSummary {
            ip: Some(ip.to_owned()),
            private_port: 80,
            public_port: Some(8080),
            typ: Some(bollard::models::PortSummaryTypeEnum::TCP),
        };
        assert_eq!(ports(vec![port("0.0.0.0"), port("::")]).len(), 1);
    }
}
