//! `cargo xtask bench files`: what work on a shared folder takes, by its device and over vsock, beside the published
//! virtiofsd at the same emulator, kernel and guest, and beside the guest's own ext4; in turns.

pub(super) mod deed;
pub(super) mod events;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;
use serde_json::json;

use super::median;
use crate::build::{self, Profile};
use crate::container_image::ContainerImage;
use crate::folders::{Folders, PLACES, Place};
use crate::step::find_program;
use crate::{image, interrupt};
use deed::{ARCHIVE, BUNDLE, DEEDS};

/// What `cargo xtask bench files` takes.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// How often each is done: with eight, each place is the first and the last twice.
    #[arg(long, default_value_t = 4)]
    runs: usize,
    /// How many files are made, looked at, moved and removed.
    #[arg(long, default_value_t = 20_000)]
    files: usize,
    /// How long the long file is.
    #[arg(long, default_value_t = 1024)]
    mebibytes: usize,
    /// How many changes of the host are awaited as events in a container; 0 for none.
    #[arg(long, default_value_t = 100)]
    events: usize,
    /// Only these deeds, and those that leave what they need must be among them.
    #[arg(long, value_enum, value_delimiter = ',')]
    deeds: Vec<deed::Deed>,
    /// The virtiofsd to measure against.
    #[arg(long)]
    virtiofsd: Option<PathBuf>,
    /// With the programs as they are in target/berth, which were built for measuring before.
    #[arg(long)]
    built: bool,
}

/// Of the repository and of the archive.
const FOLDERS: usize = 100;
const FILES_EACH: usize = 20;
const LINES: usize = 100;

/// Measures and prints.
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    if !args.built {
        image::run(&image::Args::default())?;
        build::host_programs(Profile::Release)?;
    }
    let folders = Folders::start(&image_with_work()?, args.virtiofsd.as_deref())?;
    let is_wanted = |deed: &deed::Deed| args.deeds.is_empty() || args.deeds.contains(deed);
    let deeds: Vec<deed::Deed> = DEEDS.iter().copied().filter(is_wanted).collect();
    let mut took = vec![[const { Vec::new() }; PLACES.len()]; deeds.len()];
    for run in 1..=args.runs {
        println!("==> run {run}");
        for (deed, took) in deeds.iter().zip(&mut took) {
            for next in order(run) {
                took[next].push(once(&folders, args, *deed, &PLACES[next])?);
            }
            let last = took.each_ref().map(|took| took.last().copied().unwrap_or(f64::NAN));
            let last: String = last.iter().map(|seconds| format!(" {seconds:>9.3} s")).collect();
            println!("  {:<16}{last}", deed.name());
        }
    }
    let events = events::measure(&folders, &name_of(&program()?), args.events)?;
    print(args, &deeds, took, events);
    Ok(())
}

/// The places in the order of a run. Whoever is first finds the disk as nobody has touched it yet, and what the one
/// before wrote may still be on its way there: each is the first in turn, and they go around in both directions.
fn order(run: usize) -> [usize; PLACES.len()] {
    let mut order = std::array::from_fn(|turn| (run.div_ceil(2) + turn) % PLACES.len());
    if run.is_multiple_of(2) {
        order.reverse();
    }
    order
}

/// One deed in one place, in seconds of the guest.
fn once(folders: &Folders, args: &Args, deed: deed::Deed, place: &Place) -> anyhow::Result<f64> {
    let (files, mebibytes) = (args.files.to_string(), args.mebibytes.to_string());
    let (name, program) = (deed.name(), name_of(&program()?));
    let words = ["bench", "files-deed", &name, place.folder, "--files", &files, "--mebibytes", &mebibytes];
    let printed = folders.exec(place, &[&[program.as_str()], &words[..]].concat())?;
    printed.trim().parse().with_context(|| format!("{name} in {} printed {printed}", place.name))
}

fn print(
    args: &Args,
    deeds: &[deed::Deed],
    took: Vec<[Vec<f64>; PLACES.len()]>,
    events: [Option<[f64; 2]>; PLACES.len()],
) {
    println!(
        "\n  {:<16} {:>11} {:>11} {:>11} {:>11} {:>13} {:>10} {:>8}",
        "median", "ours", "over vsock", "virtiofsd", "ext4", "to virtiofsd", "over vsock", "to ext4"
    );
    let mut seconds = serde_json::Map::new();
    for (deed, took) in deeds.iter().zip(took) {
        let [ours, over_vsock, theirs, own] = took.map(median);
        println!(
            "  {:<16} {ours:>9.3} s {over_vsock:>9.3} s {theirs:>9.3} s {own:>9.3} s {:>13.2} {:>10.2} {:>8.2}",
            deed.name(),
            ours / theirs,
            over_vsock / theirs,
            ours / own,
        );
        seconds.insert(deed.name(), json!([ours, over_vsock, theirs, own]));
    }
    for (which, name) in ["event, median", "event, longest"].into_iter().enumerate() {
        let took = events.map(|took| took.map_or("-".to_owned(), |took| format!("{:.1} ms", took[which])));
        println!("  {name:<16} {:>11} {:>11} {:>11} {:>11}", took[0], took[1], took[2], took[3]);
    }
    println!(
        "{}",
        json!({ "bench": "files", "runs": args.runs, "files": args.files, "mebibytes": args.mebibytes, "seconds": seconds, "events_ms": events })
    );
}

fn name_of(program: &Path) -> String {
    program.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn program() -> anyhow::Result<PathBuf> {
    std::env::current_exe().context("find this program")
}

/// This program, those that it runs, and what they work on.
fn image_with_work() -> anyhow::Result<ContainerImage> {
    let installed = |name: &str| find_program(name).with_context(|| format!("{name} isn't installed"));
    let programs = [program()?, installed("git")?, installed("sqlite3")?];
    let programs: Vec<&Path> = programs.iter().map(PathBuf::as_path).collect();
    let folder = tempfile::tempdir().context("make a folder for a repository")?;
    let tree = folder.path().join("tree");
    plant(&tree)?;
    let git = |args: &[&str]| {
        let mut git = Command::new("git");
        git.arg("-C").arg(&tree).args(["-c", "user.name=bench", "-c", "user.email=bench@localhost"]);
        interrupt::output(git.args(args)).context("make a repository")
    };
    git(&["init", "--quiet", "--initial-branch", "main"])?;
    git(&["add", "--all"])?;
    git(&["commit", "--quiet", "--message", "everything"])?;
    git(&["bundle", "create", "--quiet", "../bundle", "HEAD", "main"])?;
    git(&["archive", "--output", "../tree.tar", "HEAD"])?;
    let files = vec![
        (BUNDLE.to_owned(), fs::read(folder.path().join("bundle"))?),
        (ARCHIVE.to_owned(), fs::read(folder.path().join("tree.tar"))?),
    ];
    ContainerImage::with_programs(&programs, files)
}

/// Files of some kilobytes, no two alike.
fn plant(tree: &Path) -> anyhow::Result<()> {
    for folder in 0..FOLDERS {
        let path = tree.join(format!("folder-{folder:03}"));
        fs::create_dir_all(&path)?;
        for file in 0..FILES_EACH {
            let line = |line: usize| format!("line {line} of file {file} of folder {folder}\n");
            let text: String = (0..LINES).map(line).collect();
            fs::write(path.join(format!("file-{file:03}.txt")), text)?;
        }
    }
    Ok(())
}
