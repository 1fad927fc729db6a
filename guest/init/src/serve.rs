//! `berth-guest serve`: the engine on this machine, until SIGTERM or SIGINT.

mod machine;
mod pidfile;
mod reload;
mod servers;

use std::os::fd::{OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use berth_api::builds;
use berth_engine::{Config, Engine, HostPaths, Settings};
use berth_network::Defaults;
use berth_network::InnerPublisher;
use berth_network::native::NativePublisher;
use berth_network::publish::PortPublisher;
use protocol::guest::HostHello;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::daemon_json::{self, DaemonJson, Files, Reach, Tls};
use crate::listen::Address;
use crate::logs::Logs;
use crate::publish::HostPublisher;
use crate::sys;
use pidfile::Pidfile;
use servers::Servers;

/// What `berth-guest serve` takes. What is an option here and a key of daemon.json may be said in one of both places.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Where to listen: unix:///absolute/path, tcp://address:port, or fd://N for an inherited listener; several are fine.
    /// [default: unix:///run/berth/docker.sock]
    #[arg(short = 'H', long, visible_alias = "host")]
    listen: Vec<Address>,
    /// Persistent state: images, containers, volumes. [default: /var/lib/berth]
    #[arg(long)]
    data_root: Option<PathBuf>,
    /// State that ends with the machine: sockets, bundles, mounts. [default: /run/berth/engine]
    #[arg(long)]
    exec_root: Option<PathBuf>,
    /// The cgroup below which containers get theirs. [default: /berth]
    #[arg(long)]
    cgroup_parent: Option<String>,
    #[command(flatten)]
    tls: Tls,
    /// Put in front of interface and table names, so that two engines don't meet.
    #[arg(long, default_value = "berth")]
    name_prefix: String,
    /// The configuration, with dockerd's keys.
    #[arg(long)]
    config_file: Option<PathBuf>,
    /// What the host said of itself, when this runs in a VM.
    #[arg(long, hide = true)]
    hello: Option<PathBuf>,
    /// An open descriptor that leads to PID 1, when this runs in a VM.
    #[arg(long, hide = true)]
    host_link: Option<RawFd>,
    /// A listener for clients of the host's `tcp://` addresses, when this runs in a VM.
    #[arg(long, hide = true)]
    remote: Option<RawFd>,
}

/// What a VM around the engine gives it; natively all is none.
struct Machine {
    hello: Option<HostHello>,
    publisher: Option<Arc<HostPublisher>>,
    remote: Option<OwnedFd>,
}

/// What the configuration makes of the engine.
struct Plan {
    settings: Settings,
    builds: builds::Settings,
    networks: Defaults,
    reach: Reach,
    data_root: PathBuf,
    exec_root: PathBuf,
    cgroup_parent: String,
    /// The group of the unix sockets.
    group: Option<String>,
    pidfile: Option<PathBuf>,
}

