//! A folder to build from.

use std::path::Path;
use std::process::Command;

use crate::engine::{Engine, Said, said};

/// A folder with a Dockerfile and files; it goes when dropped.
pub struct Context(tempfile::TempDir);

impl Context {
    /// A folder with this Dockerfile.
    ///
    /// # Panics
    /// When it can't be made.
    pub fn new(dockerfile: &str) -> Self {
        Self(tempfile::tempdir().expect("make a context")).write("Dockerfile", dockerfile)
    }

    /// The same with another file.
    ///
    /// # Panics
    /// When it can't be written.
    #[must_use]
    pub fn write(self, name: &str, content: &str) -> Self {
        let path = self.path().join(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("make a folder of the context");
        std::fs::write(path, content).expect("write a file of the context");
        self
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// The real client about to build it the classic way.
    pub fn command(&self, engine: &Engine, args: &[&str]) -> Command {
        let mut command = engine.client(&[&["build"], args, &[&*self.path().to_string_lossy()]].concat());
        command.env("DOCKER_BUILDKIT", "0");
        command
    }

    /// Builds it the classic way.
    ///
    /// # Panics
    /// When the client can't be started.
    pub fn build(&self, engine: &Engine, args: &[&str]) -> Said {
        said(&self.command(engine, args).output().expect("run docker"))
    }

    /// Builds it the classic way, which must succeed; what the client printed.
    ///
    /// # Panics
    /// When it fails.
    pub fn built(&self, engine: &Engine, args: &[&str]) -> String {
        let said = self.build(engine, args);
        assert_eq!(said.code, 0, "{}\n{}", said.out, said.err);
        said.out
    }
}

/// What a command prints in a new container of an image.
///
/// # Panics
/// When it fails.
pub fn output(engine: &Engine, image: &str, command: &[&str]) -> String {
    engine.ok(&[&["run", "--rm", image], command].concat())
}
