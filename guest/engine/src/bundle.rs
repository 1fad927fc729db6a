//! What a guard finds in its folder: the bundle with the OCI specification, and how to keep the container.

use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::sync::Arc;

use berth_guard::{Launch, LogDriver, StdinMode};

use crate::container::Container;
use crate::container::mounts::MountKind;
use crate::spec::{self, Bind, Joined, Surroundings};
use crate::{Engine, Error, durable, guard_link, log_options, subpath};

impl Engine {
    /// Writes the bundle of a container whose root is mounted; returns how to launch its guard.
    pub(crate) async fn write_bundle(
        &self,
        container: &Arc<Container>,
        root: PathBuf,
        joined: Joined,
        binds: Vec<Bind>,
    ) -> Result<Launch, Error> {
        let record = container.record();
        let (names, bundle) = (self.network_owner(container).folder.clone(), container.exec_folder.clone());
        let init_program = self.config.guard_program.with_file_name("berth-runtime");
        let (cgroup_mount, cgroup_path) = (self.cgroups.mount.clone(), self.cgroup_path(container));
        let guard_cgroup = self.config.guards_cgroup();
        let log = self.log_driver(container)?;
        let open_files = self.config.open_files;
        tokio::task::spawn_blocking(move || {
            let surroundings =
                Surroundings { root: &root, names: &names, joined, binds, init_program: &init_program };
            let spec = spec::of(&record, &surroundings)?;
            durable::write_volatile(&bundle.join("config.json"), &spec)?;
            let config = &record.config;
            let [rows, columns] = record.host_config.console_size;
            Ok(Launch {
                id: record.id.clone(),
                bundle,
                cgroup_mount: Some(cgroup_mount),
                cgroup_path,
                guard_cgroup: Some(guard_cgroup),
                open_files,
                terminal: config.tty,
                size: (rows > 0 && columns > 0).then(|| guard_link::size([rows, columns])),
                stdin: match (config.open_stdin, config.stdin_once) {
                    (false, _) => StdinMode::None,
                    (true, false) => StdinMode::Open,
                    (true, true) => StdinMode::Once,
                },
                log,
                log_buffer: log_options::buffer(&record.host_config.log_config)?,
            })
        })
        .await?
    }

    /// A container's binds and volumes, resolved to paths of this machine.
    pub(crate) fn binds(&self, record: &crate::container::record::Record) -> Result<Vec<Bind>, Error> {
        let mut binds = Vec::new();
        for mount in record.mounts.iter().filter(|mount| mount.kind != MountKind::Tmpfs) {
            let (mut source, mut held) = match mount.kind {
                MountKind::Volume => (self.volumes.data(&mount.name), None),
                MountKind::Image => (mount.source.clone().into(), None),
                _ => (self.config.host_paths.resolve(&mount.source)?, None),
            };
            if !mount.options.subpath.is_empty() {
                let inner = subpath::find(&source, &mount.options.subpath)?;
                source = format!("/proc/{}/fd/{}", std::process::id(), inner.as_raw_fd()).into();
                held = Some(Arc::new(inner));
            }
            let propagation =
                if mount.propagation.is_empty() { "rprivate".to_owned() } else { mount.propagation.clone() };
            binds.push(Bind {
                source,
                destination: mount.destination.clone(),
                writable: mount.writable,
                propagation,
                recursive: !mount.options.non_recursive,
                writable_below: mount.options.writable_below,
                held,
            });
        }
        Ok(binds)
    }

    /// Where a container's output is kept.
    pub(crate) fn log_driver(&self, container: &Container) -> Result<LogDriver, Error> {
        let log = container.with(|record| record.host_config.log_config.clone());
        let name = match log.driver.as_str() {
            "local" => "container.log".to_owned(),
            _ => format!("{}-json.log", container.id),
        };
        log_options::driver(&log, container.folder.join(name))
    }
}
