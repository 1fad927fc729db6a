//! A gate before a registry: transfers of blobs wait there until it is opened, so that a test sees how many are under way
//! at a time.

use std::fs;
use std::process::{Child, Stdio};

use tempfile::TempDir;

use crate::condition::eventually;
use crate::engine::Engine;
use crate::guard::need_program;
use crate::registry::{Registry, free_port};

const PROGRAM: &str = include_str!("gate/gate.pl");

/// A closed gate; it goes when dropped.
pub struct Gate {
    process: Child,
    /// How the engine reaches the registry through it.
    pub address: String,
    folder: TempDir,
}

impl Gate {
    /// Puts one before a registry, beside a native engine. Nothing of the image `free` waits but its layers. None, with the
    /// reason printed, where there is no perl.
    ///
    /// # Panics
    /// When it can't be started.
    pub fn before(registry: &Registry, engine: &Engine, free: &str) -> Option<Self> {
        Self::start(registry, engine, &engine.inspect(free, ".Id"), "")
    }

    /// Puts an open one before a registry, beside a native engine, that takes no manifests of media types which begin so.
    /// None, with the reason printed, where there is no perl.
    ///
    /// # Panics
    /// When it can't be started.
    pub fn refusing(registry: &Registry, engine: &Engine, media_types: &str) -> Option<Self> {
        Self::start(registry, engine, "", media_types)
    }

    fn start(registry: &Registry, engine: &Engine, free: &str, refused: &str) -> Option<Self> {
        if !need_program("perl") {
            return None;
        }
        let folder = tempfile::tempdir().expect("make a folder for the gate");
        fs::create_dir(folder.path().join("waiting")).expect("make a folder for the gate");
        let port = free_port();
        let mut gate = engine.beside("perl");
        gate.args(["-e", PROGRAM, &port.to_string(), &registry.address, free])
            .arg(folder.path())
            .arg(refused);
        let process = gate.stdin(Stdio::null()).spawn().expect("start the gate");
        let address = format!("127.0.0.1:{port}");
        eventually("the gate listens", || engine.fetch(&address));
        Some(Self { process, address, folder })
    }

    /// How many transfers wait.
    ///
    /// # Panics
    /// When its folder can't be read.
    pub fn waiting(&self) -> usize {
        fs::read_dir(self.folder.path().join("waiting")).expect("look who waits").count()
    }

    /// The most that have waited at a time.
    pub fn most(&self) -> usize {
        let seen = fs::read_to_string(self.folder.path().join("seen")).unwrap_or_default();
        seen.lines().filter_map(|line| line.parse().ok()).max().unwrap_or(0)
    }

    /// Lets everybody through from now on.
    ///
    /// # Panics
    /// When it can't be told.
    pub fn open(&self) {
        fs::write(self.folder.path().join("open"), "").expect("open the gate");
    }

    /// Lets nobody through any more, and forgets who came.
    ///
    /// # Panics
    /// When it can't be told.
    pub fn close(&self) {
        for name in ["open", "seen"] {
            fs::remove_file(self.folder.path().join(name)).expect("close the gate");
        }
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        // Whoever still waits ends by itself.
        self.open();
        drop(self.process.kill());
        drop(self.process.wait());
    }
}
