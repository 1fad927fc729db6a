//! `docker create`: everything is checked and prepared, nothing runs yet.

use std::collections::BTreeMap;
use std::sync::Arc;

use berth_images::Platform;

use crate::container::Container;
use crate::container::config::{Config, HealthConfig, Words};
use crate::container::host_config::HostConfig;
use crate::container::mounts::{self, MountPoint};
use crate::container::record::Record;
use crate::endpoint::EndpointSettings;
use crate::{ContainerDefaults, Engine, Error, check, identity, image_mounts, images, ports};

/// What is to be created.
#[derive(Debug, Default)]
pub struct Create {
    /// The wished name; generated when empty.
    pub name: String,
    /// The wished platform, `os/arch`; the image's when empty.
    pub platform: String,
    /// What it runs.
    pub config: Config,
    /// How it meets this machine.
    pub host_config: HostConfig,
    /// Its networks by name, beside the one of `NetworkMode`.
    pub networks: BTreeMap<String, EndpointSettings>,
}

/// What was created.
#[derive(Debug)]
pub struct Created {
    /// 64 hexadecimal digits.
    pub id: String,
    /// What doesn't hold although it was asked for.
    pub warnings: Vec<String>,
}

impl Engine {
    /// Creates a container.
    ///
    /// # Errors
    /// When the image isn't there, the name is taken, or a wish makes no sense or can't be honoured. Nothing is
    /// left then.
    pub async fn create(&self, create: Create) -> Result<Created, Error> {
        let Create { name, platform, mut config, mut host_config, networks } = create;
        check::has_image(&config)?;
        let image = images::find(self, &config.image).await?;
        let wanted: Option<Platform> =
            Some(&platform).filter(|text| !text.is_empty()).map(|text| text.parse()).transpose()?;
        let found = image.config.platform();
        if wanted.is_some_and(|wanted| wanted.distance(&found).is_none()) {
            let (found, wanted) = (found.to_string(), platform);
            return Err(Error::WrongPlatform { image: config.image, found, wanted });
        }
        check::asked(&config, &host_config)?;
        self.pin_joined(&mut host_config)?;
        merge(&mut config, &images::run_config(&image));
        settle(&mut host_config, &self.settings().containers);
        if config.network_disabled == Some(true) {
            "none".clone_into(&mut host_config.network_mode);
        }
        let discarded = check::discard(&mut host_config.resources, &self.controllers);
        check::container(&config, &host_config, &self.config.host_paths)?;
        let mut warnings = check::warnings(&host_config.resources, &self.controllers);
        warnings.extend(discarded);

        let id = identity::fresh()?;
        if config.hostname.is_empty() && host_config.uts_mode.is_empty() {
            config.hostname = if host_config.network_mode == "host" {
                crate::info::host_name()
            } else {
                id[..12].to_owned()
            };
        }
        let mut record = Record::new(id.clone(), name, image.id.to_string(), config, host_config);
        ports::check(&record)?;
        if record.host_config.network_mode == "host" && !record.host_config.port_bindings.is_empty() {
            warnings.push("Published ports are discarded when using host network mode".to_owned());
        }
        record.networks = self.wanted_networks(&record, networks);
        self.check_endpoints(&record.networks)?;
        self.links(&record)?;
        let name = self.containers.reserve_name(&record.name, &id)?;
        record.name.clone_from(&name);
        match self.prepare(record, &image).await {
            Ok(container) => {
                self.containers.insert(container.clone());
                self.tell(&container, "create");
                Ok(Created { id, warnings })
            }
            Err(error) => {
                self.containers.release_name(&name);
                self.forget_files(&id);
                Err(error)
            }
        }
    }

    /// Writes the ids of the containers whose namespaces are joined in place of their names, which may later be
    /// others'. One whose network is joined may still be missing, as in Docker: it is needed at the start only.
    fn pin_joined(&self, host: &mut HostConfig) -> Result<(), Error> {
        for mode in [&mut host.ipc_mode, &mut host.pid_mode] {
            self.pin(mode).map_err(|error| Error::InvalidRequest(error.to_string()))?;
        }
        drop(self.pin(&mut host.network_mode));
        Ok(())
    }

    fn pin(&self, mode: &mut String) -> Result<(), Error> {
        if let Some(name) = mode.strip_prefix("container:") {
            *mode = format!("container:{}", self.containers.find(name)?.id);
        }
        Ok(())
    }

    /// Makes the folders, the writable layer and the volumes, and writes the record last: a container without
    /// one was never created.
    async fn prepare(
        &self,
        mut record: Record,
        image: &berth_images::Image,
    ) -> Result<Arc<Container>, Error> {
        let (folder, exec_folder) = self.folders_of(&record.id);
        let volumes_from = self.volumes_from(&record)?;
        record.mounts = mounts::resolve(&record, volumes_from, &self.config.host_paths, &self.volumes)?;
        for mount in &record.mounts {
            self.volumes.hold(mount, &record.id);
        }
        self.prepare_images(&mut record)?;
        let store = self.images.clone();
        let image = image.id.clone();
        let container = Container::new(record, folder.clone(), exec_folder);
        let prepared = container.clone();
        tokio::task::spawn_blocking(move || {
            std::fs::create_dir_all(&folder)
                .map_err(|source| Error::Folder { folder: folder.clone(), source })?;
            store.prepare(&prepared.id, Some(&image))?;
            Ok::<_, Error>(())
        })
        .await??;
        self.fill_volumes(&container).await?;
        container.change(|_| {})?;
        Ok(container)
    }

