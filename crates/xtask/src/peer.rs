//! An engine to measure or to test from outside: ours natively, ours in the VM, or Debian's dockerd as the reference.
//!
//! Each has folders of its own; a native one has a network namespace too, so that nothing of the machine is touched.

use std::fs;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use crate::step::{berth_at, find_program, programs_dir};

/// Which engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Engine {
    /// Ours, on this machine.
    Native,
    /// Ours, in the VM.
    Machine,
    /// Debian's dockerd (package docker.io).
    Dockerd,
}

/// No engine takes longer to answer.
const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(20);

/// An engine that runs. When dropped, it ends.
pub(crate) struct Peer {
    engine: Engine,
    folder: PathBuf,
    process: Option<Child>,
    /// Its network namespace, as `ip netns` names it.
    network: Option<String>,
    /// dockerd's runtime called `under-test`.
    runtime: Option<PathBuf>,
    /// A folder whose programs come before the others.
    programs: Option<PathBuf>,
    /// The machine's shared folders have no device.
    is_over_vsock: bool,
    /// The dockerd to run; the one that is installed when none is named.
    dockerd: Option<PathBuf>,
}

impl Peer {
    /// Starts one in `folder`, which must be empty. It may reach `registry`, a port of its user's loopback, and asks
    /// there for Docker Hub's images.
    pub(crate) fn start(engine: Engine, folder: &Path, registry: u16) -> anyhow::Result<Self> {
        Self::of(engine, folder).begin(registry)
    }

    /// Starts ours in the VM, which runs the programs of the folder `programs` rather than others of their names.
    pub(crate) fn start_machine_with(folder: &Path, registry: u16, programs: &Path) -> anyhow::Result<Self> {
        let mut peer = Self::of(Engine::Machine, folder);
        peer.programs = Some(programs.to_path_buf());
        peer.begin(registry)
    }

    /// Starts ours in the VM, whose shared folders come over vsock.
    pub(crate) fn start_machine_over_vsock(folder: &Path, registry: u16) -> anyhow::Result<Self> {
        let mut peer = Self::of(Engine::Machine, folder);
        peer.is_over_vsock = true;
        peer.begin(registry)
    }

    fn of(engine: Engine, folder: &Path) -> Self {
        Self {
            engine,
            folder: folder.to_path_buf(),
            process: None,
            network: None,
            runtime: None,
            programs: None,
            is_over_vsock: false,
            dockerd: None,
        }
    }

    /// Starts Debian's dockerd, which knows the OCI runtime `runtime` as `under-test`.
    pub(crate) fn start_with_runtime(folder: &Path, registry: u16, runtime: &Path) -> anyhow::Result<Self> {
        let mut peer = Self::of(Engine::Dockerd, folder);
        peer.runtime = Some(runtime.to_path_buf());
        peer.begin(registry)
    }

    /// Starts a dockerd that isn't the installed one. What it starts itself lies beside it or in `../bin`.
    pub(crate) fn start_dockerd(folder: &Path, registry: u16, program: &Path) -> anyhow::Result<Self> {
        let mut peer = Self::of(Engine::Dockerd, folder);
        peer.dockerd = Some(program.to_path_buf());
        peer.begin(registry)
    }

    fn begin(self, registry: u16) -> anyhow::Result<Self> {
        let mut peer = self;
        match peer.engine {
            Engine::Machine => peer.start_machine(registry)?,
            Engine::Native | Engine::Dockerd => peer.start_native(registry)?,
        }
        let deadline = Instant::now() + PATIENCE;
        while UnixStream::connect(peer.socket()).is_err() {
            if Instant::now() > deadline {
                bail!("the engine doesn't listen on {}: {}", peer.socket().display(), peer.last_words());
            }
            std::thread::sleep(PAUSE);
        }
        Ok(peer)
    }

    /// Its Docker socket.
    pub(crate) fn socket(&self) -> PathBuf {
        match self.engine {
            Engine::Machine => self.folder.join("run/berth/docker.sock"),
            Engine::Native | Engine::Dockerd => self.folder.join("docker.sock"),
        }
    }

    /// The process of an engine that runs on this machine itself.
    pub(crate) fn process(&self) -> Option<u32> {
        self.process.as_ref().map(Child::id)
    }

    /// A program that runs where the engine's user does.
    pub(crate) fn beside(&self, program: &str) -> Command {
        let Some(network) = &self.network else { return Command::new(program) };
        let mut inside = Command::new("nsenter");
        inside.arg(format!("--net=/run/netns/{network}")).arg(program);
        inside
    }

    /// The `berth` command of the machine's user.
    pub(crate) fn berth(&self, args: &[&str]) -> Command {
        let mut berth = berth_at(&self.folder);
        berth.args(args).env_remove("DOCKER_HOST");
        berth
    }

