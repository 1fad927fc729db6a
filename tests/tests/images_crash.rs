//! The engine killed at any moment of its work on images: what it said was done is there afterwards, and what it left
//! half done is collected. `BERTH_E2E_KILLS` says how many moments are tried; each is as its number decides.
#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use e2e::buildx;
use e2e::chance::{Chance, repeats};
use e2e::condition::eventually;
use e2e::context;
use e2e::engine::Engine;
use e2e::registry::Registry;

/// Moments that CI tries.
const USUAL: u32 = 50;
const KILLS: &str = "BERTH_E2E_KILLS";
/// What is interrupted; the last one is a build by BuildKit, which takes the client's plugin.
const WORKS: [&str; 7] = ["pull", "push", "load", "build", "commit", "prune", "buildx"];

/// Folders of the image store in which nothing stays that nobody needs.
const FOLDERS: [&str; 6] = ["images", "names", "snapshots", "holds", "layers", "blobs/sha256"];

/// Folders of the builder in which nothing is while nobody builds, and those that a prune empties.
const TRANSIENT: &str = "contexts";
const PRUNED: [&str; 3] = ["cache", "mounts", "folders"];

/// What BuildKit builds: its context, a cache that stays, and stages that are built at once.
const STAGES: &str = "FROM busybox AS one\nCOPY data /data\nRUN head -c 3000000 /dev/urandom > /a\n\
                      FROM busybox AS two\nRUN --mount=type=cache,target=/c date >> /c/times; echo two > /two\n\
                      FROM one\nCOPY --from=two /two /two\nRUN md5sum < /data > /sum\n";

/// An engine with something to work on.
struct Bench {
    engine: Engine,
    registry: Registry,
    folder: tempfile::TempDir,
    /// What BuildKit builds from.
    stages: context::Context,
    /// The configuration of a client with the plugin.
    plugin: Option<tempfile::TempDir>,
    /// Names of which the engine said that they are there.
    promised: BTreeSet<String>,
}

impl Bench {
    fn new() -> Option<Self> {
        let engine = Engine::native_with_busybox()?;
        let registry = Registry::start(&engine)?;
        let folder = tempfile::tempdir().unwrap();
        let file =
            "FROM busybox\nRUN head -c 3000000 /dev/urandom > /a\nRUN head -c 3000000 /dev/urandom > /b\n";
        fs::write(folder.path().join("Dockerfile"), file).unwrap();
        let stages = context::Context::new(STAGES).write("data", &"data".repeat(200_000));
        let (plugin, promised) = (buildx::config(), BTreeSet::new());
        let bench = Self { engine, registry, folder, stages, plugin, promised };
        bench.engine.ok(&["tag", "busybox", "kept:v1"]);
        assert!(bench.work("build", 0).status().unwrap().success());
        bench.engine.ok(&["tag", "built:0", &bench.remote(0)]);
        bench.engine.ok(&["push", "--quiet", &bench.remote(0)]);
        bench.engine.ok(&["save", "--output", bench.archive().to_str().unwrap(), "built:0"]);
        bench.engine.ok(&["run", "--name", "source", "--network", "none", "busybox", "touch", "/srv/x"]);
        let promised = ["busybox:latest", "kept:v1"].map(str::to_owned).into();
        Some(Self { promised, ..bench })
    }

    fn remote(&self, number: u64) -> String {
        format!("{}/team/app{number}:v1", self.registry.address)
    }

    fn archive(&self) -> std::path::PathBuf {
        self.folder.path().join("image.tar")
    }

    /// The client at one kind of work, which is the same for every number.
    fn work(&self, kind: &str, number: u64) -> Command {
        let (remote, archive) = (self.remote(0), self.archive());
        let (pushed, built, made) =
            (self.remote(number), format!("built:{number}"), format!("made:{number}"));
        let args: &[&str] = match kind {
            "pull" => &["pull", "--quiet", &remote],
            "push" => &["push", "--quiet", &pushed],
            "load" => &["load", "--quiet", "--input", archive.to_str().unwrap()],
            "build" => &["build", "--no-cache", "--tag", &built, self.folder.path().to_str().unwrap()],
            "commit" => &["commit", "source", &made],
            "buildx" => return self.by_buildkit(&built, &["--no-cache"]),
            _ => &["builder", "prune", "--all", "--force"],
        };
        let mut client = self.engine.client(args);
        client.env("DOCKER_BUILDKIT", "0").stdout(Stdio::null()).stderr(Stdio::null());
        client
    }

    /// The client at a build by BuildKit.
    fn by_buildkit(&self, name: &str, more: &[&str]) -> Command {
        let folder = self.stages.path().to_str().unwrap();
        let mut client = self.engine.client(&[&["build", "--tag", name], more, &[folder]].concat());
        let config = self.plugin.as_ref().unwrap().path();
        client
            .env("DOCKER_BUILDKIT", "1")
            .env("DOCKER_CONFIG", config)
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        client
    }

