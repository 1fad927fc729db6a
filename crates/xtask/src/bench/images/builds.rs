//! Builds through buildx, with the client and by the engine's own time: thirty steps from nothing and from the cache, and
//! a context of many files sent again after one of them changed.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

use super::tap::Tap;
use super::{Args, Measured, Rows, timed};
use crate::bench::median;
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
    folder: &Path,
    args: &Args,
    rows: &mut Rows,
) -> anyhow::Result<()> {
    let Some(plugin) = buildx::plugin() else {
        println!("==> builds: skipped: buildx isn't installed, and BERTH_E2E_BUILDX doesn't name it");
        return Ok(());
    };
    let watch = |engine| Watched::new(engine, &plugin);
    let [ours, theirs] = engines.each_ref().map(watch);
    let engines = [ours?, theirs?];
    let steps = folder.join("steps");
    fs::create_dir(&steps)?;
    let mut text = format!("FROM {}\n", super::SMALL);
    for step in 0..STEPS {
        writeln!(text, "RUN echo {step} > /tmp/{step}")?;
    }
    fs::write(steps.join("Dockerfile"), text)?;
    rows.extend(both(&engines, args.runs, "build 30 steps, cold", |engine| engine.build(&steps, true))?);
    rows.extend(both(&engines, args.runs, "build 30 steps, cached", |engine| engine.build(&steps, false))?);
    let many = folder.join("many");
    many_files(&many, args.files)?;
    for engine in &engines {
        engine.build(&many, false)?;
        engine.tap.took()?;
    }
    let mut change = 0;
    let name = format!("build, one of {} files changed", args.files);
    rows.extend(both(&engines, args.runs, &name, |engine| {
        change += 1;
        fs::write(many.join("0/0"), change.to_string())?;
        engine.build(&many, false)
    })?);
    Ok(())
}

/// The medians of ours and theirs, done in turns: of the whole command, and of what the engine had to do with it.
fn both(
    engines: &[Watched<'_>; 2],
    runs: usize,
    name: &str,
    mut build: impl FnMut(&Watched<'_>) -> anyhow::Result<()>,
) -> anyhow::Result<Rows> {
    println!("==> {name}");
    let mut took = [(Vec::new(), Vec::new()), (Vec::new(), Vec::new())];
    for _ in 0..runs {
        for (engine, (whole, busy)) in engines.iter().zip(&mut took) {
            whole.push(timed(|| build(engine))?);
            busy.push(engine.tap.took()?);
        }
    }
    let [ours, theirs] = took.map(|(whole, busy)| (median(whole), median(busy)));
    Ok(vec![
        (format!("{name}, with client"), (ours.0, theirs.0)),
        (format!("{name}, engine"), (ours.1, theirs.1)),
    ])
}

impl<'a> Watched<'a> {
    fn new(engine: &'a Measured, plugin: &Path) -> anyhow::Result<Self> {
        buildx::give(plugin, &engine.folder)?;
        let tap = Tap::start(&engine.peer.socket(), engine.folder.join("tap.sock"))?;
        Ok(Self { engine, tap })
    }

    fn build(&self, context: &Path, is_cold: bool) -> anyhow::Result<()> {
        let mut args = vec!["buildx", "build", "--quiet", "--provenance=false"];
        if is_cold {
            args.push("--no-cache");
        }
        let context = context.to_string_lossy();
        args.push(&context);
        self.engine.client(&mut Command::new("docker"), &self.tap.socket, &args)
    }
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