    /// The mounts of the containers that `--volumes-from` names.
    fn volumes_from(&self, record: &Record) -> Result<Vec<MountPoint>, Error> {
        let mut taken = Vec::new();
        for wish in record.host_config.volumes_from.iter().flatten() {
            let (name, mode) = wish.split_once(':').unwrap_or((wish, "rw"));
            if !matches!(mode, "rw" | "ro" | "z" | "Z") {
                return Err(Error::InvalidRequest(format!("invalid mode: {mode}")));
            }
            // Not "not found": clients would take the image for missing, and pull it.
            let other =
                self.containers.find(name).map_err(|error| Error::InvalidRequest(error.to_string()))?;
            taken.extend(other.record().mounts.into_iter().map(|mut mount| {
                mount.writable &= mode != "ro";
                mount
            }));
        }
        Ok(taken)
    }

    /// Removes what a failed creation left.
    pub(crate) fn forget_files(&self, id: &str) {
        let (folder, _) = self.folders_of(id);
        self.volumes.release_all(id);
        drop(image_mounts::remove_snapshots(&self.images, id));
        drop(std::fs::remove_dir_all(folder));
    }
}

/// Adds what the image wishes and the user left open.
pub(crate) fn merge(config: &mut Config, image: &Config) {
    if config.user.is_empty() {
        config.user.clone_from(&image.user);
    }
    if config.working_dir.is_empty() {
        config.working_dir.clone_from(&image.working_dir);
    }
    let none = |words: &Option<Words>| words.as_ref().is_none_or(|words| words.0.is_empty());
    if none(&config.entrypoint) {
        // `--entrypoint ""` arrives as one empty word: it clears the image's.
        if none(&config.cmd) {
            config.cmd.clone_from(&image.cmd);
        }
        if config.entrypoint.is_none() {
            config.entrypoint.clone_from(&image.entrypoint);
        }
    } else if config.entrypoint == Some(Words(vec![String::new()])) {
        config.entrypoint = None;
    }
    let name = |entry: &str| entry.split('=').next().unwrap_or(entry).to_owned();
    let own: Vec<String> = config.env.iter().map(|entry| name(entry)).collect();
    // A bare name is kept, too: it is what removes the image's variable when the program starts.
    config.env.extend(image.env.iter().filter(|entry| !own.contains(&name(entry))).cloned());
    for (name, value) in &image.labels {
        config.labels.entry(name.clone()).or_insert_with(|| value.clone());
    }
    for (ours, theirs) in
        [(&mut config.exposed_ports, &image.exposed_ports), (&mut config.volumes, &image.volumes)]
    {
        if let Some(theirs) = theirs {
            ours.get_or_insert_default().extend(theirs.clone());
        }
    }
    if config.stop_signal.is_none() {
        config.stop_signal.clone_from(&image.stop_signal);
    }
    merge_health(&mut config.healthcheck, image.healthcheck.as_ref());
    if config.shell.is_none() {
        config.shell.clone_from(&image.shell);
    }
}

/// Fills what the user leaves open of a health check with the image's.
fn merge_health(own: &mut Option<HealthConfig>, image: Option<&HealthConfig>) {
    let (Some(own), Some(image)) = (own.as_mut(), image) else {
        if own.is_none() {
            *own = image.cloned();
        }
        return;
    };
    if own.test.as_ref().is_none_or(Vec::is_empty) {
        own.test.clone_from(&image.test);
    }
    for (own, image) in [
        (&mut own.interval, image.interval),
        (&mut own.timeout, image.timeout),
        (&mut own.start_period, image.start_period),
        (&mut own.start_interval, image.start_interval),
        (&mut own.retries, image.retries),
    ] {
        if own.unwrap_or_default() == 0 {
            *own = image;
        }
    }
}

/// Writes down what Docker decides when the user doesn't.
fn settle(host: &mut HostConfig, defaults: &ContainerDefaults) {
    let or = |value: &mut String, default: &str| {
        if value.is_empty() {
            default.clone_into(value);
        }
    };
    if host.network_mode.is_empty() || host.network_mode == "default" {
        "bridge".clone_into(&mut host.network_mode);
    }
    or(&mut host.ipc_mode, &defaults.ipc_mode);
    or(&mut host.cgroupns_mode, &defaults.cgroupns_mode);
    or(&mut host.runtime, "berth");
    or(&mut host.restart_policy.name, "no");
    if host.shm_size == 0 {
        host.shm_size = defaults.shm_size;
    }
    defaults.settle(host);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(words: &[&str]) -> Option<Words> {
        Some(Words(words.iter().map(|&word| word.to_owned()).collect()))
    }

    fn image() -> Config {
        Config {
            entrypoint: words(&["/start"]),
            cmd: words(&["serve"]),
            env: vec!["A=1".to_owned()],
            ..Config::default()
        }
    }

    #[test]
    fn a_command_replaces_the_images_and_keeps_its_entrypoint() {
        let mut config = Config { cmd: words(&["test"]), env: vec!["A=2".to_owned()], ..Config::default() };
        merge(&mut config, &image());
        assert_eq!((config.entrypoint, config.cmd), (words(&["/start"]), words(&["test"])));
        assert_eq!(config.env, ["A=2"]);
    }

    #[test]
    fn an_entrypoint_drops_the_images_command() {
        let mut config = Config { entrypoint: words(&["sh"]), ..Config::default() };
        merge(&mut config, &image());
        assert_eq!((config.entrypoint, config.cmd), (words(&["sh"]), None));
    }

    #[test]
    fn an_empty_entrypoint_clears_the_images() {
        let mut config = Config { entrypoint: words(&[""]), cmd: words(&["sh"]), ..Config::default() };
        merge(&mut config, &image());
        assert_eq!((config.entrypoint, config.cmd), (None, words(&["sh"])));
    }
}
