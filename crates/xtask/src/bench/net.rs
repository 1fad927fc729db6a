//! `cargo xtask bench net`: the VM's way out, by our user-mode network beside QEMU's own, from two containers of one
//! machine to a server on this one; both take turns. Then thousands of idle connections, and what they cost.

mod idle;

use std::collections::BTreeMap;
use std::net::TcpStream;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde_json::json;

use super::load::Load;
use super::second_card;
use super::site::{HOST_PORT, SERVER, Site};
use super::turns::{Extent, Way, Work, measure};
use crate::build::{self, Profile};
use crate::peer::Engine;
use crate::{image, setup};

/// What `cargo xtask bench net` takes.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    extent: Extent,
    /// How many clients ask at once.
    #[arg(long, default_value_t = 16)]
    clients: usize,
    /// How many bytes a download and an upload have.
    #[arg(long, default_value_t = 128 << 20)]
    bytes: u64,
    /// How many connections are idle.
    #[arg(long, default_value_t = 5000)]
    flows: usize,
}

/// `host.docker.internal` in the VM (docs/network.md).
const HOST: &str = "10.0.2.100";
/// The server listens by then.
const PATIENCE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(20);

/// A way out: its name, the container that takes it, and where it leads to this machine's loopback.
type Out = (&'static str, &'static str, String);

/// Measures and prints.
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    setup::for_peers()?;
    if !args.extent.built {
        image::run(&image::Args::default())?;
        build::host_programs(Profile::Release)?;
    }
    let folder = tempfile::tempdir().context("make a folder for the measured machine")?;
    let load = Load::make(folder.path())?;
    idle::make_room(args.flows)?;
    let _server = Server::start(&load)?;
    let site = &Site::open(Engine::Machine, folder.path(), &load)?;
    let outs: [Out; 2] = [
        ("our network", SERVER, format!("{HOST}:{HOST_PORT}")),
        ("QEMU's", second_card::CONTAINER, format!("{}:{HOST_PORT}", second_card::GATEWAY)),
    ];
    let ways: Vec<Way<'_>> = outs.iter().map(|out| way(site, out)).collect();
    let (clients, seconds) = (args.clients.to_string(), args.extent.seconds.to_string());
    let bytes = args.bytes.to_string();
    let works: [Work<'_>; 5] = [
        ("bytes/s of a download", vec!["bulk", &bytes]),
        ("bytes/s of an upload", vec!["upload", &bytes]),
        ("requests/s on kept connections", vec!["requests", &clients, &seconds]),
        ("requests/s, a connection each", vec!["connections", &clients, &seconds]),
        ("datagrams/s there and back", vec!["datagrams", &clients, &seconds]),
    ];
    println!();
    let mut medians = measure(args.extent.runs, &works, &ways)?;
    for (name, kind) in [("processor s per GB down", "bulk"), ("processor s per GB up", "upload")] {
        medians.insert(name, price(site, &outs, (name, kind), args.bytes)?);
    }
    let held = idle::hold(site, &outs[0].2, args.flows)?;
    println!("{}", json!({ "bench": "net", "runs": args.extent.runs, "medians": medians, "idle": held }));
    Ok(())
}

fn way<'a>(site: &'a Site, (name, container, address): &'a Out) -> Way<'a> {
    (name, Box::new(move |work| site.in_container(container, address, work)))
}

/// The seconds of processor that the daemon, its machine and the emulator take to carry bytes, without those for a single
/// byte: what it takes to ask for them.
fn price(
    site: &Site,
    outs: &[Out],
    (name, kind): (&str, &str),
    bytes: u64,
) -> anyhow::Result<BTreeMap<&'static str, f64>> {
    let mut price = BTreeMap::new();
    for (way, container, address) in outs {
        let takes = |bytes: u64| {
            let before = site.processor_seconds()?;
            site.in_container(container, address, &[kind, &bytes.to_string()])?;
            anyhow::Ok(site.processor_seconds()? - before)
        };
        let value = (takes(bytes)? - takes(1)?) * 1e9 / bytes as f64;
        println!("  {name:<32} {way:<30} {value:>14.2}");
        price.insert(*way, value);
    }
    Ok(price)
}

/// The server on this machine; it ends with the value.
struct Server(Child);

impl Server {
    fn start(load: &Load) -> anyhow::Result<Self> {
        let mut command = std::process::Command::new(&load.program);
        command.args(["serve", &HOST_PORT.to_string()]).stdin(Stdio::null());
        let mut server = Self(command.spawn().context("start a server")?);
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect(("127.0.0.1", HOST_PORT)).is_err() {
            let ended = server.0.try_wait()?;
            if ended.is_some() || Instant::now() > deadline {
                bail!("no server listens on port {HOST_PORT}: is it taken?");
            }
            std::thread::sleep(PAUSE);
        }
        Ok(server)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}
