//! `docker volume`: create, list, inspect, remove, prune.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::container::Container;
use crate::container::mounts::{MountKind, MountPoint};
use crate::filters::Filters;
use crate::volumes::{ANONYMOUS, Volume};
use crate::{Engine, Error};

/// Filters that a list of volumes knows.
const KNOWN: &[&str] = &["dangling", "driver", "label", "name"];

/// What a new volume should be.
#[derive(Debug, Default)]
pub struct VolumeWish {
    /// Its name; an anonymous one when empty.
    pub name: String,
    /// `local`, or empty.
    pub driver: String,
    /// Options of the driver.
    pub options: BTreeMap<String, String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
}

impl Engine {
    /// Makes a volume, or finds the one of this name.
    ///
    /// # Errors
    /// When the name isn't allowed, or the driver or an option isn't there.
    pub fn volume_create(&self, wish: VolumeWish) -> Result<Volume, Error> {
        if !matches!(wish.driver.as_str(), "" | "local") {
            let named = format!("create {}", wish.name);
            return Err(Error::NoSuchDriver(wish.driver).during(named));
        }
        self.volumes.ensure(&wish.name, None, wish.labels, wish.options)
    }

    /// The volumes that pass the filters, by name.
    ///
    /// # Errors
    /// When a filter isn't known or makes no sense.
    pub fn volumes(&self, filters: &Filters) -> Result<Vec<Volume>, Error> {
        filters.check(KNOWN)?;
        let dangling = filters
            .flag("dangling")
            .map_err(|value| Error::InvalidRequest(format!("invalid filter 'dangling=[{value}]'")))?;
        let wanted = |(volume, used): &(Volume, bool)| {
            dangling.is_none_or(|dangling| dangling != *used)
                && filters.finds("name", &volume.name)
                && filters.any("driver", |driver| driver == "local")
                && filters.labels_match(&volume.labels)
        };
        Ok(self.volumes.all().into_iter().filter(wanted).map(|(volume, _)| volume).collect())
    }

    /// One volume.
    ///
    /// # Errors
    /// When there is none of this name.
    pub fn volume(&self, name: &str) -> Result<Volume, Error> {
        self.volumes.find(name)
    }

    /// Where a volume's data is.
    pub fn volume_data(&self, volume: &Volume) -> PathBuf {
        self.volumes.data(&volume.name)
    }

    /// Removes a volume that no container uses. With `force`, a missing one is fine.
    ///
    /// # Errors
    /// When it is used, or isn't there.
    pub fn volume_remove(&self, name: &str, force: bool) -> Result<(), Error> {
        match self.volumes.remove(name) {
            Err(Error::NoSuchVolume(_)) if force => Ok(()),
            removed => removed,
        }
    }

    /// Removes every unused volume that passes the filters: anonymous ones only, unless `all=1`, and as in Docker none
    /// with options of the driver, whose data lies elsewhere. Returns their names and the bytes that they took.
    ///
    /// # Errors
    /// When a filter makes no sense, or the disk refuses.
    pub fn volume_prune(&self, filters: &Filters) -> Result<(Vec<String>, u64), Error> {
        filters.check(&["all", "label", "label!"])?;
        let all = filters
            .flag("all")
            .map_err(|value| {
                let reason = format!("strconv.ParseBool: parsing {value:?}: invalid syntax");
                Error::InvalidRequest(format!("invalid filter 'all': {reason}"))
            })?
            .unwrap_or(false);
        let (mut removed, mut size) = (Vec::new(), 0);
        for (volume, used) in self.volumes.all() {
            let wanted = !used
                && volume.options.is_empty()
                && (all || volume.labels.contains_key(ANONYMOUS))
                && filters.labels_match(&volume.labels);
            if wanted {
                let bytes = self.volumes.size(&volume.name);
                self.volume_remove(&volume.name, true)?;
                size += bytes;
                removed.push(volume.name);
            }
        }
        self.tell_pruned("volume", size);
        Ok((removed, size))
    }

    /// Tells that a container's volumes are mounted (`mount`) or aren't any more (`unmount`).
    pub(crate) fn tell_volumes_of(&self, container: &Container, action: &str) {
        let is_volume = |mount: &&MountPoint| mount.kind == MountKind::Volume;
        let volumes: Vec<MountPoint> =
            container.with(|record| record.mounts.iter().filter(is_volume).cloned().collect());
        for mount in volumes {
            let mut attributes = BTreeMap::from([
                ("container".to_owned(), container.id.clone()),
                ("driver".to_owned(), mount.driver),
            ]);
            if action == "mount" {
                attributes.insert("destination".to_owned(), mount.destination);
                attributes.insert("propagation".to_owned(), mount.propagation);
                attributes.insert("read/write".to_owned(), mount.writable.to_string());
            }
            self.events.tell("volume", action, &mount.name, attributes);
        }
    }
}
