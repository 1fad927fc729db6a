//! The corpus of Dockerfiles (tests/dockerfiles), built in both ways; each image prints what its `expected` says.
//! `cargo xtask suite dockerfiles` compares every file of them with what other builders make.
#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use e2e::buildx;
use e2e::engine::{Engine, Said, said};

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("dockerfiles")
}

/// The folders of a shelf, in order.
fn folders(shelf: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(corpus().join(shelf)).unwrap();
    let mut folders: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    folders.sort();
    folders
}

/// Makes `debian:here`, if that can be: says whether it is there.
fn with_debian(engine: &Engine) -> bool {
    if engine.is_machine() {
        eprintln!("skipped: Dockerfiles on Debian's packages: emulation makes minutes of their seconds");
        return false;
    }
    let folder = tempfile::tempdir().unwrap();
    let archive = folder.path().join("root.tar");
    let made = said(&Command::new(corpus().join("base.sh")).arg(&archive).output().unwrap());
    if made.code == 3 {
        eprintln!(
            "skipped: Dockerfiles on Debian's packages: {} not installed (`cargo xtask setup`)",
            made.err
        );
        return false;
    }
    assert_eq!(made.code, 0, "{}", made.err);
    let path = "ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    engine.ok(&["import", "--change", path, archive.to_str().unwrap(), "debian:here"]);
    true
}

/// Builds all of some shelves, and looks at what each image prints.
fn all_print_what_is_expected(engine: &Engine, shelves: &[&str], build: impl Fn(&Path) -> Said) {
    let has_debian = with_debian(engine);
    for folder in shelves.iter().flat_map(|shelf| folders(shelf)) {
        let text = fs::read_to_string(folder.join("Dockerfile")).unwrap();
        if text.contains("FROM debian:here") && !has_debian {
            continue;
        }
        let built = build(&folder);
        assert_eq!(built.code, 0, "{}: {}\n{}", folder.display(), built.out, built.err);
        let printed = engine.ok(&["run", "--rm", "--network", "none", "built"]);
        let expected = fs::read_to_string(folder.join("expected")).unwrap();
        assert_eq!(printed, expected.trim_end_matches('\n'), "{}", folder.display());
    }
}

#[test]
fn the_classic_builder_builds_the_corpus() {
    let Some(engine) = Engine::with_busybox() else { return };
    all_print_what_is_expected(&engine, &["classic"], |folder| {
        let mut client = engine.client(&["build", "--tag", "built", folder.to_str().unwrap()]);
        said(&client.env("DOCKER_BUILDKIT", "0").output().unwrap())
    });
}

#[test]
fn buildx_builds_the_corpus() {
    let Some(config) = buildx::config() else { return };
    let Some(engine) = Engine::with_busybox() else { return };
    all_print_what_is_expected(&engine, &["classic", "buildkit"], |folder| {
        let mut client = engine.client(&["buildx", "build", "--progress", "plain", "--tag", "built"]);
        said(&client.arg(folder).env("DOCKER_CONFIG", config.path()).output().unwrap())
    });
}
