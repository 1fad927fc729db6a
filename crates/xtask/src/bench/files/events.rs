//! How long it takes until a change of the host's is an event in a container: from before a file is made to when the
//! container's word of it is back on the host, so that one clock measures.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::mem::MaybeUninit;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rustix::fs::inotify;

use super::median;
use crate::folders::{Folders, PLACES, Place};

/// What the watching program takes.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The folder.
    folder: PathBuf,
}

/// What isn't told by then never is.
const PATIENCE: Duration = Duration::from_secs(5);
/// The program has started by then, on a loaded machine too.
const START: Duration = Duration::from_secs(30);
/// What the watching program says first.
const WATCHING: &str = "watching";

/// In the container: says the name of each file that appears in a folder.
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let watch = inotify::init(inotify::CreateFlags::CLOEXEC)?;
    inotify::add_watch(&watch, &args.folder, inotify::WatchFlags::CREATE)?;
    println!("{WATCHING}");
    let mut buffer = [MaybeUninit::uninit(); 4096];
    let mut events = inotify::Reader::new(watch, &mut buffer);
    loop {
        if let Some(name) = events.next()?.file_name() {
            println!("{}", name.to_string_lossy());
        }
    }
}

/// Median and longest of `count` events in each place, in milliseconds; nothing where none comes.
pub(super) fn measure(
    folders: &Folders,
    program: &str,
    count: usize,
) -> anyhow::Result<[Option<[f64; 2]>; PLACES.len()]> {
    let mut took = [None; PLACES.len()];
    for (place, took) in PLACES.iter().zip(&mut took) {
        if let Some(host) = folders.on_host(place).filter(|_| count > 0) {
            let watcher = Watcher::start(folders, place, program)?;
            *took = watcher.hear(&host, count).with_context(|| format!("events of {}", place.name))?;
        }
    }
    Ok(took)
}

/// The watching program in a container. When dropped, its client ends; it ends with its container.
struct Watcher {
    client: Child,
    said: Receiver<String>,
}

impl Watcher {
    fn start(folders: &Folders, place: &Place, program: &str) -> anyhow::Result<Self> {
        let mut command = folders.command(place, &[program, "bench", "files-events", place.folder]);
        let mut client = command.stdout(Stdio::piped()).spawn().context("watch in a container")?;
        let output = client.stdout.take().context("the client's output")?;
        let (tell, said) = mpsc::channel();
        std::thread::spawn(move || {
            BufReader::new(output).lines().map_while(Result::ok).try_for_each(|line| tell.send(line))
        });
        let watcher = Self { client, said };
        if watcher.said.recv_timeout(START).as_deref() != Ok(WATCHING) {
            bail!("nothing watches in {}", place.name);
        }
        Ok(watcher)
    }

    /// Makes files and waits for the word of each. They stay: the last thing that is measured there.
    fn hear(&self, host: &Path, count: usize) -> anyhow::Result<Option<[f64; 2]>> {
        let mut took = Vec::new();
        for number in 0..count {
            let name = format!("event-{number:06}");
            let began = Instant::now();
            File::create_new(host.join(&name))?;
            let said = self.said.recv_timeout(PATIENCE);
            took.push(began.elapsed().as_secs_f64() * 1000.0);
            match said {
                Ok(said) if said == name => {}
                Ok(said) => bail!("{said} was told of instead of {name}"),
                Err(_) if number == 0 => return Ok(None),
                Err(_) => bail!("{name} wasn't told of within {} s", PATIENCE.as_secs()),
            }
        }
        let longest = took.iter().copied().fold(0.0, f64::max);
        Ok(Some([median(took), longest]))
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        drop(self.client.kill());
        drop(self.client.wait());
    }
}
