//! `cargo xtask bench containers`: how long a container's life takes and what it costs, beside dockerd with runc and
//! podman with crun on this machine, with the same image, in turns; what is left after a thousand lives; and what the
//! parts of a start take in the VM, whose kernel has cgroups' controllers.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Barrier;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde_json::{Value, json};

use super::api::Api;
use super::podman::Podman;
use super::{cgroups, mebibytes, median, memory, runtimes};
use crate::build::{self, Profile};
use crate::container_image::ContainerImage;
use crate::peer::{self, Engine, Peer};
use crate::{interrupt, setup};

/// What `cargo xtask bench containers` takes.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// How often each life is lived.
    #[arg(long, default_value_t = 30)]
    runs: usize,
    /// How many containers idle while memory is counted.
    #[arg(long, default_value_t = 200)]
    idle: usize,
    /// How many lives must leave nothing.
    #[arg(long, default_value_t = 1000)]
    cycles: usize,
}

const IMAGE: &str = "bench:latest";
/// So many starts at once.
const AT_ONCE: usize = 100;
/// How often they start at once: each time takes a minute with the slower engine.
const TIMES_AT_ONCE: usize = 5;
/// How long an engine's idleness is watched.
const IDLE: Duration = Duration::from_secs(10);
/// No registry is asked.
const NO_REGISTRY: u16 = 5000;

/// An engine under measurement.
struct Measured {
    peer: Peer,
    api: Api,
    folder: PathBuf,
}

/// What a life is called, and how one is lived.
type Life = (&'static str, fn(&mut Measured) -> anyhow::Result<()>);

const LIVES: &[Life] = &[
    ("docker version", version),
    ("docker run --rm", run_and_remove),
    ("API: create, start, wait, remove", cycle),
    ("docker exec", docker_exec),
    ("API: exec", api_exec),
];

/// Measures and prints.
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    setup::for_peers()?;
    build::guest_programs(Profile::Release)?;
    let folder = tempfile::tempdir().context("make a folder for the measured engines")?;
    let archive = folder.path().join("image.tar");
    ContainerImage::new(&json!({ "Cmd": ["sleep", "86400"], "Env": ["PATH=/bin"] }), &[])?
        .save(IMAGE, &archive)?;
    let mut ours = Measured::start(Engine::Native, folder.path(), &archive)?;
    let cost = cost(&mut ours, args)?;
    let mut theirs = Measured::start(Engine::Dockerd, folder.path(), &archive)?;
    let [berth, runc, crun] = runtimes::measure(folder.path(), args.runs)?;
    let mut rows = lives(&mut ours, &mut theirs, args.runs)?;
    rows.insert("100 starts at once", at_once(&mut ours, &mut theirs)?);
    let podman = Podman::start(folder.path(), &archive)?;
    rows.extend(beside_podman(&mut ours, &podman, args.runs)?);
    drop((ours, theirs, podman));
    rows.insert("runtime alone, to runc", (berth, runc));
    rows.insert("runtime alone, to crun", (berth, crun));
    println!("\n  {:<34} {:>10} {:>10} {:>7}", "median", "ours", "peer", "ratio");
    for (name, (ours, theirs)) in &rows {
        println!("  {name:<34} {:>7.1} ms {:>7.1} ms {:>7.2}", ours * 1e3, theirs * 1e3, ours / theirs);
    }
    for (name, value) in &cost {
        println!("  {name:<34} {value:>10.2}");
    }
    let machine = Measured::start(Engine::Machine, folder.path(), &archive);
    let parts = cgroups::measure(&mut machine?.api, IMAGE, args.runs)?;
    println!("\n  parts of a start in the VM");
    for (name, seconds) in &parts {
        println!("  {name:<34} {:>7.1} ms", seconds * 1e3);
    }
    let found = json!({ "seconds": rows, "cost": cost, "parts in the VM": parts });
    println!("{}", json!({ "bench": "containers", "runs": args.runs, "found": found }));
    Ok(())
}

impl Measured {
    fn start(engine: Engine, folder: &Path, archive: &Path) -> anyhow::Result<Self> {
        let folder = folder.join(format!("{engine:?}"));
        fs::create_dir(&folder)?;
        let peer = Peer::start(engine, &folder, NO_REGISTRY)?;
        let api = Api::connect(&peer.socket())?;
        let measured = Self { peer, api, folder };
        measured.docker(&["load", "--quiet", "--input", &archive.to_string_lossy()])?;
        Ok(measured)
    }

    fn docker(&self, args: &[&str]) -> anyhow::Result<()> {
        let mut docker = Command::new("docker");
        interrupt::output(peer::direct(&mut docker, &self.peer.socket(), &self.folder).args(args)).map(drop)
    }

    fn post(&mut self, path: &str, body: &Value) -> anyhow::Result<Value> {
        self.api.call("POST", path, body)
    }

