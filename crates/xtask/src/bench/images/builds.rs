//! Builds through buildx, client included: thirty steps from nothing and from the cache, and a context of many files
//! sent again after one of them changed.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use super::{Args, Measured, Rows, both};
use crate::buildx;

const STEPS: usize = 30;
/// Files of a folder of the large context.
const PER_FOLDER: usize = 500;

/// Measures all three.
pub(super) fn measure(
    engines: &mut [Measured; 2],
    folder: &Path,
    args: &Args,
    rows: &mut Rows,
) -> anyhow::Result<()> {
    let Some(plugin) = buildx::plugin() else {
        println!("==> builds: skipped: buildx isn't installed, and BERTH_E2E_BUILDX doesn't name it");
        return Ok(());
    };
    for engine in &*engines {
        buildx::give(&plugin, &engine.folder)?;
    }
    let steps = folder.join("steps");
    fs::create_dir(&steps)?;
    let mut text = format!("FROM {}\n", super::SMALL);
    for step in 0..STEPS {
        writeln!(text, "RUN echo {step} > /tmp/{step}")?;
    }
    fs::write(steps.join("Dockerfile"), text)?;
    rows.push((
        "build 30 steps, cold".to_owned(),
        both(engines, args.runs, |engine| build(engine, &steps, true))?,
    ));
    rows.push((
        "build 30 steps, cached".to_owned(),
        both(engines, args.runs, |engine| build(engine, &steps, false))?,
    ));
    let many = folder.join("many");
    many_files(&many, args.files)?;
    for engine in &mut *engines {
        build(engine, &many, false)?;
    }
    let mut change = 0;
    let again = both(engines, args.runs, |engine| {
        change += 1;
        fs::write(many.join("0/0"), change.to_string())?;
        build(engine, &many, false)
    })?;
    rows.push((format!("build, one of {} files changed", args.files), again));
    Ok(())
}

fn build(engine: &mut Measured, context: &Path, is_cold: bool) -> anyhow::Result<()> {
    let mut args = vec!["buildx", "build", "--quiet", "--provenance=false"];
    if is_cold {
        args.push("--no-cache");
    }
    let context = context.to_string_lossy();
    args.push(&context);
    engine.docker(&args)
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
