//! Docker's buildx plugin for the client.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::context;
use crate::engine::{Engine, Said, said};

/// Where packages put the plugin; `BERTH_E2E_BUILDX` names it where it isn't installed for everybody.
const USUAL: [&str; 3] = [
    "/usr/libexec/docker/cli-plugins/docker-buildx",
    "/usr/lib/docker/cli-plugins/docker-buildx",
    "/usr/local/lib/docker/cli-plugins/docker-buildx",
];

/// A client's configuration (`DOCKER_CONFIG`) with the plugin; none, with the reason printed, without the plugin.
///
/// # Panics
/// When the folder can't be made.
pub fn config() -> Option<tempfile::TempDir> {
    let given = std::env::var_os("BERTH_E2E_BUILDX").map(PathBuf::from);
    let Some(plugin) = given.or_else(|| USUAL.map(PathBuf::from).into_iter().find(|path| path.exists()))
    else {
        eprintln!("skipped: the buildx plugin isn't installed, and BERTH_E2E_BUILDX doesn't name it");
        return None;
    };
    let config = tempfile::tempdir().expect("make a client's configuration");
    let plugins = config.path().join("cli-plugins");
    fs::create_dir(&plugins).expect("make the plugins' folder");
    std::os::unix::fs::symlink(plugin, plugins.join("docker-buildx")).expect("give the plugin");
    Some(config)
}

/// An engine with busybox, and the configuration of a client with the plugin; none, with the reason printed, without the
/// plugin.
pub fn with_buildx() -> Option<(Engine, tempfile::TempDir)> {
    let config = config()?;
    Some((Engine::with_busybox()?, config))
}

/// A folder to build from with the plugin.
pub struct Context<'a> {
    /// What builds it.
    pub engine: &'a Engine,
    config: &'a Path,
    files: context::Context,
}

impl<'a> Context<'a> {
    /// A folder with this Dockerfile.
    pub fn new((engine, config): &'a (Engine, tempfile::TempDir), dockerfile: &str) -> Self {
        Self { engine, config: config.path(), files: context::Context::new(dockerfile) }
    }

    /// The same with another file.
    #[must_use]
    pub fn write(self, name: &str, content: &str) -> Self {
        Self { files: self.files.write(name, content), ..self }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.files.path()
    }

    /// The real client with the plugin, in this folder.
    pub fn client(&self, args: &[&str]) -> Command {
        let mut client = self.engine.client(args);
        client.env("DOCKER_CONFIG", self.config).env("BUILDKIT_PROGRESS", "plain").current_dir(self.path());
        client
    }

    /// Runs the client with the plugin in this folder.
    ///
    /// # Panics
    /// When it can't be started.
    pub fn run(&self, args: &[&str]) -> Said {
        said(&self.client(args).output().expect("run docker"))
    }

    /// Whether the plugin is `0.<minor>` or later; prints the reason of a skip when it is older.
    ///
    /// # Panics
    /// When it doesn't say its version.
    pub fn is_at_least(&self, minor: u32) -> bool {
        let version = self.run(&["buildx", "version"]).out;
        let word = version.split_whitespace().nth(1).expect("a version").trim_start_matches('v');
        let own = word.split('.').nth(1).and_then(|minor| minor.parse::<u32>().ok()).expect("a number");
        if own < minor {
            eprintln!("skipped: this is buildx {word}, and it takes 0.{minor}");
        }
        own >= minor
    }

    /// Builds it.
    ///
    /// # Panics
    /// When the client can't be started.
    pub fn build(&self, args: &[&str]) -> Said {
        self.run(&[&["build"], args, &["."]].concat())
    }

    /// Builds it, which must succeed; returns its progress.
    ///
    /// # Panics
    /// When it fails.
    pub fn built(&self, args: &[&str]) -> String {
        let said = self.build(args);
        assert_eq!(said.code, 0, "{}\n{}", said.out, said.err);
        said.err
    }
}

/// The steps of a plain progress that are told to be from the cache.
#[must_use]
pub fn cached(told: &str) -> Vec<String> {
    let lines = || told.lines().filter_map(|line| line.split_once(' '));
    let name = |number: &str| lines().find(|(other, text)| *other == number && text.starts_with('['));
    let cached = lines().filter(|(_, text)| *text == "CACHED");
    cached.filter_map(|(number, _)| Some(name(number)?.1.to_owned())).collect()
}

/// A client whose builder is the engine's own socket: that one builds for several platforms at once.
pub struct Remote {
    /// What builds.
    pub engine: Engine,
    config: tempfile::TempDir,
}

impl Remote {
    /// An engine with busybox, and such a client; none, with the reason printed, without the plugin.
    ///
    /// # Panics
    /// When the builder can't be made.
    pub fn start() -> Option<Self> {
        let (engine, config) = with_buildx()?;
        let socket = format!("unix://{}", engine.socket().display());
        let client = Self { engine, config };
        let made = client.run(&["buildx", "create", "--name", "raw", "--driver", "remote", "--use", &socket]);
        assert_eq!(made.code, 0, "{}", made.err);
        Some(client)
    }

    /// Runs the client to its end.
    ///
    /// # Panics
    /// When it can't be started.
    pub fn run(&self, args: &[&str]) -> Said {
        let mut client = self.engine.client(args);
        said(&client.env("DOCKER_CONFIG", self.config.path()).output().expect("run docker"))
    }

    /// Runs the client to its end in a folder.
    ///
    /// # Panics
    /// When it can't be started.
    pub fn run_in(&self, context: &context::Context, args: &[&str]) -> Said {
        let mut client = self.engine.client(args);
        client.env("DOCKER_CONFIG", self.config.path()).current_dir(context.path());
        said(&client.output().expect("run docker"))
    }

    /// Builds a folder.
    pub fn build(&self, context: &context::Context, args: &[&str]) -> Said {
        let start = ["buildx", "build", "--provenance=false", "--progress", "plain"];
        self.run(&[&start, args, &[&*context.path().to_string_lossy()]].concat())
    }

    /// Builds a folder for these platforms, which must succeed; returns its progress.
    ///
    /// # Panics
    /// When it fails.
    pub fn built(&self, context: &context::Context, platforms: &str, args: &[&str]) -> String {
        let said = self.build(context, &[&["--platform", platforms], args].concat());
        assert_eq!(said.code, 0, "{}\n{}", said.out, said.err);
        said.err
    }
}
