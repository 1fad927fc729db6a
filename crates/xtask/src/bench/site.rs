//! An engine with one server behind a published port, and the ways to ask it and from it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::Context;

use super::load::{IMAGE, Load, PORT, PROGRAM};
use super::{memory, second_card};
use crate::interrupt;
use crate::peer::{self, Engine, Peer};

/// Its container.
pub(super) const SERVER: &str = "server";
/// Where that is published.
const PUBLISHED: u16 = 18_400;
/// What containers may reach of this machine's loopback, beside the second card.
pub(super) const HOST_PORT: u16 = 18_402;
/// A server answers by then.
const PATIENCE: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(50);
/// The kernel's unit of processors' time towards programs (`USER_HZ`), the same on every Linux.
const TICKS: f64 = 100.0;

/// An engine with its server; both end with the value.
pub(super) struct Site {
    peer: Peer,
    folder: PathBuf,
    /// The published address.
    pub(super) published: String,
    /// The container's own address.
    pub(super) bridge: String,
}

impl Site {
    /// Starts an engine and its server.
    pub(super) fn open(engine: Engine, folder: &Path, load: &Load) -> anyhow::Result<Self> {
        let folder = folder.join(format!("{engine:?}"));
        fs::create_dir(&folder)?;
        let peer = match engine {
            Engine::Machine => {
                Peer::start_machine_with(&folder, HOST_PORT, &second_card::lay_emulator(&folder)?)?
            }
            Engine::Native | Engine::Dockerd => Peer::start(engine, &folder, HOST_PORT)?,
        };
        let published = format!("127.0.0.1:{PUBLISHED}");
        let mut site = Self { peer, folder, published, bridge: String::new() };
        site.docker(&["load", "--quiet", "--input", &load.archive.to_string_lossy()])?;
        let port = format!("{}:{PORT}", site.published);
        site.docker(&["run", "--detach", "--name", SERVER, "--publish", &port, IMAGE])?;
        let address = ["inspect", "--format", "{{.NetworkSettings.Networks.bridge.IPAddress}}", SERVER];
        site.bridge = format!("{}:{PORT}", site.docker(&address)?);
        site.wait()?;
        if engine == Engine::Machine {
            second_card::serve(&site, &site.folder)?;
        }
        Ok(site)
    }

    /// A figure of the published or the container's address, taken from where the engine's user is.
    pub(super) fn outside(&self, load: &Load, address: &str, work: &[&str]) -> anyhow::Result<f64> {
        let mut command = self.peer.beside(&load.program.to_string_lossy());
        command.args(arguments(address, work));
        figure(&interrupt::output(&mut command)?.stdout)
    }

    /// A figure taken from the engine's own network namespace.
    pub(super) fn inside(&self, address: &str, work: &[&str]) -> anyhow::Result<f64> {
        let run = ["run", "--rm", "--network", "host", IMAGE, PROGRAM];
        let said = self.docker(&[&run[..], &arguments(address, work)].concat())?;
        figure(said.as_bytes())
    }

    /// A figure that a running container takes.
    pub(super) fn in_container(&self, container: &str, address: &str, work: &[&str]) -> anyhow::Result<f64> {
        let said = self.docker(&[&["exec", container, PROGRAM][..], &arguments(address, work)].concat())?;
        figure(said.as_bytes())
    }

    /// The seconds that the machine's processes have had of a processor.
    pub(super) fn processor_seconds(&self) -> anyhow::Result<f64> {
        let machine = self.machine()?;
        let emulator = memory::child_of(machine).context("the machine has no emulator")?;
        [self.daemon()?, machine, emulator].into_iter().map(processor_seconds).sum()
    }

    /// The machine's own process.
    pub(super) fn machine(&self) -> anyhow::Result<u32> {
        memory::child_of(self.daemon()?).context("the daemon has no machine")
    }

    fn daemon(&self) -> anyhow::Result<u32> {
        let lock = self.folder.join("run/berth/hostd.lock");
        Ok(fs::read_to_string(&lock).context("the daemon doesn't run")?.trim().parse()?)
    }

    fn wait(&self) -> anyhow::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while let Err(error) = self.inside(&self.bridge, &["bulk", "1"]) {
            if Instant::now() > deadline {
                return Err(error.context("the server doesn't answer"));
            }
            std::thread::sleep(PAUSE);
        }
        Ok(())
    }

    /// Runs the `docker` client to its end; returns what it prints.
    pub(super) fn docker(&self, args: &[&str]) -> anyhow::Result<String> {
        let output = interrupt::output(&mut self.client(args));
        let output = output.with_context(|| format!("docker {}", args.join(" ")))?;
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    /// The `docker` client, aimed at this engine.
    pub(super) fn client(&self, args: &[&str]) -> Command {
        let mut docker = Command::new("docker");
        peer::direct(&mut docker, &self.peer.socket(), &self.folder).args(args);
        docker
    }
}

/// The work's name, then the address, then the rest.
fn arguments<'a>(address: &'a str, work: &[&'a str]) -> Vec<&'a str> {
    let (name, rest) = work.split_at(1.min(work.len()));
    [name, &[address], rest].concat()
}

fn figure(said: &[u8]) -> anyhow::Result<f64> {
    let text = String::from_utf8_lossy(said);
    text.trim().parse().with_context(|| format!("the load says {:?}", text.trim()))
}

/// The fields `utime` and `stime` of `/proc/PID/stat` (proc(5)); the name before them may hold anything.
fn processor_seconds(process: u32) -> anyhow::Result<f64> {
    let text = fs::read_to_string(format!("/proc/{process}/stat"))?;
    let (_, fields) = text.rsplit_once(')').context("no name")?;
    let ticks: Vec<f64> =
        fields.split_whitespace().skip(11).take(2).map(str::parse).collect::<Result<_, _>>()?;
    Ok(ticks.iter().sum::<f64>() / TICKS)
}