    fn create(&mut self, name: &str, command: &[&str]) -> anyhow::Result<()> {
        let body = json!({ "Image": IMAGE, "Cmd": command });
        self.post(&format!("/containers/create?name={name}"), &body).map(drop)
    }

    fn start_container(&mut self, name: &str) -> anyhow::Result<()> {
        self.post(&format!("/containers/{name}/start"), &Value::Null).map(drop)
    }

    fn remove(&mut self, name: &str) -> anyhow::Result<()> {
        self.api.call("DELETE", &format!("/containers/{name}?force=true"), &Value::Null).map(drop)
    }
}

/// The client's own floor.
fn version(engine: &mut Measured) -> anyhow::Result<()> {
    engine.docker(&["version"])
}

fn run_and_remove(engine: &mut Measured) -> anyhow::Result<()> {
    engine.docker(&["run", "--rm", IMAGE, "true"])
}

fn cycle(engine: &mut Measured) -> anyhow::Result<()> {
    engine.create("cycle", &["true"])?;
    engine.start_container("cycle")?;
    engine.post("/containers/cycle/wait", &Value::Null)?;
    engine.remove("cycle")
}

fn docker_exec(engine: &mut Measured) -> anyhow::Result<()> {
    engine.docker(&["exec", "host", "true"])
}

fn api_exec(engine: &mut Measured) -> anyhow::Result<()> {
    let body = json!({ "Cmd": ["true"], "AttachStdout": true });
    let exec = engine.post("/containers/host/exec", &body)?;
    let id = exec["Id"].as_str().context("an exec's id")?.to_owned();
    engine.api.stream(&format!("/exec/{id}/start"), &json!({ "Detach": false }))?;
    let state = engine.api.call("GET", &format!("/exec/{id}/json"), &Value::Null)?;
    if state["ExitCode"] != 0 {
        bail!("the exec ended with {}", state["ExitCode"]);
    }
    Ok(())
}

/// Medians, ours and theirs, of each life. `host` is the container that execs go to.
fn lives(
    ours: &mut Measured,
    theirs: &mut Measured,
    runs: usize,
) -> anyhow::Result<BTreeMap<&'static str, (f64, f64)>> {
    for engine in [&mut *ours, &mut *theirs] {
        engine.create("host", &["sleep", "86400"])?;
        engine.start_container("host")?;
    }
    let mut rows = BTreeMap::new();
    for (name, live) in LIVES {
        println!("==> {name}");
        let (mut us, mut them) = (Vec::new(), Vec::new());
        for _ in 0..runs {
            us.push(timed(|| live(ours))?);
            them.push(timed(|| live(theirs))?);
        }
        rows.insert(*name, (median(us), median(them)));
    }
    for engine in [ours, theirs] {
        engine.remove("host")?;
    }
    Ok(rows)
}

/// Medians, ours and podman's, each by its own client.
fn beside_podman(
    ours: &mut Measured,
    podman: &Podman,
    runs: usize,
) -> anyhow::Result<BTreeMap<&'static str, (f64, f64)>> {
    println!("==> podman");
    podman.call(&["run", "--detach", "--name", "host", IMAGE, "sleep", "86400"])?;
    ours.create("host", &["sleep", "86400"])?;
    ours.start_container("host")?;
    let mut all: [Vec<f64>; 4] = Default::default();
    for _ in 0..runs {
        all[0].push(timed(|| run_and_remove(ours))?);
        all[1].push(timed(|| podman.call(&["run", "--rm", IMAGE, "true"]))?);
        all[2].push(timed(|| docker_exec(ours))?);
        all[3].push(timed(|| podman.call(&["exec", "host", "true"]))?);
    }
    ours.remove("host")?;
    let [run, podman_run, exec, podman_exec] = all.map(median);
    Ok(BTreeMap::from([
        ("docker run --rm, to podman's", (run, podman_run)),
        ("docker exec, to podman's", (exec, podman_exec)),
    ]))
}

fn at_once(ours: &mut Measured, theirs: &mut Measured) -> anyhow::Result<(f64, f64)> {
    println!("==> {AT_ONCE} starts at once");
    let (mut us, mut them) = (Vec::new(), Vec::new());
    for _ in 0..TIMES_AT_ONCE {
        us.push(starts(ours)?);
        them.push(starts(theirs)?);
    }
    Ok((median(us), median(them)))
}

/// From the first request to the last answer of many starts, in seconds.
fn starts(engine: &mut Measured) -> anyhow::Result<f64> {
    let names: Vec<_> = (0..AT_ONCE).map(|number| format!("once{number}")).collect();
    for name in &names {
        engine.create(name, &["sleep", "86400"])?;
    }
    let socket = engine.peer.socket();
    let ready = Barrier::new(AT_ONCE + 1);
    let start = |name: &String| {
        let connected = Api::connect(&socket);
        ready.wait();
        connected?.call("POST", &format!("/containers/{name}/start"), &Value::Null)
    };
    let start = &start;
    let took = std::thread::scope(|scope| {
        let threads: Vec<_> = names.iter().map(|name| scope.spawn(move || start(name))).collect();
        ready.wait();
        timed(|| {
            for thread in threads {
                thread.join().map_err(|_| anyhow::anyhow!("a start panicked"))??;
            }
            Ok(())
        })
    })?;
    for name in &names {
        engine.remove(name)?;
    }
    Ok(took)
}

