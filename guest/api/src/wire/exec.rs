//! Execs on the wire (API 1.51, `ExecConfig`, `ExecInspectResponse`).

use berth_engine::exec::{Exec, ExecConfig, ExecState};
use serde::{Deserialize, Serialize};

/// `POST /containers/{id}/exec`'s body.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct CreateRequest {
    user: Option<String>,
    privileged: bool,
    tty: bool,
    attach_stdin: bool,
    attach_stdout: bool,
    attach_stderr: bool,
    // Go decodes names whatever their case, and docker-py relies on it.
    #[serde(alias = "detachKeys")]
    detach_keys: Option<String>,
    env: Option<Vec<String>>,
    working_dir: Option<String>,
    cmd: Option<Vec<String>>,
    console_size: Option<[u16; 2]>,
}

impl From<CreateRequest> for ExecConfig {
    fn from(request: CreateRequest) -> Self {
        Self {
            cmd: request.cmd.unwrap_or_default(),
            env: request.env.unwrap_or_default(),
            user: request.user.unwrap_or_default(),
            working_dir: request.working_dir.unwrap_or_default(),
            tty: request.tty,
            privileged: request.privileged,
            attach_stdin: request.attach_stdin,
            attach_stdout: request.attach_stdout,
            attach_stderr: request.attach_stderr,
            detach_keys: request.detach_keys.unwrap_or_default(),
            console_size: request.console_size,
        }
    }
}

/// `POST /exec/{id}/start`'s body.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct StartRequest {
    pub(crate) detach: bool,
    pub(crate) tty: bool,
    pub(crate) console_size: Option<[u16; 2]>,
}

/// `GET /exec/{id}/json`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Inspect {
    #[serde(rename = "ID")]
    id: String,
    running: bool,
    exit_code: Option<i64>,
    process_config: ProcessConfig,
    open_stdin: bool,
    open_stderr: bool,
    open_stdout: bool,
    can_remove: bool,
    #[serde(rename = "ContainerID")]
    container_id: String,
    detach_keys: String,
    pid: i32,
}

#[derive(Debug, Serialize)]
struct ProcessConfig {
    tty: bool,
    entrypoint: String,
    arguments: Vec<String>,
    privileged: bool,
    #[serde(skip_serializing_if = "String::is_empty")]
    user: String,
}

impl Inspect {
    /// The details of an exec.
    pub(crate) fn new(exec: &Exec) -> Self {
        let (running, exit_code, pid) = match exec.state() {
            ExecState::Created => (false, None, 0),
            ExecState::Starting => (true, None, 0),
            ExecState::Running { pid } => (true, None, pid),
            ExecState::Refused { code, .. } => (false, Some(code), 0),
            ExecState::Exited { code, pid } => (false, Some(code), pid),
        };
        let mut cmd = exec.config.cmd.iter().cloned();
        Self {
            id: exec.id.clone(),
            running,
            exit_code,
            process_config: ProcessConfig {
                tty: exec.config.tty,
                entrypoint: cmd.next().unwrap_or_default(),
                arguments: cmd.collect(),
                privileged: exec.config.privileged,
                user: exec.config.user.clone(),
            },
            open_stdin: exec.config.attach_stdin,
            open_stderr: exec.config.attach_stderr,
            open_stdout: exec.config.attach_stdout,
            can_remove: exit_code.is_some(),
            container_id: exec.container.id.clone(),
            detach_keys: exec.config.detach_keys.clone(),
            pid,
        }
    }
}
