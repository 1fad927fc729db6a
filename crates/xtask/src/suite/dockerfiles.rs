//! The Dockerfiles of tests/dockerfiles, built by our engine and by others': what they make of them is compared file by
//! file and field by field.

mod result;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context, bail};
use serde_json::json;

use super::scoreboard::{self, Score};
use crate::buildx;
use crate::container_image::ContainerImage;
use crate::peer::{self, Engine, Peer};
use crate::step::workspace_root;

/// What `cargo xtask suite dockerfiles` takes.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The dockerd, 28 or later, whose builders are the reference (its containerd and runc lie beside it or in ../bin).
    #[arg(long)]
    dockerd: PathBuf,
    /// Only the Dockerfile in this folder; then nothing is noted.
    #[arg(long)]
    only: Option<String>,
}

/// No builder is asked for a registry.
const NO_REGISTRY: u16 = 9;
const SUITE: &str = "dockerfiles";
const BUILT: &str = "built:latest";
const USERS: &[u8] = b"root:x:0:0:root:/root:/bin/sh\nweb:x:33:33::/srv:/bin/sh\n";
const GROUPS: &[u8] = b"root:x:0:\nweb:x:33:\nlogs:x:44:web\n";
const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Builds everything with both, and notes what came out equal.
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let home = tempfile::tempdir().context("make a folder for the engines")?;
    let bases = Bases::make(home.path())?;
    let plugin = buildx::for_tests()?;
    let start = |name: &str| {
        let folder = home.path().join(name);
        fs::create_dir(&folder)?;
        let peer = match name {
            "native" => Peer::start(Engine::Native, &folder, NO_REGISTRY)?,
            _ => Peer::start_dockerd(&folder, NO_REGISTRY, &args.dockerd)?,
        };
        Builder::of(peer, folder, &bases, &plugin)
    };
    let builders = [&start("native")?, &start("dockerd")?];
    compare(builders, Way::Classic, ["native", "dockerd"], args.only.as_deref())?;
    compare(builders, Way::BuildKit, ["native by buildx", "BuildKit"], args.only.as_deref())
}

/// How a build is asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Classic,
    BuildKit,
}

fn compare(builders: [&Builder; 2], way: Way, names: [&str; 2], only: Option<&str>) -> anyhow::Result<()> {
    println!("==> {} beside {}", names[0], names[1]);
    let mut scores = [Score::default(), Score::default()];
    for folder in folders(way)?.iter().filter(|folder| only.is_none_or(|only| folder.ends_with(only))) {
        let name = folder.strip_prefix(corpus())?.to_string_lossy().into_owned();
        let [ours, theirs] = builders.map(|builder| builder.result(folder, way));
        let differences = match (&ours, &theirs) {
            (Ok(ours), Ok(theirs)) => ours.differences(theirs),
            _ => Vec::new(),
        };
        for (outcome, engine) in [&ours, &theirs].iter().zip(names) {
            if let Err(why) = outcome {
                println!("  {name}: {engine}: {why:#}");
            }
        }
        differences.iter().for_each(|difference| println!("  {name}: {difference}"));
        let is_fine = [ours.is_ok() && differences.is_empty(), theirs.is_ok()];
        for (score, is_fine) in scores.iter_mut().zip(is_fine) {
            if is_fine {
                score.passed += 1;
            } else {
                score.failed.insert(name.clone());
            }
        }
    }
    if only.is_some() {
        return Ok(());
    }
    let [ours, theirs] = scores;
    scoreboard::note(SUITE, names[1], names[1], theirs)?;
    scoreboard::note(SUITE, names[0], names[1], ours)
}

fn corpus() -> PathBuf {
    workspace_root().join("tests/dockerfiles")
}