    fn start_machine(&self, registry: u16) -> anyhow::Result<()> {
        let settings = self.folder.join("config/berth");
        fs::create_dir_all(&settings)?;
        let shares_over = if self.is_over_vsock { "vsock" } else { "virtio-fs" };
        let text = format!("{{\"host_ports\": [{registry}], \"shares_over\": \"{shares_over}\"}}");
        fs::write(settings.join("settings.json"), text)?;
        fs::write(settings.join("daemon.json"), daemon_json("host.docker.internal", registry))?;
        let mut start = berth_at(&self.folder);
        if let Some(programs) = &self.programs {
            let path = std::env::var_os("PATH").unwrap_or_default();
            let folders = std::iter::once(programs.clone()).chain(std::env::split_paths(&path));
            start.env("PATH", std::env::join_paths(folders)?);
        }
        let started = start.args(["start", "--machine", "emulated"]).status().context("run `berth start`")?;
        if !started.success() {
            bail!("the machine doesn't start");
        }
        Ok(())
    }

    fn start_native(&mut self, registry: u16) -> anyhow::Result<()> {
        let network = format!("berth-{:?}-{}", self.engine, std::process::id()).to_lowercase();
        run(Command::new("ip").args(["netns", "add", &network]))?;
        self.network = Some(network.clone());
        run(self.beside("ip").args(["link", "set", "lo", "up"]))?;
        let configuration = self.folder.join("daemon.json");
        fs::write(&configuration, daemon_json("127.0.0.1", registry))?;
        let at = |name: &str| self.folder.join(name).display().to_string();
        let listen = format!("unix://{}", at("docker.sock"));
        let program = match (self.engine, &self.dockerd) {
            (Engine::Dockerd, Some(program)) => program.clone(),
            (Engine::Dockerd, None) => {
                find_program("dockerd").context("dockerd isn't installed (docker.io)")?
            }
            _ => programs_dir().join("berth-guest"),
        };
        // A mount namespace: what an engine that is killed leaves mounted goes with it.
        let mut command = self.beside("unshare");
        if let Some(folder) = self.dockerd.as_deref().and_then(Path::parent) {
            let usual = std::env::var_os("PATH").unwrap_or_default();
            let own = [folder.to_path_buf(), folder.join("../bin")].into_iter();
            command.env("PATH", std::env::join_paths(own.chain(std::env::split_paths(&usual)))?);
        }
        command.args(["--mount", "--propagation", "private"]).arg(program);
        match self.engine {
            Engine::Dockerd => command
                .args(["--host", &listen, "--data-root", &at("data"), "--exec-root", &at("exec")])
                .args(["--pidfile", &at("pid"), "--config-file", &configuration.display().to_string()])
                .args(["--storage-driver", "overlay2", "--exec-opt", "native.cgroupdriver=cgroupfs"])
                .args(self.runtime.iter().flat_map(|runtime| {
                    ["--add-runtime".to_owned(), format!("under-test={}", runtime.display())]
                })),
            _ => command
                .args(["serve", "--listen", &listen, "--data-root", &at("data"), "--exec-root", &at("exec")])
                .args(["--cgroup-parent", &format!("/{network}"), "--name-prefix", "peer"])
                .args(["--config-file", &configuration.display().to_string()]),
        };
        let log = fs::File::create(self.log())?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        self.process = Some(command.spawn().context("start the engine")?);
        Ok(())
    }

    fn log(&self) -> PathBuf {
        self.folder.join("engine.log")
    }

    fn last_words(&self) -> String {
        let log = fs::read_to_string(self.log()).unwrap_or_default();
        log.lines().last().unwrap_or_default().to_owned()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        if self.engine == Engine::Machine {
            drop(berth_at(&self.folder).arg("stop").output());
        }
        if let Some(process) = &mut self.process {
            drop(Command::new("kill").arg(process.id().to_string()).status());
            drop(process.wait());
        }
        if let Some(network) = &self.network {
            drop(Command::new("ip").args(["netns", "del", network]).status());
        }
    }
}

fn daemon_json(host: &str, registry: u16) -> String {
    let address = format!("{host}:{registry}");
    serde_json::json!({
        "insecure-registries": [address], "registry-mirrors": [format!("http://{address}")],
        // What a suite leaves running ends with its engine.
        "live-restore": false,
    })
    .to_string()
}

fn run(command: &mut Command) -> anyhow::Result<()> {
    let output = command.output().with_context(|| format!("run {}", command.get_program().display()))?;
    if !output.status.success() {
        bail!("{}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}

/// Tells a Docker client that the engine is at `socket`, and its configuration in the folder `config`.
pub(crate) fn direct<'c>(client: &'c mut Command, socket: &Path, config: &Path) -> &'c mut Command {
    client.arg("--host").arg(format!("unix://{}", socket.display()));
    client.env("DOCKER_CONFIG", config).env_remove("DOCKER_HOST").stdin(Stdio::null())
}
