//! `cargo xtask bench images`: pull, push, load, save, rmi and prune of images in few and many layers, and builds,
//! beside dockerd and podman on this machine, in turns, with the same registry's content and on the same disk.

mod builds;
mod floor;
mod lives;
mod made;
mod tap;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::Context;
use serde_json::{Value, json};

use self::floor::Packing;
use self::lives::Subject;
use super::api::Api;
use super::podman::Podman;
use super::{mebibytes, median};
use crate::build::{self, Profile};
use crate::container_image::ContainerImage;
use crate::disk::Disk;
use crate::peer::{self, Engine, Peer};
use crate::registry::Registry;
use crate::{interrupt, setup};

/// What `cargo xtask bench images` takes.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// How often each is done.
    #[arg(long, default_value_t = 5)]
    runs: usize,
    /// An image's files together, in MiB before compression: 120 is about 50 on the way. 2400 is 1 GB.
    #[arg(long, default_value_t = 120)]
    size: u64,
    /// The images' numbers of layers.
    #[arg(long, value_delimiter = ',', default_value = "1,10,60")]
    layers: Vec<u64>,
    /// How the layers are compressed that are pulled.
    #[arg(long, value_enum, default_value = "gzip")]
    packing: Packing,
    /// The dockerd to measure beside ours, with its containerd and runc beside it or in ../bin; else the installed one.
    #[arg(long)]
    dockerd: Option<PathBuf>,
    /// The files of the large build context.
    #[arg(long, default_value_t = 50_000)]
    files: usize,
    /// Measures the programs in target/berth as they are, instead of building them for release.
    #[arg(long)]
    built: bool,
}

/// The image that builds start from.
const SMALL: &str = "bench:latest";
/// Where images are pulled from.
const SOURCE: u16 = 5000;

/// An engine under measurement.
struct Measured {
    peer: Peer,
    folder: PathBuf,
}

/// What was done, and the medians of ours and theirs, in seconds.
type Rows = Vec<(String, (f64, f64))>;

/// Measures and prints.
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    setup::for_peers()?;
    if !args.built {
        build::guest_programs(Profile::Release)?;
    }
    let folder = tempfile::tempdir().context("make a folder for the measured engines")?;
    let disk = Disk::make(folder.path())?;
    let registry = folder.path().join("registry");
    let small = folder.path().join("small.tar");
    ContainerImage::new(&json!({ "Env": ["PATH=/bin"] }), &[])?.save(SMALL, &small)?;
    let start = |engine| Measured::start(engine, args, disk.place(), &small);
    let mut engines = [start(Engine::Native)?, start(Engine::Dockerd)?];
    let mut podman = Podman::start(disk.place(), &small)?;
    // So that pruning leaves it.
    podman.call(&["create", SMALL, "true"])?;
    let places = engines
        .iter()
        .map(|engine| Registry::start(|program| engine.peer.beside(program), &registry, SOURCE));
    let mut sources = places.collect::<anyhow::Result<Vec<_>>>()?;
    sources.push(Registry::start(|program| podman.beside(program), &registry, SOURCE)?);
    let (mut rows, mut floors) = (Rows::new(), Rows::new());
    rows.push((
        "docker version".to_owned(),
        both(&mut engines, args.runs, |engine| engine.docker(&["version"]))?,
    ));
    builds::measure(&engines, &podman, folder.path(), args, &mut rows)?;
    let mut memory = vec![("memory, peak of builds".to_owned(), peaks(&engines)?)];
    let files = made::files(args.size << 20)?;
    for layers in &args.layers {
        let name = format!("127.0.0.1:{SOURCE}/bench/l{layers}:v1");
        let archive = folder.path().join("image.tar");
        let subject = Subject { layers: *layers, name, archive, packing: args.packing };
        let mut images = 0;
        let mut make = |engines: &mut [Measured; 2]| {
            let mut archive = || {
                images += 1;
                made::archive(&subject.name, &files, (*layers, images), &subject.archive)
            };
            let known = floor::layers(&registry, args.packing).unwrap_or_default();
            archive()?;
            publish(&mut engines[1], &subject)?;
            if args.packing == Packing::Zstd {
                builds::repack(&engines[0], &subject, &registry)?;
            }
            archive()?;
            let mut blobs = floor::layers(&registry, args.packing)?;
            blobs.retain(|blob| !known.contains(blob));
            Ok(blobs)
        };
        let (lives, floor) = lives::measure(&mut engines, &mut podman, &subject, &mut make, args)?;
        let pull = lives[0].1;
        let floor_name = format!("pull, {layers} layers, to {}|tar", args.packing.program());
        floors.push((floor_name, (pull.0, floor)));
        rows.extend(lives);
        memory.push((format!("memory, peak of {layers} layers"), peaks(&engines)?));
    }
    drop(sources);
    rows.extend(floors);
    print(&rows, &memory, args);
    Ok(())
}

