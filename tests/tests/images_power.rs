//! The power cut at any moment of the engine's work on images: what it said was done is there afterwards, byte by byte,
//! a pull that was cut is done again, and what was left half done is collected. The work is done once, on a disk that
//! notes it; then each moment is looked at. `BERTH_E2E_POWER_CUTS` says how many; each is as its number decides.
#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::process::Stdio;

use e2e::buildx;
use e2e::chance::{Chance, repeats};
use e2e::context::Context;
use e2e::disk::Disk;
use e2e::engine::{Engine, said};
use e2e::registry::Registry;
use sha2::{Digest, Sha256};

/// Moments that CI tries.
const USUAL: u32 = 12;
const CUTS: &str = "BERTH_E2E_POWER_CUTS";
const SIZE: u64 = 1 << 30;
const DOCKERFILE: &str =
    "FROM busybox\nRUN head -c 3000000 /dev/urandom > /a\nRUN head -c 3000000 /dev/urandom > /b\n";
/// Folders of the image store in which nothing stays that nobody needs.
const FOLDERS: [&str; 6] = ["images", "names", "snapshots", "holds", "layers", "blobs/sha256"];

/// A name that the engine said is there, from one moment of the disk to another.
struct Promise {
    name: String,
    from: usize,
    until: usize,
}

/// The work and what came of it.
struct Work {
    disk: Disk,
    engine: Engine,
    registry: Registry,
    context: Context,
    /// The configuration of a client that builds by BuildKit.
    plugin: Option<tempfile::TempDir>,
    promises: Vec<Promise>,
    /// What each name means: equal names mean equal things throughout.
    content: BTreeMap<String, String>,
    first: usize,
    last: usize,
}

impl Work {
    fn new() -> Option<Self> {
        let mut engine = Engine::native_with_busybox()?;
        let registry = Registry::start(&engine)?;
        engine.end();
        let disk = Disk::mount(SIZE, &engine.data_root())?;
        engine.answer_again();
        engine.load_busybox();
        let context = Context::new(DOCKERFILE);
        let (plugin, promises, content) = (buildx::config(), Vec::new(), BTreeMap::new());
        let (first, last) = (0, usize::MAX);
        let mut work = Self { disk, engine, registry, context, plugin, promises, content, first, last };
        work.build("built:first");
        work.engine.ok(&["tag", "built:first", &work.remote("pulled")]);
        work.engine.ok(&["push", "--quiet", &work.remote("pulled")]);
        work.engine.ok(&["save", "--output", &work.archive(), &work.remote("pulled")]);
        work.engine.ok(&["rmi", &work.remote("pulled")]);
        work.promise("busybox:latest");
        work.engine.ok(&["run", "--name", "source", "--network", "none", "busybox", "touch", "/srv/x"]);
        work.first = work.disk.moment();
        Some(work)
    }

    /// Everything that changes the store.
    fn do_it(&mut self) {
        let (pulled, pushed) = (self.remote("pulled"), self.remote("pushed"));
        self.name("kept:v1", &["tag", "busybox", "kept:v1"]);
        self.build("built:second");
        self.build_by_buildkit("built:third");
        self.remove("built:first");
        self.engine.ok(&["builder", "prune", "--all", "--force"]);
        self.name(&pulled, &["pull", "--quiet", &pulled]);
        self.name("made:v1", &["commit", "source", "made:v1"]);
        self.remove(&pulled);
        self.name(&pulled, &["load", "--quiet", "--input", &self.archive()]);
        self.name(&pushed, &["tag", "made:v1", &pushed]);
        self.engine.ok(&["push", "--quiet", &pushed]);
        self.remove("built:second");
        self.engine.ok(&["builder", "prune", "--all", "--force"]);
        self.remove(&pulled);
        self.name(&pulled, &["pull", "--quiet", &pulled]);
        self.engine.ok(&["image", "prune", "--force"]);
        self.last = self.disk.moment();
    }

    fn remote(&self, name: &str) -> String {
        format!("{}/team/{name}:v1", self.registry.address)
    }

    fn archive(&self) -> String {
        self.context.path().join("image.tar").to_string_lossy().into_owned()
    }

    fn build(&mut self, name: &str) {
        self.context.built(&self.engine, &["--no-cache", "--quiet", "--tag", name]);
        self.promise(name);
    }

    /// The same by BuildKit, where the client's plugin is.
    fn build_by_buildkit(&mut self, name: &str) {
        let Some(config) = &self.plugin else { return };
        let mut client = self.context.command(&self.engine, &["--no-cache", "--quiet", "--tag", name]);
        let client = client.env("DOCKER_BUILDKIT", "1").env("DOCKER_CONFIG", config.path());
        let built = said(&client.output().unwrap());
        assert_eq!(built.code, 0, "{}", built.err);
        self.promise(name);
    }

