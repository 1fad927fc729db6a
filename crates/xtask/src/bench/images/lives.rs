//! What is done with an image, each engine in turn: ours and dockerd by Docker's client, podman by its own.

use std::path::PathBuf;
use std::process::Command;

use super::floor::{self, Packing};
use super::{Args, Measured, Rows, settle, timed};
use crate::bench::median;
use crate::bench::podman::Podman;
use crate::registry::Registry;

/// Where images are pushed to: a registry that has nothing yet.
const EMPTY: u16 = 5001;
/// Images that no container uses, named or not.
const ALL_UNUSED: &str = "/images/prune?filters=%7B%22dangling%22%3A%5B%22false%22%5D%7D";

/// An image that is measured.
pub(super) struct Subject {
    pub(super) layers: u64,
    pub(super) name: String,
    pub(super) archive: PathBuf,
    /// How its layers lie in the registry.
    pub(super) packing: Packing,
}

/// What an engine does with it, each undoing or needing the one before.
#[derive(Clone, Copy)]
enum Verb {
    Pull,
    Save,
    Remove,
    Load,
    Push,
    Prune,
}

const VERBS: [(&str, Verb); 6] = [
    ("pull", Verb::Pull),
    ("save", Verb::Save),
    ("rmi", Verb::Remove),
    ("load", Verb::Load),
    ("push", Verb::Push),
    ("prune", Verb::Prune),
];

/// Whoever does all of it.
trait Lives {
    /// How long that takes, in seconds.
    fn take(&mut self, verb: Verb, subject: &Subject) -> anyhow::Result<f64>;
}

/// Medians of every verb; and of a pull's floor. `make` puts an image that nobody has seen into the registry, says which
/// layers those are, and lays another one's archive out: dockerd 28 keeps most layers of an image of many that it pulled
/// when that is removed, and wouldn't fetch or load them again.
pub(super) fn measure(
    both: &mut [Measured; 2],
    podman: &mut Podman,
    subject: &Subject,
    make: &mut dyn FnMut(&mut [Measured; 2]) -> anyhow::Result<Vec<PathBuf>>,
    args: &Args,
) -> anyhow::Result<(Rows, f64)> {
    println!("==> {} layers", subject.layers);
    let folder = both[0].folder.clone();
    let mut took = VERBS.map(|_| [const { Vec::new() }; 3]);
    let mut floors = Vec::new();
    for _ in 0..args.runs {
        let layers = make(both)?;
        let [ours, theirs] = &mut *both;
        let mut engines: [&mut dyn Lives; 3] = [ours, theirs, podman];
        for (index, engine) in engines.iter_mut().enumerate() {
            settle()?;
            for ((_, verb), took) in VERBS.iter().zip(&mut took) {
                took[index].push(engine.take(*verb, subject)?);
            }
        }
        settle()?;
        floors.push(floor::unpack(&layers, args.packing, &folder)?);
    }
    let mut rows = Rows::new();
    for ((name, _), took) in VERBS.iter().zip(took) {
        let [ours, theirs, podman] = took.map(median);
        rows.push((format!("{name}, {} layers", subject.layers), (ours, theirs)));
        rows.push((format!("{name}, {} layers, to podman's", subject.layers), (ours, podman)));
    }
    Ok((rows, median(floors)))
}

impl Lives for Measured {
    fn take(&mut self, verb: Verb, subject: &Subject) -> anyhow::Result<f64> {
        let Subject { name, archive, .. } = subject;
        match verb {
            Verb::Pull => timed(|| self.docker(&["pull", "--quiet", name])),
            Verb::Save => {
                // Into nothing: what is measured is the engine, not this disk.
                let mut shell = Command::new("sh");
                shell.args(["-c", "exec docker \"$@\" > /dev/null", "sh"]);
                timed(|| self.client(&mut shell, &self.peer.socket(), &["save", name]))
            }
            Verb::Remove => timed(|| self.call("DELETE", &format!("/images/{name}"))),
            Verb::Load => timed(|| self.docker(&["load", "--quiet", "--input", &archive.to_string_lossy()])),
            Verb::Push => {
                let other = elsewhere(subject);
                // Not on the engines' disk, or the next verb's first sync would free what the registry had there.
                let folder = tempfile::tempdir()?;
                let _registry = Registry::start(|program| self.peer.beside(program), folder.path(), EMPTY)?;
                self.docker(&["tag", name, &other])?;
                let took = timed(|| self.docker(&["push", "--quiet", &other]))?;
                self.docker(&["rmi", &other])?;
                Ok(took)
            }
            Verb::Prune => timed(|| self.call("POST", ALL_UNUSED)),
        }
    }
}

impl Lives for Podman {
    fn take(&mut self, verb: Verb, subject: &Subject) -> anyhow::Result<f64> {
        let Subject { name, archive, .. } = subject;
        match verb {
            Verb::Pull => timed(|| self.call(&["pull", "--quiet", "--tls-verify=false", name])),
            Verb::Save => {
                // Docker's own format knows no zstd for podman.
                let format = match subject.packing {
                    Packing::Gzip => "docker-archive",
                    Packing::Zstd => "oci-archive",
                };
                timed(|| self.call(&["save", "--quiet", "--format", format, "--output", "/dev/null", name]))
            }
            Verb::Remove => timed(|| self.call(&["rmi", name])),
            Verb::Load => timed(|| self.call(&["load", "--quiet", "--input", &archive.to_string_lossy()])),
            Verb::Push => {
                let other = elsewhere(subject);
                let folder = tempfile::tempdir()?;
                let _registry = Registry::start(|program| self.beside(program), folder.path(), EMPTY)?;
                self.call(&["tag", name, &other])?;
                let took = timed(|| self.call(&["push", "--quiet", "--tls-verify=false", &other]))?;
                self.call(&["rmi", &other])?;
                Ok(took)
            }
            Verb::Prune => timed(|| self.call(&["image", "prune", "--all", "--force"])),
        }
    }
}

/// The image's name in the empty registry.
fn elsewhere(subject: &Subject) -> String {
    format!("127.0.0.1:{EMPTY}/bench/l{}:v1", subject.layers)
}
