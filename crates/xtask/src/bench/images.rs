//! `cargo xtask bench images`: pull, push, load, save, rmi and prune of images in few and many layers, and builds,
//! beside dockerd on this machine, in turns, with the same registry's content.

mod builds;
mod floor;
mod made;
mod tap;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::Context;
use serde_json::{Value, json};

use super::api::Api;
use super::{mebibytes, median};
use crate::build::{self, Profile};
use crate::container_image::ContainerImage;
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
/// Where they are pushed to: a registry that has nothing yet.
const EMPTY: u16 = 5001;

/// An engine under measurement.
struct Measured {
    peer: Peer,
    api: Api,
    folder: PathBuf,
    registry: PathBuf,
}

/// What was done, and the medians of ours and theirs, in seconds.
type Rows = Vec<(String, (f64, f64))>;

/// An image that is measured.
struct Subject {
    layers: u64,
    name: String,
    archive: PathBuf,
}

/// What an engine does with an image, in this order, each undoing or needing the one before.
type Verb = (&'static str, fn(&mut Measured, &Subject) -> anyhow::Result<f64>);

const VERBS: &[Verb] =
    &[("pull", pull), ("save", save), ("rmi", remove), ("load", load), ("push", push), ("prune", prune)];

/// Measures and prints.
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    setup::for_peers()?;
    if !args.built {
        build::guest_programs(Profile::Release)?;
    }
    let folder = tempfile::tempdir().context("make a folder for the measured engines")?;
    let registry = folder.path().join("registry");
    let start = |engine| Measured::start(engine, args, folder.path(), &registry);
    let mut engines = [start(Engine::Native)?, start(Engine::Dockerd)?];
    let sources = engines.iter().map(|engine| Registry::start(&engine.peer, &registry, SOURCE));
    let sources = sources.collect::<anyhow::Result<Vec<_>>>()?;
    let (mut rows, mut floors) = (Rows::new(), Rows::new());
    rows.push((
        "docker version".to_owned(),
        both(&mut engines, args.runs, |engine| engine.docker(&["version"]))?,
    ));
    builds::measure(&engines, folder.path(), args, &mut rows)?;
    let files = made::files(args.size << 20)?;
    for layers in &args.layers {
        let name = format!("127.0.0.1:{SOURCE}/bench/l{layers}:v1");
        let subject = Subject { layers: *layers, name, archive: folder.path().join("image.tar") };
        made::archive(&subject.name, &files, *layers, &subject.archive)?;
        let known = floor::layers(&registry).unwrap_or_default();
        publish(&mut engines[1], &subject)?;
        let mut blobs = floor::layers(&registry)?;
        blobs.retain(|blob| !known.contains(blob));
        let (lives, floor) = lives(&mut engines, &subject, &blobs, args.runs)?;
        let pull = lives[0].1;
        floors.push((format!("pull, {layers} layers, to gzip|tar"), (pull.0, floor)));
        rows.extend(lives);
    }
    drop(sources);
    rows.extend(floors);
    print(&rows, &engines, args)
}

fn print(rows: &Rows, engines: &[Measured; 2], args: &Args) -> anyhow::Result<()> {
    println!("\n  {:<38} {:>10} {:>10} {:>7}", "median", "ours", "peer", "ratio");
    for (name, (ours, theirs)) in rows {
        println!("  {name:<38} {ours:>8.3} s {theirs:>8.3} s {:>7.2}", ours / theirs);
    }
    let [ours, theirs] = [peak(&engines[0])?, peak(&engines[1])?];
    println!("  {:<38} {ours:>6.0} MiB {theirs:>6.0} MiB {:>7.2}", "memory, peak", ours / theirs);
    let seconds: serde_json::Map<String, Value> =
        rows.iter().map(|(name, pair)| (name.clone(), json!(pair))).collect();
    println!(
        "{}",
        json!({
            "bench": "images", "runs": args.runs, "mebibytes": args.size, "seconds": seconds,
            "peak_mebibytes": [ours, theirs],
        })
    );
    Ok(())
}

