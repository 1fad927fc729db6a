//! The conversation with the guest's PID 1 ([`protocol::guest`]).

use std::io;
use std::time::{SystemTime, UNIX_EPOCH};

use protocol::control::{Problem, ProblemCode};
use protocol::guest::{FromGuest, HostHello, HostOs, Share, ToGuest};
use protocol::port::Wanted;
use protocol::vsock::CONTROL;
use tokio::net::UnixStream;
use tokio::net::unix::OwnedWriteHalf;
use tokio::sync::mpsc;

use crate::ports::Ports;
use crate::settings::Settings;
use crate::state::Shared;
use crate::{Error, certificates, daemon_json, pipe, proxies, subnets};

/// A guest that was greeted.
pub(crate) struct Guest {
    writer: OwnedWriteHalf,
    /// What it says; ends with the guest.
    pub(crate) messages: mpsc::Receiver<FromGuest>,
    /// What it was last told of the host.
    host_subnets: Vec<String>,
}

impl Guest {
    /// Connects as soon as PID 1 listens and greets it.
    pub(crate) async fn greet(settings: &Settings) -> Result<Self, Problem> {
        let hello = hello(settings)
            .map_err(|error| Problem { code: ProblemCode::Configuration, message: error.to_string() })?;
        let host_subnets = hello.host_subnets.clone();
        let mut stream = pipe::dial(&settings.vsock_socket(), CONTROL).await;
        let answer = exchange(&mut stream, hello).await.map_err(|error| Problem {
            code: ProblemCode::MachineDied,
            message: format!("the guest doesn't answer: {error}"),
        })?;
        match answer {
            FromGuest::Hello { version, .. } if protocol::VERSION.understands(version) => {}
            FromGuest::Hello { version, .. } => {
                return Err(Problem {
                    code: ProblemCode::Version,
                    message: format!(
                        "the VM image speaks protocol {version}, this daemon {}: build the image again",
                        protocol::VERSION
                    ),
                });
            }
            other => {
                return Err(Problem {
                    code: ProblemCode::Version,
                    message: format!("the guest's first message isn't a hello: {other:?}"),
                });
            }
        }
        let (mut reader, writer) = stream.into_split();
        let (sender, messages) = mpsc::channel(16);
        tokio::spawn(async move {
            while let Ok(message) = pipe::read(&mut reader).await {
                if sender.send(message).await.is_err() {
                    return;
                }
            }
        });
        Ok(Self { writer, messages, host_subnets })
    }

    /// Makes its set of ports the open one and answers.
    pub(crate) async fn publish(
        &mut self,
        generation: u64,
        wanted: &[Wanted],
        ports: &mut Ports,
        state: &Shared,
    ) {
        let outcomes = ports.reconcile(wanted).await;
        state.change(|status| status.ports = ports.shown());
        if let Err(error) = self.say(&ToGuest::Published { generation, outcomes }).await {
            tracing::warn!(%error, "the guest doesn't hear of its ports");
        }
    }

    /// Tells it the host's clock, and its subnets when they have changed.
    pub(crate) async fn follow_host(&mut self) -> io::Result<()> {
        self.say(&ToGuest::Clock { unix_nanos: now() }).await?;
        let host_subnets = subnets::of_host();
        if host_subnets != self.host_subnets {
            self.host_subnets.clone_from(&host_subnets);
            self.say(&ToGuest::Subnets { host_subnets }).await?;
        }
        Ok(())
    }

    /// Tells it something.
    pub(crate) async fn say(&mut self, message: &ToGuest) -> io::Result<()> {
        pipe::write(&mut self.writer, message).await
    }
}

async fn exchange(stream: &mut UnixStream, hello: HostHello) -> io::Result<FromGuest> {
    pipe::write(stream, &ToGuest::Hello(hello)).await?;
    pipe::read(stream).await
}

/// What this host says of itself.
fn hello(settings: &Settings) -> Result<HostHello, Error> {
    Ok(HostHello {
        version: protocol::VERSION,
        unix_nanos: now(),
        os: HostOs::Linux,
        shares: shares(settings),
        door: vmm::config::DOOR,
        host_subnets: subnets::of_host(),
        daemon_json: settings.daemon_json.clone(),
        files: daemon_json::files(settings)?,
        certificates: certificates::of_user(&settings.config_dir)?,
        proxies: proxies::of_host(&settings.host_ports),
    })
}

/// The shared folders, each as the user names it and as the file system does: a bind mount may name either.
fn shares(settings: &Settings) -> Vec<Share> {
    let mut shares = Vec::new();
    for share in settings.vmm_config().shares {
        let real = share.folder.canonicalize().ok().filter(|real| *real != share.folder);
        for folder in std::iter::once(share.folder).chain(real) {
            shares.push(Share { host: folder.to_string_lossy().into_owned(), name: share.name.clone() });
        }
    }
    shares
}

/// The host's clock, in nanoseconds since 1970.
pub(crate) fn now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_nanos()).unwrap_or_default()
}
