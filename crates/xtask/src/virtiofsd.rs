//! The published virtiofsd, as one more file system device of our emulated machine: the peer of our server of host
//! folders, at the same emulator, kernel and guest.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use crate::emulator;
use crate::step::find_program;

/// What the guest mounts.
pub(crate) const TAG: &str = "peer";
/// Where Debian 13 has it, which is no place for users' programs.
const DEBIANS: &str = "/usr/libexec/virtiofsd";
/// Once started it listens within this.
const PATIENCE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(20);

/// A virtiofsd that serves one machine. When dropped, it ends.
pub(crate) struct Virtiofsd {
    process: Child,
    programs: PathBuf,
}

impl Virtiofsd {
    /// Starts `program`, or the one that is installed, for `shared`; what it needs lies in `folder`.
    pub(crate) fn start(program: Option<&Path>, folder: &Path, shared: &Path) -> anyhow::Result<Self> {
        let program = find(program)?;
        fs::create_dir_all(folder)?;
        let socket = folder.join("socket");
        let log = fs::File::create(folder.join("log"))?;
        let mut command = Command::new(&program);
        // A sandbox of its own needs rights that this one's user may not have; none is also the fastest.
        command.args(["--cache", "auto", "--sandbox", "none", "--socket-path"]).arg(&socket);
        command.arg("--shared-dir").arg(shared).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let process = command.spawn().with_context(|| format!("start {}", program.display()))?;
        let programs = folder.join("programs");
        let mut virtiofsd = Self { process, programs };
        virtiofsd.wait_for(&socket, &folder.join("log"))?;
        virtiofsd.lay_emulator(&socket)?;
        Ok(virtiofsd)
    }

    /// A folder with an emulator that gives its machine this device, too.
    pub(crate) fn programs(&self) -> &Path {
        &self.programs
    }

    fn wait_for(&mut self, socket: &Path, log: &Path) -> anyhow::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while !socket.exists() {
            if self.process.try_wait()?.is_some() || Instant::now() > deadline {
                bail!("virtiofsd doesn't listen: {}", fs::read_to_string(log).unwrap_or_default().trim());
            }
            std::thread::sleep(PAUSE);
        }
        Ok(())
    }

    fn lay_emulator(&self, socket: &Path) -> anyhow::Result<()> {
        let devices = format!(
            "-chardev socket,id={TAG},path={} \
             -device vhost-user-fs-device,chardev={TAG},tag={TAG},queue-size=1024",
            socket.display(),
        );
        emulator::lay(&self.programs, &devices)
    }
}

impl Drop for Virtiofsd {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

fn find(program: Option<&Path>) -> anyhow::Result<PathBuf> {
    let installed = || find_program("virtiofsd").or_else(|| Some(DEBIANS.into()));
    let found = program.map(Path::to_path_buf).or_else(installed).filter(|program| program.is_file());
    found.context(
        "there is no virtiofsd: Debian 13 has it as a package, elsewhere `cargo install virtiofsd` makes it (it needs \
         libcap-ng-dev and libseccomp-dev); `--virtiofsd` names it",
    )
}
