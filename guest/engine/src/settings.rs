//! What `daemon.json` says of containers and registries, and what `docker info` tells of it. It may change while the
//! engine runs; containers keep what they were created with.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, PoisonError};

use berth_images::registry::Options;

use crate::container::host_config::{HostConfig, LogConfig};
use crate::container::resources::Ulimit;
use crate::{Engine, Error, log_options, shared_memory, spec};

/// The engine's settings.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Whether the engine logs in detail.
    pub debug: bool,
    /// `key=value`: what the user calls this engine.
    pub labels: Vec<String>,
    /// Whether containers go on when the engine is asked to end.
    pub live_restore: bool,
    /// Seconds that a container may take to stop when they don't; -1 is for ever.
    pub shutdown_timeout: i64,
    /// Where images come from.
    pub registries: Options,
    /// What new containers get.
    pub containers: ContainerDefaults,
    /// Blocks that networks' subnets are cut from, and the subnets' size; empty when they are Docker's own.
    pub address_pools: Vec<(String, u8)>,
    /// What a user should know of how this engine is reached.
    pub warnings: Vec<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            debug: false,
            labels: Vec::new(),
            live_restore: true,
            shutdown_timeout: 15,
            registries: Options::default(),
            containers: ContainerDefaults::default(),
            address_pools: Vec::new(),
            warnings: Vec::new(),
        }
    }
}

/// What a new container gets where its user leaves it open.
#[derive(Debug, Clone)]
pub struct ContainerDefaults {
    /// Where output goes.
    pub log: LogConfig,
    /// rlimits.
    pub ulimits: Vec<Ulimit>,
    /// Bytes of /dev/shm.
    pub shm_size: i64,
    /// `private` or `host`.
    pub cgroupns_mode: String,
    /// `private` or `shareable`.
    pub ipc_mode: String,
    /// Whether a small init reaps inside.
    pub init: bool,
    /// The system call filter's name: `builtin`, `unconfined`, or the path that the user gave.
    pub seccomp_name: String,
    /// The filter as `--security-opt seccomp=` takes it; none is the builtin one.
    pub seccomp: Option<String>,
    /// Whether no program gains rights by its set-user-id bit.
    pub no_new_privileges: bool,
    /// Name servers.
    pub dns: Vec<String>,
    /// Resolver options.
    pub dns_options: Vec<String>,
    /// Search domains.
    pub dns_search: Vec<String>,
    /// What `host-gateway` means in `--add-host`; the default network's gateway when empty.
    pub host_gateway: Vec<IpAddr>,
}

impl Default for ContainerDefaults {
    /// Docker's own.
    fn default() -> Self {
        Self {
            log: LogConfig { driver: "json-file".to_owned(), config: BTreeMap::new() },
            ulimits: Vec::new(),
            shm_size: shared_memory::SIZE,
            cgroupns_mode: "private".to_owned(),
            ipc_mode: "private".to_owned(),
            init: false,
            seccomp_name: "builtin".to_owned(),
            seccomp: None,
            no_new_privileges: false,
            dns: Vec::new(),
            dns_options: Vec::new(),
            dns_search: Vec::new(),
            host_gateway: Vec::new(),
        }
    }
}