/// The contexts that can be built in this way, in order.
fn folders(way: Way) -> anyhow::Result<BTreeSet<PathBuf>> {
    let shelves: &[&str] = if way == Way::Classic { &["classic"] } else { &["classic", "buildkit"] };
    let mut found = BTreeSet::new();
    for shelf in shelves {
        for folder in fs::read_dir(corpus().join(shelf))? {
            found.insert(folder?.path());
        }
    }
    Ok(found)
}

/// The images that the Dockerfiles start from.
struct Bases {
    busybox: PathBuf,
    debian: PathBuf,
}

impl Bases {
    fn make(folder: &Path) -> anyhow::Result<Self> {
        let (busybox, debian) = (folder.join("busybox.tar"), folder.join("debian.tar"));
        let files = [("etc/passwd", USERS, 0o644), ("etc/group", GROUPS, 0o644), ("srv/", b"", 0o755)];
        ContainerImage::new(&json!({ "Env": [PATH], "Cmd": ["sh"] }), &files)?
            .save("busybox:latest", &busybox)?;
        let made = Command::new(corpus().join("base.sh")).arg(&debian).output().context("run base.sh")?;
        if !made.status.success() {
            bail!("base.sh: {}", String::from_utf8_lossy(&made.stderr).trim());
        }
        Ok(Self { busybox, debian })
    }
}

/// An engine that builds.
struct Builder {
    peer: Peer,
    folder: PathBuf,
}

impl Builder {
    fn of(peer: Peer, folder: PathBuf, bases: &Bases, plugin: &Path) -> anyhow::Result<Self> {
        buildx::give(plugin, &folder)?;
        let builder = Self { peer, folder };
        builder.docker(&["load", "--input", &bases.busybox.to_string_lossy()])?;
        let path = format!("ENV {PATH}");
        builder.docker(&["import", "--change", &path, &bases.debian.to_string_lossy(), "debian:here"])?;
        Ok(builder)
    }

    fn client(&self, args: &[&str]) -> Command {
        let mut client = Command::new("docker");
        peer::direct(&mut client, &self.peer.socket(), &self.folder).args(args);
        client
    }

    fn docker(&self, args: &[&str]) -> anyhow::Result<Vec<u8>> {
        said(self.client(args).output()?)
    }

    /// Builds, runs what came of it, and takes it apart.
    fn result(&self, folder: &Path, way: Way) -> anyhow::Result<result::Image> {
        let context = folder.to_string_lossy();
        let mut client = match way {
            Way::Classic => self.client(&["build", "--no-cache", "--tag", BUILT, &context]),
            Way::BuildKit => {
                let mut client = self.client(&["buildx", "build", "--no-cache", "--provenance=false"]);
                client.args(["--progress", "plain", "--tag", BUILT, &context]);
                client
            }
        };
        client.env("DOCKER_BUILDKIT", if way == Way::Classic { "0" } else { "1" });
        said(client.output()?)?;
        let printed = self.docker(&["run", "--rm", "--network", "none", BUILT])?;
        let expected = fs::read_to_string(folder.join("expected"))?;
        if String::from_utf8_lossy(&printed) != expected {
            bail!("prints {:?} and not {expected:?}", String::from_utf8_lossy(&printed));
        }
        let about = self.docker(&["inspect", BUILT])?;
        let history =
            self.docker(&["history", "--no-trunc", "--format", "{{.CreatedBy}}|{{.Comment}}", BUILT])?;
        let container = String::from_utf8(self.docker(&["create", BUILT])?)?;
        let files = self.docker(&["export", container.trim()])?;
        self.docker(&["rm", "--volumes", container.trim()])?;
        self.docker(&["rmi", BUILT])?;
        result::Image::of(&about, &history, &files)
    }
}

fn said(output: Output) -> anyhow::Result<Vec<u8>> {
    if output.status.success() {
        return Ok(output.stdout);
    }
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    let last: Vec<&str> = words.lines().filter(|line| !line.trim().is_empty()).collect();
    bail!("{}", last[last.len().saturating_sub(3)..].join(" | "))
}
