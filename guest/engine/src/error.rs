//! What can go wrong, by kind. `api` maps a kind to a status in one place. Texts are Docker's own where Docker
//! has one: clients and their tests compare them.

use std::path::PathBuf;

use crate::host_paths::NotShared;

/// What sort of failure an [`Error`] is, after moby's errdefs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The request makes no sense.
    InvalidParameter,
    /// The named thing isn't there.
    NotFound,
    /// It can't be done in the present state.
    Conflict,
    /// It already is as asked.
    NotModified,
    /// It is nobody's who doesn't prove who he is.
    Unauthorized,
    /// It isn't allowed.
    Forbidden,
    /// It isn't there in this engine.
    NotImplemented,
    /// Somebody whom it needs wants to be asked less often.
    TooManyRequests,
    /// Something it needs doesn't answer.
    Unavailable,
    /// Our fault or the machine's.
    System,
}

/// A failed engine call.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the fields are what the sentence names")]
pub enum Error {
    #[error("No such container: {0}")]
    NoSuchContainer(String),
    #[error("multiple IDs found with provided prefix: {0}")]
    AmbiguousId(String),
    #[error("invalid name or ID supplied: {0:?}")]
    NoId(String),
    #[error(
        "image with reference {image} was found but its platform ({found}) does not match the specified platform \
         ({wanted})"
    )]
    WrongPlatform { image: String, found: String, wanted: String },
    #[error("No such exec instance: {0}")]
    NoSuchExec(String),
    #[error("{0}")]
    CannotCommit(String),
    #[error("{0}")]
    CannotUpdate(String),
    #[error("Could not find the file {path} in container {container}")]
    NoSuchFile { path: String, container: String },
    #[error(
        "error while mounting volume '{}': failed to mount local volume: mount {device}:{}, flags: {flags:#x}{data}: {reason}",
        target.display(),
        target.display()
    )]
    VolumeMount { target: PathBuf, device: String, flags: u32, data: String, reason: String },
    #[error(
        "error while mounting volume '{}': error resolving passed in network volume address: {reason}",
        target.display()
    )]
    VolumeAddress { target: PathBuf, reason: String },
    #[error("can't look at the container's files: {step}")]
    View { step: &'static str, source: std::io::Error },
    #[error("get {0}: no such volume")]
    NoSuchVolume(String),
    #[error("error looking up volume plugin {0}: plugin \"{0}\" not found")]
    NoSuchDriver(String),
    #[error("Invalid container name ({0}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed")]
    InvalidName(String),
    #[error(
        "Conflict. The container name \"/{name}\" is already in use by container \"{id}\". \
         You have to remove (or rename) that container to be able to reuse that name."
    )]
    NameInUse { name: String, id: String },
    #[error("container {0} is not running")]
    NotRunning(String),
    #[error("cannot kill container: {name}: container {id} is not running")]
    KillNotRunning { name: String, id: String },
    #[error("Container {0} is already paused")]
    AlreadyPaused(String),
    #[error("Container {0} is not paused")]
    NotPaused(String),
    #[error("Container {0} is paused, unpause the container before exec")]
    ExecPaused(String),
    #[error("cannot start a paused container, try unpause instead")]
    StartPaused,
    #[error("container is marked for removal and cannot be started")]
    StartRemoving,
    #[error("container already started")]
    AlreadyStarted,
    #[error("container already stopped")]
    AlreadyStopped,
    #[error(
        "cannot remove container \"{name}\": container is {state}: stop the container before removing or force remove"
    )]
    RemoveRunning { name: String, state: &'static str },
    #[error("You cannot attach to a {0} container, {1}")]
    CannotAttach(&'static str, &'static str),
    #[error("exec command {0} is already running")]
    ExecRunning(String),
    #[error("exec command {0} has already run")]
    ExecOver(String),
    #[error("exec process is not running")]
    ExecEnded,
    #[error("remove {volume}: volume is in use - [{user}]")]
    VolumeInUse { volume: String, user: String },
    /// A field or a query that makes no sense; the text names it and says what would.
    #[error("{0}")]
    InvalidRequest(String),
    /// A field that this engine can't honour; it is refused rather than ignored.
    #[error("{field} is not supported by this engine yet: leave it out")]
    Unsupported { field: &'static str },
    #[error(transparent)]
    NotShared(#[from] NotShared),
    #[error("invalid mount config for type \"bind\": bind source path does not exist: {0}")]
    BindSourceMissing(String),
    /// The program can't be started: what Docker's client reports with exit code 126 or 127.
    #[error("failed to create task for container: failed to start the program: {message}")]
    ProgramRefused { message: String, code: i64 },
    /// A further process of a container can't be started.
    #[error("OCI runtime exec failed: exec failed: {message}")]
    ExecRefused { message: String },
    #[error("driver failed programming external connectivity on endpoint {name} ({endpoint})")]
    PortRefused { name: String, endpoint: String, source: Box<berth_network::Error> },
    #[error(transparent)]
    Network(#[from] berth_network::Error),
    #[error(
        "container sharing network namespace with another container or host cannot be connected to any other network"
    )]
    SharedNetwork,
    #[error("cannot connect container to host network - container must be created in host network mode")]
    HostNetwork,
    #[error(
        "container cannot be connected to multiple networks with one of the networks in private (none) mode"
    )]
    PrivateNetwork,
    #[error("'{0}' is a reserved name")]
    ReservedName(String),
    #[error("error while removing network: network {network} has active endpoints ({members})")]
    NetworkInUse { network: String, members: String },
    #[error("endpoint with name {container} already exists in network {network}")]
    InNetwork { container: String, network: String },
    #[error("container {container} is not connected to {article}network {network}")]
    NotInNetwork { container: String, article: &'static str, network: String },
    #[error("endpoint {0} not found")]
    NoSuchEndpoint(String),
    /// A failure on the way of something larger, which Docker names first.
    #[error("{doing}")]
    During { doing: String, source: Box<Self> },
    #[error("the container's guard {phase}")]
    Guard { phase: &'static str, source: std::io::Error },
    #[error("the container's guard ended before it answered")]
    GuardEnded,
    #[error("the container's guard sent something that makes no sense")]
    GuardNonsense { source: berth_guard::FrameError },
    #[error("the container's guard said nothing for {} s", .0.as_secs())]
    GuardSilent(std::time::Duration),
    #[error("configured logging driver does not support reading")]
    LogUnreadable,
    #[error("cannot join network namespace of a non running container: {0}")]
    JoinNotRunning(String),
    #[error("tried to kill container {0}, but did not receive an exit event")]
    WontDie(String),
    #[error("the container's description is incomplete")]
    Spec(#[from] oci_spec::OciSpecError),
    #[error(transparent)]
    Runtime(#[from] berth_runtime::Error),
    #[error("the log of the container can't be read")]
    Log { source: std::io::Error },
    #[error(transparent)]
    Image(#[from] berth_images::Error),
    /// Only here does it matter that it is the registry who refuses: all else it refuses is a failure of the engine's.
    #[error(transparent)]
    Login(berth_images::Error),
    #[error("can't make the folder {folder}")]
    Folder { folder: PathBuf, source: std::io::Error },
    /// A device that can't be looked at; the text is the kernel's.
    #[error("{0}")]
    NoDevice(String),
    #[error("can't read {path}")]
    Read { path: PathBuf, source: std::io::Error },
    #[error("can't write {path}")]
    Write { path: PathBuf, source: std::io::Error },
    #[error("can't remove {path}")]
    Remove { path: PathBuf, source: std::io::Error },
    #[error("{path} is corrupt")]
    Corrupt { path: PathBuf, source: serde_json::Error },
    #[error("can't encode {path}")]
    Encode { path: PathBuf, source: serde_json::Error },
    #[error("{path} has format {found} and this engine knows {known}: it was written by a newer one")]
    NewerFormat { path: PathBuf, found: u32, known: u32 },
    #[error("a task of the engine ended early")]
    Task(#[from] tokio::task::JoinError),
    #[error("no random numbers from the system")]
    Random,
}

impl Error {
    /// This failure, on the way of what `doing` says.
    pub(crate) fn during(self, doing: impl Into<String>) -> Self {
        Self::During { doing: doing.into(), source: Box::new(self) }
    }

    /// The message with its causes, on one line.
    pub(crate) fn describe(&self) -> String {
        let causes = std::iter::successors(Some(self as &dyn std::error::Error), |error| error.source());
        causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
    }

    /// What sort of failure this is.
    pub fn kind(&self) -> Kind {
        match self {
            Self::NoSuchContainer(_)
            | Self::NoSuchExec(_)
            | Self::NoSuchEndpoint(_)
            | Self::NoSuchFile { .. }
            | Self::WrongPlatform { .. }
            | Self::NoSuchVolume(_)
            | Self::NoSuchDriver(_) => Kind::NotFound,
            Self::AlreadyStarted | Self::AlreadyStopped => Kind::NotModified,
            Self::NameInUse { .. }
            | Self::NotRunning(_)
            | Self::KillNotRunning { .. }
            | Self::AlreadyPaused(_)
            | Self::ExecPaused(_)
            | Self::StartPaused
            | Self::StartRemoving
            | Self::RemoveRunning { .. }
            | Self::CannotAttach(..)
            | Self::ExecRunning(_)
            | Self::ExecOver(_)
            | Self::ExecEnded
            | Self::VolumeInUse { .. }
            | Self::CannotCommit(_)
            | Self::CannotUpdate(_)
            | Self::JoinNotRunning(_) => Kind::Conflict,
            Self::AmbiguousId(_)
            | Self::NoId(_)
            | Self::SharedNetwork
            | Self::HostNetwork
            | Self::PrivateNetwork
            | Self::InvalidName(_)
            | Self::InvalidRequest(_)
            | Self::NotShared(_)
            | Self::BindSourceMissing(_)
            | Self::ProgramRefused { .. }
            | Self::ExecRefused { .. } => Kind::InvalidParameter,
            Self::During { source, .. } => source.kind(),
            Self::Unsupported { .. } | Self::LogUnreadable => Kind::NotImplemented,
            Self::Image(error) | Self::Login(error) => match error.kind() {
                berth_images::Kind::InvalidParameter => Kind::InvalidParameter,
                berth_images::Kind::NotFound => Kind::NotFound,
                berth_images::Kind::Conflict => Kind::Conflict,
                berth_images::Kind::Unauthorized => Kind::Unauthorized,
                berth_images::Kind::Forbidden => Kind::Forbidden,
                berth_images::Kind::TooManyRequests => Kind::TooManyRequests,
                berth_images::Kind::Unavailable | berth_images::Kind::System => Kind::System,
            },
            Self::ReservedName(_)
            | Self::NetworkInUse { .. }
            | Self::InNetwork { .. }
            | Self::NotInNetwork { .. } => Kind::Forbidden,
            Self::Network(error) => match error.kind() {
                berth_network::Kind::InvalidParameter => Kind::InvalidParameter,
                berth_network::Kind::NotFound => Kind::NotFound,
                berth_network::Kind::Conflict => Kind::Conflict,
                berth_network::Kind::Forbidden => Kind::Forbidden,
                _ => Kind::System,
            },
            _ => Kind::System,
        }
    }
}