fn print(rows: &Rows, memory: &[(String, [f64; 2])], args: &Args) {
    println!("\n  {:<52} {:>10} {:>10} {:>7}", "median", "ours", "peer", "ratio");
    for (name, (ours, theirs)) in rows {
        println!("  {name:<52} {ours:>8.3} s {theirs:>8.3} s {:>7.2}", ours / theirs);
    }
    for (name, [ours, theirs]) in memory {
        println!("  {name:<52} {ours:>6.0} MiB {theirs:>6.0} MiB {:>7.2}", ours / theirs);
    }
    let seconds: serde_json::Map<String, Value> =
        rows.iter().map(|(name, pair)| (name.clone(), json!(pair))).collect();
    println!(
        "{}",
        json!({
            "bench": "images", "runs": args.runs, "mebibytes": args.size, "seconds": seconds,
            "peak_mebibytes": memory.iter().cloned().collect::<BTreeMap<_, _>>(),
        })
    );
}

impl Measured {
    fn start(engine: Engine, args: &Args, folder: &Path, small: &Path) -> anyhow::Result<Self> {
        let folder = folder.join(format!("{engine:?}"));
        fs::create_dir(&folder)?;
        let peer = match (engine, &args.dockerd) {
            (Engine::Dockerd, Some(program)) => Peer::start_dockerd(&folder, SOURCE, program)?,
            _ => Peer::start(engine, &folder, SOURCE)?,
        };
        let measured = Self { peer, folder };
        measured.docker(&["load", "--quiet", "--input", &small.to_string_lossy()])?;
        // So that pruning leaves it.
        measured.docker(&["create", SMALL, "true"])?;
        Ok(measured)
    }

    fn docker(&self, args: &[&str]) -> anyhow::Result<()> {
        self.client(&mut Command::new("docker"), &self.peer.socket(), args)
    }

    /// Asks without a client, by a connection of its own: dockerd closes one that asks nothing for minutes.
    fn call(&self, method: &str, path: &str) -> anyhow::Result<()> {
        Api::connect(&self.peer.socket())?.call(method, path, &Value::Null).map(drop)
    }

    /// Runs a client that is told to find the engine at `socket`.
    fn client(&self, docker: &mut Command, socket: &Path, args: &[&str]) -> anyhow::Result<()> {
        interrupt::output(peer::direct(docker, socket, &self.folder).args(args)).map(drop)
    }
}

/// Puts the image into the registry that both engines read, and takes it away here.
fn publish(engine: &mut Measured, subject: &Subject) -> anyhow::Result<()> {
    engine.docker(&["load", "--quiet", "--input", &subject.archive.to_string_lossy()])?;
    engine.docker(&["push", "--quiet", &subject.name])?;
    engine.docker(&["rmi", &subject.name])
}

/// Medians of ours and theirs, done in turns.
fn both(
    engines: &mut [Measured; 2],
    runs: usize,
    mut work: impl FnMut(&mut Measured) -> anyhow::Result<()>,
) -> anyhow::Result<(f64, f64)> {
    let mut took = [Vec::new(), Vec::new()];
    for _ in 0..runs {
        for (engine, took) in engines.iter_mut().zip(&mut took) {
            took.push(timed(|| work(engine))?);
        }
    }
    let [ours, theirs] = took;
    Ok((median(ours), median(theirs)))
}

/// Brings to the disk what others have written: who syncs what he writes himself would wait for that, too.
fn settle() -> anyhow::Result<()> {
    interrupt::output(&mut Command::new("sync")).map(drop)
}

fn timed(work: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<f64> {
    interrupt::check()?;
    let began = Instant::now();
    work()?;
    Ok(began.elapsed().as_secs_f64())
}

/// The most memory that each engine's process had since this was last asked, in MiB.
fn peaks([ours, theirs]: &[Measured; 2]) -> anyhow::Result<[f64; 2]> {
    Ok([peak(ours)?, peak(theirs)?])
}

fn peak(engine: &Measured) -> anyhow::Result<f64> {
    /// Resets the peak (proc_pid_clear_refs(5)).
    const FORGET_PEAK: &str = "5";
    let process = engine.peer.process().context("an engine of this machine")?;
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("no peak is told")?;
    let kilobytes: u64 = line.split_whitespace().next().context("no number")?.parse()?;
    fs::write(format!("/proc/{process}/clear_refs"), FORGET_PEAK)?;
    Ok(mebibytes(kilobytes * 1024))
}
