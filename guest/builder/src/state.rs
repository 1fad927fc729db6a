//! What a stage has come to: files, the image's configuration, the arguments in scope.

use berth_images::{CachedStep, HistoryEntry, ImageConfig, NameSet, Platform, RunConfig};
use jiff::Timestamp;

use crate::depot::Noted;
use crate::dockerfile::{Command, Healthcheck};
use crate::files::Files;
use crate::history::{self, Style, listed};
use crate::{Lock, key_of};

/// Where programs are looked for when the base image doesn't say.
pub(crate) const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A stage between two steps.
#[derive(Debug, Clone)]
pub(crate) struct State {
    pub(crate) files: Files,
    pub(crate) config: ImageConfig,
    /// ARG, in the order of declaration; without a value where nobody gives one.
    pub(crate) arguments: Vec<(String, Option<String>)>,
    /// Whether this stage itself has set CMD.
    pub(crate) cmd_set: bool,
    /// The default shell, or SHELL's.
    pub(crate) shell: Vec<String>,
    pub(crate) style: Style,
    /// The steps that made files, for builds that take this one's result as cache.
    pub(crate) trail: Vec<CachedStep>,
    /// The time of everything that the build notes, when it isn't the present one.
    pub(crate) epoch: Option<Timestamp>,
    /// How much of history and layers the first stage's image brought.
    pub(crate) inherited: Inherited,
}

/// What was there before the build: it keeps its own times.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Inherited {
    pub(crate) history: usize,
    pub(crate) layers: usize,
}

impl State {
    pub(crate) fn new(mut files: Files, mut config: ImageConfig, platform: &Platform, style: Style) -> Self {
        // The two builders make different layers of the same steps: with Docker, too, neither's are the other's cache.
        if style == Style::Classic {
            files.key = key_of(&["classic", &files.key.to_string()]);
        }
        let inherited = Inherited { history: config.history.len(), layers: files.layers.len() };
        config.architecture.clone_from(&platform.architecture);
        config.variant.clone_from(&platform.variant);
        config.os.clone_from(&platform.os);
        config.container.clear();
        config.docker_version.clear();
        config.created = None;
        config.cache.clear();
        let shell =
            config.config.shell.clone().unwrap_or_else(|| vec!["/bin/sh".to_owned(), "-c".to_owned()]);
        if !config.config.env.iter().any(|entry| entry.starts_with("PATH=")) {
            config.config.env.insert(0, PATH.to_owned());
        }
        let (arguments, trail) = (Vec::new(), Vec::new());
        Self { files, config, arguments, cmd_set: false, shell, style, trail, epoch: None, inherited }
    }

    pub(crate) fn run(&mut self) -> &mut RunConfig {
        &mut self.config.config
    }