fn timed(live: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<f64> {
    interrupt::check()?;
    let began = Instant::now();
    live()?;
    Ok(began.elapsed().as_secs_f64())
}

/// What our engine costs: alone, per idle container, and after many lives.
fn cost(engine: &mut Measured, args: &Args) -> anyhow::Result<BTreeMap<String, f64>> {
    println!("==> memory of {} idle containers", args.idle);
    let mut cost = BTreeMap::new();
    let alone = memory::of_folder(&engine.folder)?;
    cost.insert("engine alone, PSS, MiB".to_owned(), mebibytes(alone));
    cost.insert("wake-ups per idle second".to_owned(), wake_ups(&engine.folder)?);
    let names: Vec<_> = (0..args.idle).map(|number| format!("idle{number}")).collect();
    for name in &names {
        engine.create(name, &["sleep", "86400"])?;
        engine.start_container(name)?;
    }
    let each = memory::of_folder(&engine.folder)?.saturating_sub(alone) as f64 / args.idle.max(1) as f64;
    cost.insert("per idle container, PSS, MiB".to_owned(), each / f64::from(1 << 20));
    for name in &names {
        engine.remove(name)?;
    }
    println!("==> {} lives", args.cycles);
    let before = belongings(engine)?;
    for _ in 0..args.cycles {
        interrupt::check()?;
        cycle(engine)?;
    }
    for ((name, before), (_, after)) in before.into_iter().zip(belongings(engine)?) {
        cost.insert(format!("left by {} lives: {name}", args.cycles), after - before);
    }
    Ok(cost)
}

/// How often an idle engine's threads wake in a second; one that has ended meanwhile isn't counted.
fn wake_ups(folder: &Path) -> anyhow::Result<f64> {
    let before = switches(folder)?;
    std::thread::sleep(IDLE);
    let since = |(thread, count): (String, u64)| {
        count.saturating_sub(before.get(&thread).copied().unwrap_or_default())
    };
    Ok(switches(folder)?.into_iter().map(since).sum::<u64>() as f64 / IDLE.as_secs_f64())
}

/// How often each thread of an engine has slept and woken.
fn switches(folder: &Path) -> anyhow::Result<BTreeMap<String, u64>> {
    let mut threads = BTreeMap::new();
    for thread in fs::read_dir(format!("/proc/{}/task", engine_of(folder)?))? {
        let thread = thread?;
        let status = fs::read_to_string(thread.path().join("status")).unwrap_or_default();
        let counts = status.lines().filter_map(|line| line.split_once("ctxt_switches:"));
        let sum = counts.filter_map(|(_, count)| count.trim().parse::<u64>().ok()).sum();
        threads.insert(thread.file_name().to_string_lossy().into_owned(), sum);
    }
    Ok(threads)
}

/// The process that serves `folder`.
fn engine_of(folder: &Path) -> anyhow::Result<u32> {
    let folder = folder.to_string_lossy().into_owned();
    let processes = fs::read_dir("/proc")?
        .filter_map(|entry| entry.ok()?.file_name().to_string_lossy().parse::<u32>().ok());
    let serves = |process: &u32| {
        let line = fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).into_owned();
        line.contains(&folder) && line.contains("\0serve\0")
    };
    processes.into_iter().find(serves).context("the engine doesn't run")
}

/// What an engine holds.
fn belongings(engine: &Measured) -> anyhow::Result<[(&'static str, f64); 5]> {
    let process = engine_of(&engine.folder)?;
    let descriptors = fs::read_dir(format!("/proc/{process}/fd"))?.count();
    let mounts = fs::read_to_string(format!("/proc/{process}/mountinfo"))?.lines().count();
    let cgroups = Command::new("find").args(["/sys/fs/cgroup", "-type", "d"]).output()?;
    let disk = Command::new("du").args(["-sb"]).arg(engine.folder.join("data")).output()?;
    let disk = String::from_utf8_lossy(&disk.stdout).into_owned();
    let disk: f64 = disk.split_whitespace().next().context("du says nothing")?.parse()?;
    Ok([
        ("descriptors", descriptors as f64),
        ("mounts", mounts as f64),
        ("cgroups", cgroups.stdout.iter().filter(|byte| **byte == b'\n').count() as f64),
        ("memory, MiB", mebibytes(memory::of_folder(&engine.folder)?)),
        ("disk, KiB", disk / 1024.0),
    ])
}
