//! An NFS server beside the engine under test: nfs-ganesha, which needs nothing of the kernel.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::condition::eventually;
use crate::engine::Engine;
use crate::guard::{need_program, need_root};
use crate::registry::free_port;

const PROGRAM: &str = "ganesha.nfsd";
/// What it writes when it is ready, and what if it can't serve the folder.
const READY: &str = "NFS SERVER INITIALIZED";
const USELESS: &str = "No export entries found";

/// A running server of NFS 4 for one folder, which it calls `/export`. It ends when dropped.
pub struct NfsServer {
    process: Child,
    folder: tempfile::TempDir,
    port: u16,
}

impl NfsServer {
    /// Starts a server that `engine` reaches, at [`NfsServer::name`]. None, with the reason printed, where there is no
    /// such program, or the engine's kernel has no NFS.
    ///
    /// # Panics
    /// When it isn't ready before the deadline.
    pub fn start(engine: &Engine) -> Option<Self> {
        let kernel = fs::read_to_string("/proc/filesystems").expect("read what this kernel mounts");
        if !engine.is_machine() && !kernel.contains("\tnfs4\n") {
            eprintln!("skipped: this kernel has no NFS, or it isn't loaded (`modprobe nfsv4`); the VM's has");
            return None;
        }
        Self::by(engine.beside(PROGRAM), engine.host_port().unwrap_or_else(free_port))
    }

    /// Starts a server at a port of this machine's loopback. None, with the reason printed, where there is no such program.
    ///
    /// # Panics
    /// When it isn't ready before the deadline.
    pub fn on_loopback(port: u16) -> Option<Self> {
        Self::by(Command::new(PROGRAM), port)
    }

    fn by(mut program: Command, port: u16) -> Option<Self> {
        if !need_root() || !need_program(PROGRAM) {
            return None;
        }
        let folder = tempfile::tempdir().expect("make a folder for the server");
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("export")).expect("make what it serves");
        fs::write(at("config"), config(folder.path(), port)).expect("write its configuration");
        program.arg("-F").arg("-f").arg(at("config")).arg("-L").arg(at("log")).arg("-p").arg(at("process"));
        program.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let process = program.spawn().expect("start the server");
        let log = at("log");
        let server = Self { process, folder, port };
        let said = eventually("the NFS server is ready", || {
            fs::read_to_string(&log).ok().filter(|said| said.contains(READY))
        });
        if said.contains(USELESS) {
            eprintln!("skipped: nfs-ganesha-vfs isn't installed, or can't serve this file system");
            return None;
        }
        Some(server)
    }

    /// The folder that it serves.
    pub fn folder(&self) -> PathBuf {
        self.folder.path().join("export")
    }

    /// By what name the engine reaches it.
    pub fn name(engine: &Engine) -> &'static str {
        if engine.is_machine() { "host.docker.internal" } else { "localhost" }
    }

    /// The port at which it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Makes it say nothing, with all connections open, as a machine that hangs.
    ///
    /// # Panics
    /// When it can't be stopped.
    pub fn hang(&self) {
        self.signal("-STOP");
    }

    /// Makes one that hangs go on.
    ///
    /// # Panics
    /// When it can't be told.
    pub fn go_on(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        let told = Command::new("kill").args([signal, &self.process.id().to_string()]).status();
        assert!(told.expect("run kill").success());
    }
}

impl Drop for NfsServer {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// Clients of unprivileged ports are served, as the VM's are, and at once: none has to be known from before.
fn config(folder: &Path, port: u16) -> String {
    let folder = folder.display();
    format!(
        "NFS_CORE_PARAM {{ Protocols = 4; NFS_Port = {port}; Bind_addr = 127.0.0.1; Enable_UDP = false;
            Enable_NLM = false; Enable_RQUOTA = false; }}
        NFSV4 {{ Graceless = true; Only_Numeric_Owners = true; RecoveryRoot = {folder}; }}
        EXPORT {{ Export_Id = 1; Path = {folder}/export; Pseudo = /export; Access_Type = RW; SecType = sys;
            Squash = No_Root_Squash; Protocols = 4; Transports = TCP; FSAL {{ Name = VFS; }} }}\n"
    )
}