    /// Arguments, then the environment, which wins.
    pub(crate) fn variables(&self) -> Vec<(String, String)> {
        let environment = self.config.config.env.iter().filter_map(|entry| entry.split_once('='));
        let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned()));
        self.given_arguments().chain(environment).collect()
    }

    fn given_arguments(&self) -> impl Iterator<Item = (String, String)> {
        self.arguments.iter().filter_map(|(name, value)| Some((name.clone(), value.clone()?)))
    }

    fn in_environment(&self, name: &str) -> Option<&str> {
        let mut entries = self.config.config.env.iter().filter_map(|entry| entry.split_once('='));
        entries.find(|(key, _)| *key == name).map(|(_, value)| value)
    }

    /// Arguments that the environment doesn't hide.
    pub(crate) fn seen_arguments(&self) -> Vec<(String, String)> {
        let mut seen: Vec<_> =
            self.given_arguments().filter(|(name, _)| self.in_environment(name).is_none()).collect();
        seen.sort();
        seen
    }

    /// Arguments as the history of RUN tells them: with BuildKit all that are declared, as the process sees them.
    pub(crate) fn told_arguments(&self) -> Vec<(String, String)> {
        if self.style == Style::Classic {
            return self.seen_arguments();
        }
        let seen = |name: &str, value: &Option<String>| {
            self.in_environment(name).or(value.as_deref()).unwrap_or_default().to_owned()
        };
        self.arguments.iter().map(|(name, value)| (name.clone(), seen(name, value))).collect()
    }

    /// Declares an argument; without a value it keeps the one that it has.
    pub(crate) fn set_argument(&mut self, name: &str, value: Option<String>) {
        match self.arguments.iter_mut().find(|(known, _)| known == name) {
            Some((_, known)) => *known = value.or(known.take()),
            None => self.arguments.push((name.to_owned(), value)),
        }
    }

    /// Notes a step that changed the configuration alone.
    pub(crate) fn note(&mut self, text: &str) {
        self.config.history.push(self.style.setting(&self.shell, text));
    }

    /// Takes the files that the step with this lock made; without a new layer its history says so.
    pub(crate) fn advance(&mut self, files: Files, lock: &Lock, created: &str, mut entry: HistoryEntry) {
        entry.empty_layer = files.layers.len() == self.files.layers.len();
        entry.created = Some(created.to_owned());
        let (key, layers) = (files.key.clone(), files.layers.len());
        self.trail.push(CachedStep { key, layers, created: created.to_owned() });
        self.files = files.used(&self.files, lock);
        self.config.history.push(entry);
    }

    pub(crate) fn set_env(&mut self, name: &str, value: &str) {
        let entry = format!("{name}={value}");
        let env = &mut self.config.config.env;
        match env.iter_mut().find(|known| known.split_once('=').is_some_and(|(key, _)| key == name)) {
            Some(known) => *known = entry,
            None => env.push(entry),
        }
    }

    pub(crate) fn set_cmd(&mut self, command: &Command) {
        let argv = command.argv(&self.shell);
        self.note(&format!("CMD {}", listed(&argv)));
        self.config.config.cmd = Some(argv);
        self.config.config.args_escaped = false;
        self.cmd_set = true;
    }

    pub(crate) fn set_entrypoint(&mut self, command: &Command) {
        let argv = command.argv(&self.shell);
        self.note(&format!("ENTRYPOINT {}", listed(&argv)));
        self.config.config.entrypoint = Some(argv);
        // The base image's arguments are for its own program.
        if !self.cmd_set {
            self.config.config.cmd = None;
        }
    }

    pub(crate) fn set_healthcheck(&mut self, check: &Healthcheck) {
        let wanted = match check {
            Healthcheck::None => {
                berth_images::Healthcheck { test: vec!["NONE".to_owned()], ..Default::default() }
            }
            Healthcheck::Check { command, interval, timeout, start_period, start_interval, retries } => {
                let test = match command {
                    Command::Shell(line) => vec!["CMD-SHELL".to_owned(), line.clone()],
                    Command::Exec(argv) => std::iter::once("CMD".to_owned()).chain(argv.clone()).collect(),
                };
                berth_images::Healthcheck {
                    test,
                    interval: *interval,
                    timeout: *timeout,
                    start_period: *start_period,
                    start_interval: *start_interval,
                    retries: *retries,
                }
            }
        };
        let text = self.style.healthcheck(&wanted);
        self.note(&text);
        self.config.config.healthcheck = Some(wanted);
    }

    pub(crate) fn add_names(set: &mut NameSet, names: impl IntoIterator<Item = String>) {
        set.extend(names.into_iter().map(|name| (name, berth_images::EmptyObject {})));
    }

    /// The steps that made its files, each with the files as it left them.
    pub(crate) fn noted(&self) -> Vec<Noted> {
        let of = |step: &CachedStep| Noted {
            files: self.files.lower(step.layers, step.key.clone()),
            created: step.created.clone(),
        };
        self.trail.iter().map(of).collect()
    }

    /// The configuration as an image has it.
    pub(crate) fn finished(&self) -> ImageConfig {
        let mut config = self.config.clone();
        history::date(&mut config.history);
        config.created = config.history.last().and_then(|entry| entry.created.clone());
        if let Some(epoch) = self.epoch {
            history::fix(&mut config.history, self.inherited.history, epoch);
            config.created = Some(epoch.to_string());
        }
        config.rootfs.diff_ids = self.files.layers.iter().map(|layer| layer.diff_id.clone()).collect();
        "layers".clone_into(&mut config.rootfs.kind);
        config
    }
}
