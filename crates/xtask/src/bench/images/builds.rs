//! Builds through buildx, with the client and by the engine's own time, and podman's: thirty steps from nothing and from
//! the cache, and a context of many files sent again after one of them changed.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;

use super::lives::Subject;
use super::tap::Tap;
use super::{Args, Measured, Rows, settle, timed};
use crate::bench::median;
use crate::bench::podman::Podman;
use crate::buildx;

const STEPS: usize = 30;
/// Files of a folder of the large context.
const PER_FOLDER: usize = 500;

/// An engine whose builds are watched.
struct Watched<'a> {
    engine: &'a Measured,
    tap: Tap,
}

/// Measures all three.
pub(super) fn measure(
    engines: &[Measured; 2],
    podman: &Podman,
    folder: &Path,
    args: &Args,
    rows: &mut Rows,
) -> anyhow::Result<()> {
    let plugin = buildx::for_tests()?;
    let watch = |engine| Watched::new(engine, &plugin);
    let [ours, theirs] = engines.each_ref().map(watch);
    let builders = Builders { engines: [ours?, theirs?], podman };
    let steps = folder.join("steps");
    fs::create_dir(&steps)?;
    let mut text = format!("FROM {}\n", super::SMALL);
    for step in 0..STEPS {
        writeln!(text, "RUN echo {step} > /tmp/{step}")?;
    }
    fs::write(steps.join("Dockerfile"), text)?;
    rows.extend(builders.measure(args.runs, "build 30 steps, cold", || Ok((&steps, true)))?);
    rows.extend(builders.measure(args.runs, "build 30 steps, cached", || Ok((&steps, false)))?);
    let many = folder.join("many");
    many_files(&many, args.files)?;
    builders.measure(1, "build, many files, cold", || Ok((&many, false)))?;
    let mut change = 0;
    let name = format!("build, one of {} files changed", args.files);
    rows.extend(builders.measure(args.runs, &name, || {
        change += 1;
        fs::write(many.join("0/0"), change.to_string())?;
        Ok((&many, false))
    })?);
    Ok(())
}

/// Whoever builds.
struct Builders<'a> {
    engines: [Watched<'a>; 2],
    podman: &'a Podman,
}

impl Builders<'_> {
    /// The medians, done in turns: of the whole command, and of what ours and dockerd had to do with it. `prepare` makes
    /// each build's context, and says whether nothing of the cache is used.
    fn measure<'a>(
        &self,
        runs: usize,
        name: &str,
        mut prepare: impl FnMut() -> anyhow::Result<(&'a PathBuf, bool)>,
    ) -> anyhow::Result<Rows> {
        println!("==> {name}");
        let mut took = [(Vec::new(), Vec::new()), (Vec::new(), Vec::new())];
        let mut podman = Vec::new();
        for _ in 0..runs {
            for (engine, (whole, busy)) in self.engines.iter().zip(&mut took) {
                let (context, is_cold) = prepare()?;
                settle()?;
                whole.push(timed(|| engine.build(context, is_cold))?);
                busy.push(engine.tap.took()?);
            }
            let (context, is_cold) = prepare()?;
            let context = context.to_string_lossy();
            settle()?;
            let cache = if is_cold { "--no-cache" } else { "--layers" };
            podman.push(timed(|| self.podman.call(&["build", "--quiet", cache, &context]))?);
        }
        let ([ours, theirs], podman) =
            (took.map(|(whole, busy)| (median(whole), median(busy))), median(podman));
        Ok(vec![
            (format!("{name}, with client"), (ours.0, theirs.0)),
            (format!("{name}, engine"), (ours.1, theirs.1)),
            (format!("{name}, with client, to podman's"), (ours.0, podman)),
        ])
    }
}

impl<'a> Watched<'a> {
    fn new(engine: &'a Measured, plugin: &Path) -> anyhow::Result<Self> {
        buildx::give(plugin, &engine.folder)?;
        let tap = Tap::start(&engine.peer.socket(), engine.folder.join("tap.sock"))?;
        Ok(Self { engine, tap })
    }

    fn build(&self, context: &Path, is_cold: bool) -> anyhow::Result<()> {
        let mut args = vec!["buildx", "build", "--quiet", "--provenance=false"];
        args.extend(is_cold.then_some("--no-cache"));
        let context = context.to_string_lossy();
        args.push(&context);
        self.engine.client(&mut Command::new("docker"), &self.tap.socket, &args)
    }
}

/// Replaces the image in its registry, which lies in a folder, by one whose layers are compressed by zstd, which dockerd
/// doesn't push.
pub(super) fn repack(engine: &Measured, subject: &Subject, registry: &Path) -> anyhow::Result<()> {
    let context = tempfile::tempdir()?;
    fs::write(context.path().join("Dockerfile"), format!("FROM {}\n", subject.name))?;
    let output = format!(
        "--output=type=image,push=true,oci-mediatypes=true,compression=zstd,force-compression=true,name={}",
        subject.name
    );
    let context = context.path().to_string_lossy();
    engine.docker(&["buildx", "build", "--quiet", "--provenance=false", &output, &context])?;
    engine.docker(&["rmi", "--force", &subject.name])?;
    // What it was built from, and the cache, would keep the layers.
    engine.docker(&["image", "prune", "--all", "--force"])?;
    engine.docker(&["builder", "prune", "--all", "--force"])?;
    lead_to_zstd(&registry.join("docker/registry/v2"), subject)
}

/// Leads the image's tag to its last manifest with such layers: before 0.22 buildx pushes once more through Docker's API,
/// which knows nothing of the compression.
fn lead_to_zstd(registry: &Path, subject: &Subject) -> anyhow::Result<()> {
    let tag = registry.join(format!("repositories/bench/l{}/_manifests/tags/v1", subject.layers));
    let mut manifests = Vec::new();
    for entry in fs::read_dir(tag.join("index/sha256"))? {
        let hex = entry?.file_name().to_string_lossy().into_owned();
        let blob = registry.join(format!("blobs/sha256/{}/{hex}/data", &hex[..2]));
        if fs::read_to_string(&blob)?.contains("tar+zstd") {
            manifests.push((fs::metadata(blob)?.modified()?, hex));
        }
    }
    let (_, hex) = manifests.into_iter().max().context("no layers compressed by zstd were pushed")?;
    Ok(fs::write(tag.join("current/link"), format!("sha256:{hex}"))?)
}

fn many_files(folder: &Path, count: usize) -> anyhow::Result<()> {
    for number in 0..count {
        let inner = folder.join((number / PER_FOLDER).to_string());
        if number % PER_FOLDER == 0 {
            fs::create_dir_all(&inner)?;
        }
        fs::write(inner.join(number.to_string()), format!("file {number}\n"))?;
    }
    fs::write(folder.join("Dockerfile"), "FROM scratch\nCOPY . /\n")?;
    Ok(())
}
