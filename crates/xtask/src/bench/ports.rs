//! `cargo xtask bench ports`: what a published port carries, natively beside the bridge's own address and dockerd's ports,
//! and in the VM beside a client in the guest that asks at the bridge's address and QEMU's own forwarding of ports. Client
//! and server are one program of ours (`src/bin/load.rs`), the same everywhere; all take turns.

mod hostfwd;
mod site;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;
use serde_json::json;

use self::site::{CONTAINER_PORT, LOAD, Site};
use super::median;
use crate::build::{self, GUEST_TARGET, Profile};
use crate::container_image::ContainerImage;
use crate::peer::Engine;
use crate::step::{step, workspace_root};
use crate::{interrupt, setup};

/// What `cargo xtask bench ports` takes.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// How often each figure is taken.
    #[arg(long, default_value_t = 5)]
    runs: usize,
    /// How many seconds requests are counted for.
    #[arg(long, default_value_t = 3)]
    seconds: u64,
    /// How many clients ask at once.
    #[arg(long, default_value_t = 32)]
    clients: usize,
    /// How many bytes a download has.
    #[arg(long, default_value_t = 256 << 20)]
    bytes: u64,
    /// Only these places; both when none is named.
    #[arg(long, value_enum)]
    place: Option<Place>,
}

/// Where an engine runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Place {
    Native,
    Machine,
}

/// The name of the measured image.
const IMAGE: &str = "load:latest";

/// What is asked of one way to a server, each time in its turn.
type Way<'a> = (&'static str, Box<dyn Fn(&[&str]) -> anyhow::Result<f64> + 'a>);
/// Medians by work, then by way.
type Figures = BTreeMap<&'static str, BTreeMap<&'static str, f64>>;

/// Measures and prints.
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    setup::for_peers()?;
    build::guest_programs(Profile::Release)?;
    let folder = tempfile::tempdir().context("make a folder for the measured engines")?;
    let load = compile(folder.path())?;
    let archive = folder.path().join("image.tar");
    let program = std::fs::read(&load)?;
    let config = json!({ "Cmd": [LOAD, "serve", CONTAINER_PORT], "Env": ["PATH=/bin"] });
    let load_in_image = LOAD.trim_start_matches('/');
    ContainerImage::new(&config, &[(load_in_image, &program, 0o755)])?.save(IMAGE, &archive)?;
    let mut all = BTreeMap::new();
    if args.place != Some(Place::Machine) {
        all.insert("natively", natively(args, folder.path(), &archive, &load)?);
    }
    if args.place != Some(Place::Native) {
        all.insert("in the VM", in_the_machine(args, folder.path(), &archive, &load)?);
    }
    println!("{}", json!({ "bench": "ports", "runs": args.runs, "clients": args.clients, "medians": all }));
    Ok(())
}

/// Makes the program that asks and answers.
fn compile(folder: &Path) -> anyhow::Result<PathBuf> {
    let program = folder.join("load");
    let mut rustc = Command::new("rustc");
    rustc
        .args(["--edition", "2024", "-O", "--target", GUEST_TARGET, "-Ctarget-feature=+crt-static", "-o"])
        .arg(&program)
        .arg(workspace_root().join("crates/xtask/src/bin/load.rs"));
    step("compile the load", &mut rustc)?;
    Ok(program)
}

fn natively(args: &Args, folder: &Path, archive: &Path, load: &Path) -> anyhow::Result<Figures> {
    let ours = Site::open(Engine::Native, folder, archive, IMAGE)?;
    let theirs = Site::open(Engine::Dockerd, folder, archive, IMAGE)?;
    let ways: [Way<'_>; 4] = [
        ("published", Box::new(|work| ours.outside(load, &ours.published, work))),
        ("bridge address", Box::new(|work| ours.outside(load, &ours.bridge, work))),
        ("dockerd published", Box::new(|work| theirs.outside(load, &theirs.published, work))),
        ("dockerd bridge", Box::new(|work| theirs.outside(load, &theirs.bridge, work))),
    ];
    println!("\n  natively");
    measure(args, &ways)
}

fn in_the_machine(args: &Args, folder: &Path, archive: &Path, load: &Path) -> anyhow::Result<Figures> {
    let ours = Site::open(Engine::Machine, folder, archive, IMAGE)?;
    let ways: [Way<'_>; 3] = [
        ("published", Box::new(|work| ours.outside(load, &ours.published, work))),
        ("QEMU's hostfwd", Box::new(|work| hostfwd::figure(&ours, load, work))),
        ("bridge address, in the guest", Box::new(|work| ours.inside(IMAGE, &ours.bridge, work))),
    ];
    println!("\n  in the VM");
    let mut figures = measure(args, &ways)?;
    let paid = [
        ("what the host pays", "published", ours.published.as_str()),
        ("what it pays for QEMU's hostfwd", "QEMU's hostfwd", hostfwd::ADDRESS),
    ];
    for (name, way, address) in paid {
        figures.insert(name, price(args, &ours, load, way, address)?);
    }
    Ok(figures)
}

/// Takes every figure, all ways in turns, and prints each work's medians beside the first way's.
fn measure(args: &Args, ways: &[Way<'_>]) -> anyhow::Result<Figures> {
    let (clients, seconds) = (args.clients.to_string(), args.seconds.to_string());
    let bytes = args.bytes.to_string();
    let works: [(&'static str, Vec<&str>); 3] = [
        ("requests/s on kept connections", vec!["requests", &clients, &seconds]),
        ("requests/s, a connection each", vec!["connections", &clients, &seconds]),
        ("bytes/s of a download", vec!["bulk", &bytes]),
    ];
    let mut figures = Figures::new();
    for (name, work) in &works {
        let mut taken: BTreeMap<&'static str, Vec<f64>> = BTreeMap::new();
        for _ in 0..args.runs {
            for (way, take) in ways {
                interrupt::check()?;
                taken.entry(way).or_default().push(take(work).with_context(|| format!("{name}, {way}"))?);
            }
        }
        let medians: BTreeMap<_, _> = taken.into_iter().map(|(way, all)| (way, median(all))).collect();
        let first = medians.get(ways[0].0).copied().unwrap_or(f64::NAN);
        for (way, _) in ways {
            let own = medians.get(way).copied().unwrap_or(f64::NAN);
            println!("  {name:<32} {way:<30} {own:>14.0} {:>7.2}", first / own);
        }
        figures.insert(name, medians);
    }
    Ok(figures)
}

/// The seconds of processor that the daemon, its machine and the emulator take for the work of one way in.
fn price(
    args: &Args,
    site: &Site,
    load: &Path,
    way: &str,
    address: &str,
) -> anyhow::Result<BTreeMap<&'static str, f64>> {
    let (clients, seconds) = (args.clients.to_string(), args.seconds.to_string());
    let before = site.processor_seconds()?;
    let rate = site.outside(load, address, &["requests", &clients, &seconds])?;
    let between = site.processor_seconds()?;
    site.outside(load, address, &["bulk", &args.bytes.to_string()])?;
    let after = site.processor_seconds()?;
    // Requests are answered for half a second before they are counted.
    let requests = rate * (args.seconds as f64 + 0.5);
    let price = BTreeMap::from([
        ("processor µs per request", (between - before) * 1e6 / requests),
        ("processor s per GB", (after - between) * 1e9 / args.bytes as f64),
    ]);
    for (name, value) in &price {
        println!("  {name:<32} {way:<30} {value:>14.2}");
    }
    Ok(price)
}
