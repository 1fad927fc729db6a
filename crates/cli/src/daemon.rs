//! The host daemon: being it (`berth daemon`), and starting it.

use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use hostd::settings::Settings;
use tokio::net::UnixStream;

use crate::failure::{Failure, Outcome};

/// A fresh daemon makes two sockets and listens: far less than this.
const LISTENS: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(5);

/// Runs the daemon until it is asked to stop.
pub(crate) fn serve() -> Outcome {
    // A session of its own: closing the terminal that started it isn't its end. Refused to a shell's job, which is
    // then somebody's foreground on purpose.
    let _ = rustix::process::setsid();
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_ansi(false).init();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    match runtime.block_on(hostd::run(settings()?)) {
        // Two commands at once: the other one's daemon serves both.
        Ok(()) | Err(hostd::Error::AlreadyRunning) => Ok(ExitCode::SUCCESS),
        Err(error) => Err(Failure::from_error(error)),
    }
}

/// This user's settings, with the image that lies beside this program.
pub(crate) fn settings() -> Result<Settings, Failure> {
    let program = std::env::current_exe()?;
    let relaunch = vec![program.to_string_lossy().into_owned()];
    Settings::read(image_dir(&program), relaunch).map_err(Failure::from_error)
}

/// Installed it is `../share/berth/vm`, in a source tree `vm`.
fn image_dir(program: &Path) -> PathBuf {
    let folder = program.parent().unwrap_or(Path::new("/"));
    let installed = folder.join("../share/berth/vm");
    if installed.is_dir() { installed } else { folder.join("vm") }
}

/// A connection to the daemon that runs; none when there is none.
pub(crate) async fn running(settings: &Settings) -> Option<UnixStream> {
    UnixStream::connect(settings.control_socket()).await.ok()
}

/// A connection to the daemon, which is started when there is none.
pub(crate) async fn connect(settings: &Settings) -> Result<UnixStream, Failure> {
    if let Some(stream) = running(settings).await {
        return Ok(stream);
    }
    std::fs::create_dir_all(&settings.run_dir)?;
    let log_path = settings.run_dir.join("hostd.log");
    let log = std::fs::OpenOptions::new().create(true).append(true).open(&log_path)?;
    let log_begins = log.metadata()?.len();
    let (program, words) =
        settings.relaunch.split_first().ok_or_else(|| Failure::new("the program has no path"))?;
    let mut daemon = Command::new(program)
        .args(words)
        .arg("daemon")
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()?;
    let deadline = Instant::now() + LISTENS;
    loop {
        if let Some(stream) = running(settings).await {
            return Ok(stream);
        }
        if daemon.try_wait()?.is_some_and(|status| !status.success()) {
            let said = since(&log_path, log_begins);
            return Err(Failure::new(format!("the Berth daemon can't start: {}", said.trim())));
        }
        if Instant::now() > deadline {
            let log = log_path.display();
            return Err(Failure::new(format!("the Berth daemon doesn't answer; its log is {log}")));
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// What the log says from `begin` on.
fn since(path: &Path, begin: u64) -> String {
    let mut said = String::new();
    let read = std::fs::File::open(path).and_then(|mut file| {
        file.seek(SeekFrom::Start(begin))?;
        file.read_to_string(&mut said)
    });
    drop(read);
    said
}