    /// What is interrupted here.
    fn works(&self) -> &'static [&'static str] {
        let without = WORKS.len() - usize::from(self.plugin.is_none());
        &WORKS[..without]
    }

    /// Makes sure that the work is there to be done.
    fn prepare(&self, kind: &str, number: u64) {
        match kind {
            "pull" | "load" => drop(self.engine.docker(&["rmi", "--force", &self.remote(0), "built:0"])),
            "push" => drop(self.engine.ok(&["tag", "kept:v1", &self.remote(number)])),
            _ => {}
        }
    }

    /// Kills the engine at some moment of some work; says which.
    fn interrupt(&mut self, number: u64, times: &[Duration]) -> String {
        let mut chance = Chance::of(number);
        let index = usize::try_from(chance.number(times.len() as u64)).unwrap();
        let kind = WORKS[index];
        let moment = times[index].mul_f64(chance.number(1000) as f64 / 900.0);
        self.prepare(kind, number);
        let mut client = self.work(kind, number).spawn().unwrap();
        std::thread::sleep(moment);
        self.engine.stop_answering();
        let is_done = client.wait().unwrap().success();
        self.engine.answer_again();
        match kind {
            "push" => drop(self.promised.insert(self.remote(number))),
            "commit" if is_done => drop(self.promised.insert(format!("made:{number}"))),
            "build" | "buildx" if is_done => drop(self.promised.insert(format!("built:{number}"))),
            _ => {}
        }
        let what = format!("{kind} {number}, killed after {moment:?}");
        if kind == "buildx" {
            self.build_again(&format!("built:{number}"), &what);
        }
        what
    }

    /// The same build once more, with what is left of the one that was cut off.
    fn build_again(&mut self, name: &str, what: &str) {
        assert!(self.by_buildkit(name, &[]).status().unwrap().success(), "{what}: it can't be built again");
        self.promised.insert(name.to_owned());
        let look = "md5sum < /data | cmp - /sum && wc -c < /data && wc -c < /a && cat /two";
        let seen = self.engine.docker(&["run", "--rm", "--network", "none", name, "sh", "-c", look]);
        assert_eq!(seen.out, "800000\n3000000\ntwo", "{what}: {}", seen.err);
    }

    fn check(&self, what: &str, number: u64) {
        let there = self.engine.ok(&["images", "--format", "{{.Repository}}:{{.Tag}}"]);
        let there: BTreeSet<&str> = there.lines().collect();
        for name in &self.promised {
            assert!(there.contains(name.as_str()), "{what}: {name} is gone");
        }
        if number.is_multiple_of(10) {
            let run = self.engine.docker(&["run", "--rm", "--network", "none", "kept:v1", "true"]);
            assert_eq!(run.code, 0, "{what}: {}", run.err);
        }
    }
}

/// What lies in a folder of the image store, once nothing unfinished is there: what was removed is deleted by and by.
fn left(store: &Path, folder: &str, what: &str) -> Vec<String> {
    eventually(&format!("{what}: the end of what is unfinished in {folder}"), || {
        let entries = fs::read_dir(store.join(folder)).unwrap();
        let names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
        names.iter().all(|name| !name.starts_with(".tmp-")).then_some(names)
    })
}

#[test]
fn no_image_is_lost_and_nothing_stays_half_done_when_the_engine_is_killed() {
    let Some(mut bench) = Bench::new() else { return };
    let time = |kind: &&str| {
        bench.prepare(kind, 0);
        let start = Instant::now();
        assert!(bench.work(kind, 0).status().unwrap().success(), "{kind}");
        start.elapsed()
    };
    let times: Vec<Duration> = bench.works().iter().map(time).collect();
    for number in 1..=u64::from(repeats(KILLS, USUAL)) {
        let what = bench.interrupt(number, &times);
        bench.check(&what, number);
        let store = bench.engine.data_root().join("images");
        for folder in FOLDERS {
            left(&store, folder, &what);
        }
        let builder = bench.engine.data_root().join("builder");
        assert_eq!(fs::read_dir(builder.join(TRANSIENT)).unwrap().count(), 0, "{what}");
        left(&builder, "history", &what);
    }
    // Without images, containers and the cache, nothing is left of all that was begun.
    bench.engine.ok(&["rm", "source"]);
    bench.engine.ok(&["builder", "prune", "--all", "--force"]);
    // The first time leaves what others were made on.
    bench.engine.ok(&["image", "prune", "--all", "--force"]);
    bench.engine.ok(&["image", "prune", "--all", "--force"]);
    let store = bench.engine.data_root().join("images");
    let remains = FOLDERS.map(|folder| (folder, left(&store, folder, "in the end")));
    assert!(remains.iter().all(|(_, names)| names.is_empty()), "{remains:?}");
    let builder = bench.engine.exec_root().join("builder");
    assert_eq!(fs::read_dir(builder).unwrap().count(), 0);
    let builder = bench.engine.data_root().join("builder");
    for folder in PRUNED {
        // A folder is made when it is first needed.
        let left = fs::read_dir(builder.join(folder)).map_or(0, Iterator::count);
        assert_eq!(left, 0, "{folder}");
    }
}