impl Engine {
    /// The present settings.
    pub fn settings(&self) -> Arc<Settings> {
        Arc::clone(&self.settings.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes other settings and tells everybody.
    ///
    /// # Errors
    /// When they make no sense; the present ones stay then.
    pub fn reload(&self, settings: Settings) -> Result<(), Error> {
        settings.check()?;
        self.registries.configure(settings.registries.clone());
        let told = settings.told(&crate::info::host_name());
        *self.settings.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(settings);
        self.events.tell("daemon", "reload", &self.id, told);
        Ok(())
    }
}

impl Settings {
    /// Refuses defaults that no container could be created with.
    ///
    /// # Errors
    /// In the words that creation has.
    pub fn check(&self) -> Result<(), Error> {
        let ContainerDefaults { log, ulimits, .. } = &self.containers;
        log_options::check(log)?;
        spec::check_ulimits(ulimits)?;
        let mut plain = HostConfig::default();
        self.containers.settle_security(&mut plain);
        spec::check_security(&plain)
    }

    /// What an event tells of what can be reloaded, as dockerd does.
    fn told(&self, name: &str) -> BTreeMap<String, String> {
        let list = |values: &[String]| serde_json::to_string(values).unwrap_or_default();
        let Options { insecure, mirrors, downloads, uploads, attempts, .. } = &self.registries;
        [
            ("debug", self.debug.to_string()),
            ("insecure-registries", list(insecure)),
            ("labels", list(&self.labels)),
            ("live-restore", self.live_restore.to_string()),
            ("max-concurrent-downloads", downloads.to_string()),
            ("max-concurrent-uploads", uploads.to_string()),
            ("max-download-attempts", attempts.to_string()),
            ("name", name.to_owned()),
            ("registry-mirrors", list(mirrors)),
            ("shutdown-timeout", self.shutdown_timeout.to_string()),
        ]
        .map(|(key, value)| (key.to_owned(), value))
        .into()
    }
}

impl ContainerDefaults {
    /// Writes down what a container's user left open.
    pub(crate) fn settle(&self, host: &mut HostConfig) {
        self.settle_log(&mut host.log_config);
        self.settle_security(host);
        let missing = |ulimit: &&Ulimit| !host.resources.ulimits.iter().any(|own| own.name == ulimit.name);
        let more: Vec<Ulimit> = self.ulimits.iter().filter(missing).cloned().collect();
        host.resources.ulimits.extend(more);
        if self.init {
            host.init.get_or_insert(true);
        }
        // Another container's network comes with its names.
        if !host.network_mode.starts_with("container:") {
            for (own, default) in [
                (&mut host.dns, &self.dns),
                (&mut host.dns_options, &self.dns_options),
                (&mut host.dns_search, &self.dns_search),
            ] {
                if own.is_empty() {
                    own.clone_from(default);
                }
            }
        }
    }

    /// The driver, and its options to a container that has the same driver.
    fn settle_log(&self, log: &mut LogConfig) {
        if log.driver.is_empty() {
            log.driver.clone_from(&self.log.driver);
        }
        if log.driver == self.log.driver {
            for (key, value) in &self.log.config {
                log.config.entry(key.clone()).or_insert_with(|| value.clone());
            }
        }
    }

    fn settle_security(&self, host: &mut HostConfig) {
        let options = host.security_opt.get_or_insert_default();
        let says = |options: &[String], key: &str| {
            options.iter().any(|option| option.split(['=', ':']).next() == Some(key))
        };
        if let Some(profile) = &self.seccomp
            && !says(options, "seccomp")
        {
            options.push(format!("seccomp={profile}"));
        }
        if self.no_new_privileges && !says(options, "no-new-privileges") {
            options.push("no-new-privileges".to_owned());
        }
        if options.is_empty() {
            host.security_opt = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ulimit(name: &str, hard: i64) -> Ulimit {
        Ulimit { name: name.to_owned(), hard, soft: hard }
    }

    #[test]
    fn a_container_keeps_its_own_and_gets_the_rest() {
        let defaults = ContainerDefaults {
            ulimits: vec![ulimit("nofile", 100), ulimit("nproc", 50)],
            init: true,
            no_new_privileges: true,
            dns: vec!["9.9.9.9".to_owned()],
            ..ContainerDefaults::default()
        };
        let mut host = HostConfig {
            init: Some(false),
            security_opt: Some(vec!["no-new-privileges=false".to_owned()]),
            ..HostConfig::default()
        };
        host.resources.ulimits.push(ulimit("nofile", 7));
        defaults.settle(&mut host);
        assert_eq!(host.resources.ulimits, [ulimit("nofile", 7), ulimit("nproc", 50)]);
        assert_eq!(host.init, Some(false));
        assert_eq!(host.security_opt.unwrap(), ["no-new-privileges=false"]);
        assert_eq!(host.dns, ["9.9.9.9"]);
    }

    #[test]
    fn log_options_go_to_containers_of_the_same_driver_alone() {
        let config = BTreeMap::from([("max-size".to_owned(), "5m".to_owned())]);
        let log = LogConfig { driver: "local".to_owned(), config };
        let defaults = ContainerDefaults { log, ..ContainerDefaults::default() };
        let mut unsaid = LogConfig::default();
        defaults.settle_log(&mut unsaid);
        assert_eq!((unsaid.driver.as_str(), unsaid.config.len()), ("local", 1));
        let mut other = LogConfig { driver: "json-file".to_owned(), config: BTreeMap::new() };
        defaults.settle_log(&mut other);
        assert!(other.config.is_empty());
    }

    #[test]
    fn defaults_that_no_container_could_have_are_refused() {
        let log = LogConfig { driver: "syslog".to_owned(), config: BTreeMap::new() };
        let containers = ContainerDefaults { log, ..ContainerDefaults::default() };
        let refused = Settings { containers, ..Settings::default() }.check().unwrap_err();
        assert!(refused.to_string().contains("syslog"), "{refused}");
    }
}
