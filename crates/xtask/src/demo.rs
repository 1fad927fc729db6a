//! `cargo xtask demo`: the README's first command. Builds what isn't built, boots the machine, runs a container from
//! an image that needs no registry, and fetches its page from localhost.

pub(crate) mod image;
mod page;
mod timeline;

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use crate::step::programs_dir;
use crate::{build, interrupt, setup, window};
use timeline::Timeline;

/// What `cargo xtask demo` takes.
#[derive(clap::Args, Default)]
pub(crate) struct Args {
    /// Opens no window: returns once the page was fetched and leaves everything running.
    #[arg(long)]
    headless: bool,
    /// Ends everything that the demo started.
    #[arg(long, conflicts_with = "headless")]
    stop: bool,
}

const CONTAINER: &str = "berth-demo";
const PORT: u16 = 8080;
/// A daemon that was just started listens after this, and can be asked to stop.
const SETTLED: Duration = Duration::from_millis(300);
/// The page tells of these limits.
const LIMITS: &[&str] = &["--memory", "128m", "--cpus", "1", "--pids-limit", "64"];

/// Runs the demo, or ends it.
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    if args.stop {
        return stop();
    }
    setup::for_demo()?;
    crate::image::run(&crate::image::Args::default())?;
    build::host_programs(build::Profile::Dev)?;
    if !args.headless {
        window::build()?;
    }
    let archive = image::make(&programs_dir())?;
    let ran_before = is_running()?;
    match show(&archive) {
        Ok(timeline) => {
            print!("{timeline}");
            println!("\nThe page: http://localhost:{PORT}");
            if !args.headless {
                open_window()?;
            }
            println!("Everything goes on running. End it with `cargo xtask demo --stop`.");
            Ok(())
        }
        Err(error) => {
            // What failed or was interrupted leaves nothing behind that wasn't there before.
            if ran_before {
                drop(berth(&["rm", "--force", CONTAINER]).output());
            } else {
                std::thread::sleep(SETTLED);
                drop(berth(&["stop"]).output());
            }
            Err(error)
        }
    }
}

/// From nothing to a fetched page, each step timed.
fn show(archive: &std::path::Path) -> anyhow::Result<Timeline> {
    let mut timeline = Timeline::begin();
    interrupt::output(&mut berth(&["start"]))?;
    timeline.machine(&status()?)?;
    interrupt::output(&mut berth(&["rm", "--force", "--volumes", CONTAINER]))?;
    let began = Instant::now();
    interrupt::output(berth(&["load", "--quiet", "--input"]).arg(archive))?;
    timeline.step("load the image", began);
    let began = Instant::now();
    let publish = format!("{PORT}:80");
    let mut run =
        berth(&["run", "--detach", "--name", CONTAINER, "--hostname", CONTAINER, "--publish", &publish]);
    if let Err(error) = interrupt::output(run.args(LIMITS).arg(image::NAME)) {
        if error.to_string().contains("already allocated") || error.to_string().contains("already in use") {
            bail!("{error}\nSomebody else listens on port {PORT}: end that and run this again.");
        }
        return Err(error);
    }
    timeline.step("run the container", began);
    let began = Instant::now();
    let page = page::fetch(PORT)?;
    timeline.step("fetch the page", began);
    timeline.end();
    println!("\nThe container says: {}", page::title(&page));
    Ok(timeline)
}

/// `target/berth/berth` with arguments, for this user's own machine whatever `DOCKER_HOST` says.
fn berth(args: &[&str]) -> Command {
    let mut command = Command::new(programs_dir().join("berth"));
    command.args(args).env_remove("DOCKER_HOST").stdin(Stdio::null());
    command
}

fn status() -> anyhow::Result<serde_json::Value> {
    let output = berth(&["status", "--json"]).output().context("run `berth status`")?;
    serde_json::from_slice(&output.stdout).context("read what `berth status` says")
}

fn is_running() -> anyhow::Result<bool> {
    Ok(status()?["state"] == "running")
}

/// Opens the window where there is a display.
fn open_window() -> anyhow::Result<()> {
    let window = programs_dir().join("berth-desktop");
    let display = ["DISPLAY", "WAYLAND_DISPLAY"].iter().any(|name| std::env::var_os(name).is_some());
    if !display || !window.is_file() {
        println!("No window: {}.", if display { "berth-desktop isn't built" } else { "there is no display" });
        return Ok(());
    }
    let mut command = Command::new(&window);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    let child = command.spawn().context("open the window")?;
    std::fs::write(window_file(), child.id().to_string())?;
    println!("The window is open.");
    Ok(())
}

/// Which process is the window.
fn window_file() -> PathBuf {
    programs_dir().join("demo-window.pid")
}

/// Ends the window, the container and the machine.
fn stop() -> anyhow::Result<()> {
    if let Ok(id) = std::fs::read_to_string(window_file()) {
        let is_ours = std::fs::read_link(format!("/proc/{}/exe", id.trim()));
        if is_ours.is_ok_and(|program| program == programs_dir().join("berth-desktop")) {
            drop(Command::new("kill").arg(id.trim()).status());
        }
        std::fs::remove_file(window_file())?;
    }
    if !programs_dir().join("berth").is_file() {
        println!("Nothing runs: berth isn't built.");
        return Ok(());
    }
    if is_running()? {
        drop(berth(&["rm", "--force", "--volumes", CONTAINER]).output());
    }
    let stopped = berth(&["stop"]).output().context("run `berth stop`")?;
    print!("{}", String::from_utf8_lossy(&stopped.stdout));
    if !stopped.status.success() {
        bail!("{}", String::from_utf8_lossy(&stopped.stderr).trim());
    }
    Ok(())
}