    /// The client does what gives an image this name.
    fn name(&mut self, name: &str, args: &[&str]) {
        self.engine.ok(args);
        self.promise(name);
    }

    /// Notes that the engine said this name is there.
    fn promise(&mut self, name: &str) {
        let from = self.disk.moment();
        self.promises.push(Promise { name: name.to_owned(), from, until: usize::MAX });
        let content = content(&self.engine, name);
        let before = self.content.insert(name.to_owned(), content.clone());
        assert!(before.is_none_or(|before| before == content), "{name} isn't what it was");
    }

    /// Removes a name, which from now on may be gone.
    fn remove(&mut self, name: &str) {
        let now = self.disk.moment();
        let promise = self.promises.iter_mut().rfind(|promise| promise.name == name).unwrap();
        promise.until = now;
        self.engine.ok(&["rmi", "--force", name]);
    }

    /// Starts the engine on what a power cut leaves.
    fn cut(&mut self, moment: usize, chance: &mut Chance) {
        self.engine.end();
        self.disk.detach();
        self.disk.cut(moment, chance);
        self.engine.answer_again();
    }

    fn check(&self, moment: usize, what: &str) {
        let there = self.engine.ok(&["images", "--format", "{{.Repository}}:{{.Tag}}"]);
        let there: Vec<&str> = there.lines().filter(|name| !name.contains("<none>")).collect();
        let is_promised = |promise: &&Promise| (promise.from..promise.until).contains(&moment);
        for Promise { name, .. } in self.promises.iter().filter(is_promised) {
            assert!(there.contains(&name.as_str()), "{what}: {name} is gone; there are {there:?}");
        }
        for name in there {
            assert_eq!(content(&self.engine, name), self.content[name], "{what}: {name} is another");
        }
        let pulled = self.remote("pulled");
        self.engine.ok(&["pull", "--quiet", &pulled]);
        assert_eq!(content(&self.engine, &pulled), self.content[&pulled], "{what}: pulled again");
    }

    /// Without images, containers and the cache, nothing is left of all that was begun.
    fn check_remains(&self, what: &str) {
        self.engine.ok(&["container", "prune", "--force"]);
        self.engine.ok(&["builder", "prune", "--all", "--force"]);
        // The first time leaves what others were made on.
        self.engine.ok(&["image", "prune", "--all", "--force"]);
        self.engine.ok(&["image", "prune", "--all", "--force"]);
        let store = self.engine.data_root().join("images");
        for folder in FOLDERS {
            let left = fs::read_dir(store.join(folder)).unwrap().map(|entry| entry.unwrap().file_name());
            let left: Vec<_> = left.collect();
            assert!(left.is_empty(), "{what}: {folder} has {left:?}");
        }
    }
}

/// What an image is to its user: a hash of every file in it. On the way, what would be sent of it is checked, too.
fn content(engine: &Engine, name: &str) -> String {
    let id = engine.ok(&["create", name, "true"]);
    let mut hash = Sha256::new();
    for_each_file(engine, &["export", &id], |header, path, bytes| {
        let facts =
            (header.entry_type(), header.mode().unwrap(), header.uid().unwrap(), header.gid().unwrap());
        hash.update(format!("{path} {facts:?} {}", hex(bytes)));
    });
    engine.ok(&["rm", &id]);
    for_each_file(engine, &["save", name], |_, path, bytes| {
        if let Some(digest) = path.strip_prefix("blobs/sha256/").filter(|rest| !rest.is_empty()) {
            assert_eq!(digest, hex(bytes), "{name}: a blob is damaged");
        }
    });
    format!("{:x?}", hash.finalize())
}

/// Looks at every entry of an archive that the client prints.
fn for_each_file(engine: &Engine, args: &[&str], mut look: impl FnMut(&tar::Header, &str, &[u8])) {
    let mut client = engine.client(args).stdout(Stdio::piped()).spawn().unwrap();
    let mut archive = tar::Archive::new(client.stdout.take().unwrap());
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let (header, path) = (entry.header().clone(), entry.path().unwrap().display().to_string());
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        look(&header, &path, &bytes);
    }
    drop(archive);
    assert!(client.wait().unwrap().success(), "{args:?}");
}

fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}

#[test]
fn no_image_is_lost_and_nothing_stays_half_done_when_the_power_goes() {
    let Some(mut work) = Work::new() else { return };
    work.do_it();
    let moments = (work.last - work.first) as u64;
    for number in 1..=u64::from(repeats(CUTS, USUAL)) {
        let mut chance = Chance::of(number);
        let moment = work.first + usize::try_from(chance.number(moments)).unwrap();
        let what = format!("cut {number}, at {moment} of {}..{}", work.first, work.last);
        work.cut(moment, &mut chance);
        work.check(moment, &what);
        work.check_remains(&what);
    }
}