/// Serves until told to end. Containers outlive the engine, but not the machine: in a VM it is the machine that ends.
pub(crate) fn run(args: Args) -> anyhow::Result<()> {
    sys::keep_heap_small();
    // Descriptors are adopted before anything else opens one.
    let publisher = args.host_link.map(sys::inherited).transpose().context("adopt the link to PID 1")?;
    let publisher = publisher.map(|link| Arc::new(HostPublisher::new(UnixStream::from(link))));
    let remote =
        args.remote.map(sys::inherited).transpose().context("adopt the listener for remote clients")?;
    let hello = args.hello.as_deref().map(machine::hello).transpose()?;
    let configured = read(&args, hello.as_ref()).and_then(|json| {
        let logs = Logs::begin(&json)?;
        Ok((logs, plan(&args, &json, hello.as_ref())?))
    });
    let (logs, plan) = match (configured, &publisher) {
        (Err(error), Some(publisher)) => {
            publisher.refuse_configuration(&format!("{error:#}")).context("tell PID 1")?;
            return Err(error);
        }
        (configured, _) => configured?,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("start the engine's threads")?;
    let _pidfile = plan.pidfile.clone().map(Pidfile::write).transpose()?;
    let machine = Machine { hello, publisher, remote };
    runtime.block_on(serve(args, machine, plan, logs))
}

/// The user's configuration: the file that was named, or the host's.
fn read(args: &Args, hello: Option<&HostHello>) -> anyhow::Result<DaemonJson> {
    match (&args.config_file, hello) {
        (Some(file), _) => DaemonJson::read(file, &args.said()),
        (None, Some(hello)) => DaemonJson::parse(&hello.daemon_json, true),
        (None, None) => Ok(DaemonJson::default()),
    }
}

/// Decides everything that the configuration leaves open.
fn plan(args: &Args, json: &DaemonJson, hello: Option<&HostHello>) -> anyhow::Result<Plan> {
    let files = hello.map_or(Files::Here, |hello| Files::OfHost(&hello.files));
    let default = Address::Unix("/run/berth/docker.sock".into());
    let reach = Reach::decide(json, &files, &args.tls, &args.listen, &default)?;
    let mut settings = daemon_json::settings(json, &files)?;
    settings.check().context("the defaults of new containers")?;
    settings.warnings = reach.warnings();
    let path = |flag: &Option<PathBuf>, key, default: &str| {
        let path = flag.clone().or(json.get(key)?).unwrap_or_else(|| PathBuf::from(default));
        std::path::absolute(&path).with_context(|| format!("{key} {path:?}"))
    };
    let exec_root = path(&args.exec_root, "exec-root", "/run/berth/engine")?;
    match hello {
        Some(hello) => machine::adapt(&mut settings, hello, &exec_root.join("certs.d"))?,
        None => settings.registries.certificates = Some(args.certificates()),
    }
    let cgroup_parent: Option<String> = args.cgroup_parent.clone().or(json.get("cgroup-parent")?);
    Ok(Plan {
        settings,
        builds: daemon_json::builds(json)?,
        networks: daemon_json::networks(json)?,
        reach,
        data_root: path(&args.data_root, "data-root", "/var/lib/berth")?,
        exec_root,
        cgroup_parent: cgroup_parent
            .filter(|parent| !parent.is_empty())
            .unwrap_or_else(|| "/berth".to_owned()),
        group: json.get::<String>("group")?.filter(|group| !group.is_empty()),
        pidfile: json.get::<PathBuf>("pidfile")?.filter(|path| !path.as_os_str().is_empty()),
    })
}

async fn serve(args: Args, machine: Machine, plan: Plan, logs: Logs) -> anyhow::Result<()> {
    let Machine { hello, publisher, remote } = machine;
    // Before the engine is open it takes no signal's default for an answer.
    let mut signals = Signals::take()?;
    let program = std::env::current_exe().context("find the engine's own program")?;
    let host: Arc<dyn PortPublisher> = match &publisher {
        Some(publisher) => {
            Arc::new(InnerPublisher::new(publisher.clone(), &args.name_prefix, machine::host_address())?)
        }
        None => Arc::new(NativePublisher::new(&args.name_prefix)?),
    };
    let in_machine = hello.is_some();
    let engine = Engine::open(Config {
        data_root: plan.data_root,
        exec_root: plan.exec_root,
        cgroup_parent: plan.cgroup_parent,
        avoid: args.hello.clone().map(machine::subnets).unwrap_or_default(),
        publisher: host,
        networks: plan.networks,
        settings: plan.settings,
        name_prefix: args.name_prefix.clone(),
        open_files: open_as_many_files_as_allowed(),
        guard_program: program.with_file_name("berth-guard"),
        door: hello.as_ref().map(machine::door),
        host_paths: hello.map_or(HostPaths::Native, machine::host_paths),
    })
    .await?;
    let mut servers = Servers::new(berth_api::routes::router(engine.clone(), plan.builds)?);
    servers.open(&plan.reach, plan.group.as_deref(), remote).await?;
    if let Some(publisher) = &publisher {
        publisher.engine_is_up().context("tell PID 1")?;
    }
    while signals.asks_to_reload().await {
        if let Err(error) = reload::run(&args, &engine, &logs) {
            tracing::error!("{error:#}");
        }
    }
    let settings = engine.settings();
    if in_machine || !settings.live_restore {
        engine.stop_all(settings.shutdown_timeout).await;
    }
    engine.leave().await;
    servers.end().await;
    Ok(())
}

/// Raises the engine's own limit: each client and each container is an open file. Returns what it was, which stays the
/// containers'.
fn open_as_many_files_as_allowed() -> Option<u64> {
    let limit = getrlimit(Resource::Nofile);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
    if let Err(error) = raised {
        tracing::warn!(%error, "can't raise the limit of open files");
    }
    limit.current
}

impl Args {
    /// The folder of registries' certificates: beside the configuration, or Docker's own.
    fn certificates(&self) -> PathBuf {
        let beside = self.config_file.as_ref().map(|file| file.with_file_name("certs.d"));
        beside.unwrap_or_else(|| PathBuf::from("/etc/docker/certs.d"))
    }

    /// What the command line says that is a key of daemon.json too.
    fn said(&self) -> Vec<(&'static str, String)> {
        let path = |path: &Option<PathBuf>| path.as_ref().map(|path| path.display().to_string());
        let hosts: Vec<String> = self.listen.iter().map(Address::to_string).collect();
        let hosts = (!hosts.is_empty()).then(|| format!("[{}]", hosts.join(" ")));
        let own = [
            ("hosts", hosts),
            ("data-root", path(&self.data_root)),
            ("exec-root", path(&self.exec_root)),
            ("cgroup-parent", self.cgroup_parent.clone()),
        ];
        let own = own.into_iter().filter_map(|(key, value)| Some((key, value?)));
        own.chain(self.tls.said()).collect()
    }
}

/// The signals that the engine knows.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

impl Signals {
    fn take() -> anyhow::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    /// Waits for the next; false is the wish to end.
    async fn asks_to_reload(&mut self) -> bool {
        tokio::select! {
            _ = self.terminate.recv() => false,
            _ = self.interrupt.recv() => false,
            _ = self.hang_up.recv() => true,
        }
    }
}
