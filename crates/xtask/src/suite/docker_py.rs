//! docker-py's integration tests, with a registry on the loopback that has the few images they pull.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};
use clap::ValueEnum;
use serde_json::json;

use super::python;
use super::scoreboard::{self, Score};
use crate::container_image::{ContainerImage, File};
use crate::peer::{Engine, Peer};
use crate::registry::Registry;
use crate::step::step;

/// What `cargo xtask suite docker-py` takes.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// A checkout of docker-py.
    #[arg(long)]
    source: PathBuf,
    /// The engine under test.
    #[arg(long, value_enum, default_value = "native")]
    engine: Engine,
    /// Only tests that match, as pytest's -k takes it; then nothing is noted.
    #[arg(long)]
    only: Option<String>,
}

/// What the tests import besides docker-py itself.
const PACKAGES: &[&str] =
    &["requests", "urllib3", "paramiko", "websocket-client", "pytest<9", "pytest-timeout"];
const REGISTRY: u16 = 5000;

const USERS: &[u8] = b"root:x:0:0:root:/root:/bin/sh\npostgres:x:70:70::/var/lib/postgresql:/bin/sh\n";
const GROUPS: &[u8] = b"root:x:0:\npostgres:x:70:\n";
const HELLO: &[u8] = b"#!/bin/sh\necho\necho 'Hello from Docker!'\n\
    echo 'This message shows that your installation appears to be working correctly.'\n";

/// Runs the tests and notes what passed.
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    if !args.source.join("tests/integration").is_dir() {
        bail!("{} isn't a checkout of docker-py: it has no tests/integration", args.source.display());
    }
    let python = python::programs_of("docker-py", PACKAGES)?.join("python");
    let folder = tempfile::tempdir().context("make a folder for the suite")?;
    let registry = folder.path().join("registry");
    publish_images(&registry)?;
    let engine = folder.path().join("engine");
    fs::create_dir(&engine)?;
    let peer = Peer::start(args.engine, &engine, REGISTRY)?;
    let _registry = Registry::start(|program| peer.beside(program), &registry, REGISTRY)?;
    let report = folder.path().join("report.xml");
    // The tests write into the folder they run in.
    let source = folder.path().join("docker-py");
    step("copy docker-py", Command::new("cp").arg("-a").arg(&args.source).arg(&source))?;
    // The tests clear DOCKER_HOST half-way and write into the user's home.
    let script = "mount -t tmpfs run /run && ln -s \"$1\" /run/docker.sock && shift && exec \"$@\"";
    let mut tests = peer.beside("unshare");
    tests.args(["--mount", "sh", "-c", script, "sh"]).arg(peer.socket()).arg(python);
    tests.args(["-m", "pytest", "-q", "-p", "no:cacheprovider", "--timeout=90", "tests/integration"]);
    tests.arg("--rootdir").arg(&source).arg(format!("--junitxml={}", report.display()));
    if let Some(only) = &args.only {
        tests.args(["-k", only]);
    }
    tests.env("HOME", folder.path()).env("PYTHONPATH", &source).env_remove("DOCKER_HOST");
    tests.env("PYTHONDONTWRITEBYTECODE", "1");
    // What they bind must lie where a machine's user shares it.
    let binds = engine.join("tmp");
    fs::create_dir_all(&binds)?;
    tests.env("TMPDIR", binds);
    // pytest ends with 1 when a test failed: that is what is counted here.
    let ran = step("docker-py's tests", in_folder(&mut tests, &source));
    let Ok(report) = fs::read_to_string(&report) else { return ran };
    let score = read(&report);
    if args.only.is_some() {
        return ran;
    }
    let name = args.engine.to_possible_value().context("a named engine")?.get_name().to_owned();
    scoreboard::note("docker-py", &name, "dockerd", score)
}

/// `command`, run from `folder` whatever folder a step has.
fn in_folder<'a>(command: &'a mut Command, folder: &Path) -> &'a mut Command {
    let mut there = Command::new("env");
    there.arg("-C").arg(folder).arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => there.env(name, value),
            None => there.env_remove(name),
        };
    }
    *command = there;
    command
}

/// The images that the tests pull by their names on Docker Hub. Each has an identity of its own: tests remove by id.
fn publish_images(registry: &Path) -> anyhow::Result<()> {
    let users: &[File<'_>] = &[("etc/passwd", USERS, 0o644), ("etc/group", GROUPS, 0o644)];
    let alpine: &[File<'_>] = &[users[0], users[1], ("var/", b"", 0o755), ("var/opt/", b"", 0o755)];
    let hello: &[File<'_>] = &[("hello", HELLO, 0o755)];
    for (repository, tag, command, files) in [
        ("busybox", "latest", "sh", users),
        ("alpine", "latest", "/bin/sh", alpine),
        ("alpine", "3.10", "/bin/sh", alpine),
        ("hello-world", "latest", "/hello", hello),
    ] {
        let path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
        let config = json!({ "Cmd": [command], "Env": [path], "Labels": { "made-as": format!("{repository}:{tag}") } });
        ContainerImage::new(&config, files)?.publish(registry, &format!("library/{repository}"), tag)?;
    }
    Ok(())
}

/// Counts the tests of a JUnit report, which has them as `file.class.test`.
fn read(report: &str) -> Score {
    let mut score = Score::default();
    for test in report.split("<testcase ").skip(1) {
        let field = |name: &str| {
            test.split_once(&format!("{name}=\""))
                .and_then(|(_, rest)| rest.split('"').next())
                .unwrap_or_default()
        };
        let class = field("classname").trim_start_matches("tests.integration.");
        if test.contains("<failure") || test.contains("<error") {
            // The space tells the name from the class's own.
            score.failed.insert(format!("{class}.{}", field(" name")));
        } else if test.contains("<skipped") {
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
    fn a_report_is_counted() {
        let report = "<testsuite><testcase classname=\"tests.integration.a.B\" name=\"c\" time=\"1\" />\
            <testcase classname=\"tests.integration.a.B\" name=\"d\"><failure message=\"x\">y</failure></testcase>\
            <testcase classname=\"tests.integration.a.B\" name=\"e\"><skipped /></testcase></testsuite>";
        let score = read(report);
        assert_eq!((score.passed, score.skipped), (1, 1));
        assert_eq!(score.failed.into_iter().collect::<Vec<_>>(), ["a.B.d"]);
    }
}