impl Measured {
    fn start(engine: Engine, args: &Args, folder: &Path, registry: &Path) -> anyhow::Result<Self> {
        let folder = folder.join(format!("{engine:?}"));
        fs::create_dir(&folder)?;
        let peer = match (engine, &args.dockerd) {
            (Engine::Dockerd, Some(program)) => Peer::start_dockerd(&folder, SOURCE, program)?,
            _ => Peer::start(engine, &folder, SOURCE)?,
        };
        let api = Api::connect(&peer.socket())?;
        let measured = Self { peer, api, folder, registry: registry.to_path_buf() };
        let archive = measured.folder.join("small.tar");
        ContainerImage::new(&json!({ "Env": ["PATH=/bin"] }), &[])?.save(SMALL, &archive)?;
        measured.docker(&["load", "--quiet", "--input", &archive.to_string_lossy()])?;
        // So that pruning leaves it.
        measured.docker(&["create", SMALL, "true"])?;
        Ok(measured)
    }

    fn docker(&self, args: &[&str]) -> anyhow::Result<()> {
        self.client(&mut Command::new("docker"), &self.peer.socket(), args)
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

/// Everything that is done with an image, by each engine in turn; and the floor of a pull.
fn lives(
    engines: &mut [Measured; 2],
    subject: &Subject,
    blobs: &[PathBuf],
    runs: usize,
) -> anyhow::Result<(Rows, f64)> {
    println!("==> {} layers", subject.layers);
    let mut took = vec![[Vec::new(), Vec::new()]; VERBS.len()];
    let mut floors = Vec::new();
    for _ in 0..runs {
        for (engine, measured) in engines.iter_mut().enumerate() {
            for ((_, verb), took) in VERBS.iter().zip(&mut took) {
                took[engine].push(verb(measured, subject)?);
            }
        }
        floors.push(floor::unpack(blobs, &engines[0].folder)?);
    }
    let named = |((verb, _), [ours, theirs]): (&Verb, [Vec<f64>; 2])| {
        (format!("{verb}, {} layers", subject.layers), (median(ours), median(theirs)))
    };
    Ok((VERBS.iter().zip(took).map(named).collect(), median(floors)))
}

fn pull(engine: &mut Measured, subject: &Subject) -> anyhow::Result<f64> {
    timed(|| engine.docker(&["pull", "--quiet", &subject.name]))
}

fn save(engine: &mut Measured, subject: &Subject) -> anyhow::Result<f64> {
    // Into nothing: what is measured is the engine, not this disk.
    let mut shell = Command::new("sh");
    shell.args(["-c", "exec docker \"$@\" > /dev/null", "sh"]);
    timed(|| engine.client(&mut shell, &engine.peer.socket(), &["save", &subject.name]))
}

fn remove(engine: &mut Measured, subject: &Subject) -> anyhow::Result<f64> {
    let path = format!("/images/{}", subject.name);
    timed(|| engine.api.call("DELETE", &path, &Value::Null).map(drop))
}

fn load(engine: &mut Measured, subject: &Subject) -> anyhow::Result<f64> {
    timed(|| engine.docker(&["load", "--quiet", "--input", &subject.archive.to_string_lossy()]))
}

fn push(engine: &mut Measured, subject: &Subject) -> anyhow::Result<f64> {
    let folder = tempfile::tempdir_in(engine.registry.parent().unwrap_or(Path::new("/tmp")))?;
    let _registry = Registry::start(&engine.peer, &folder.path().join("data"), EMPTY)?;
    let name = format!("127.0.0.1:{EMPTY}/bench/l{}:v1", subject.layers);
    engine.docker(&["tag", &subject.name, &name])?;
    let took = timed(|| engine.docker(&["push", "--quiet", &name]))?;
    engine.docker(&["rmi", &name])?;
    Ok(took)
}

fn prune(engine: &mut Measured, _: &Subject) -> anyhow::Result<f64> {
    let all = "/images/prune?filters=%7B%22dangling%22%3A%5B%22false%22%5D%7D";
    timed(|| engine.api.call("POST", all, &Value::Null).map(drop))
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

fn timed(work: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<f64> {
    interrupt::check()?;
    let began = Instant::now();
    work()?;
    Ok(began.elapsed().as_secs_f64())
}

/// The most memory that an engine's process ever had, in MiB.
fn peak(engine: &Measured) -> anyhow::Result<f64> {
    let process = engine.peer.process().context("an engine of this machine")?;
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("no peak is told")?;
    let kilobytes: u64 = line.split_whitespace().next().context("no number")?.parse()?;
    Ok(mebibytes(kilobytes * 1024))
}
