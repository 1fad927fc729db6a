//! Volumes: folders of this engine that outlive containers.
//!
//! One folder each, its record beside the data. Who uses a volume is known from the containers' records.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::container::mounts::{MountKind, MountPoint};
use crate::events::Events;
use crate::{Error, durable, identity, local_driver};

/// The label of a volume that nobody named.
pub(crate) const ANONYMOUS: &str = "com.docker.volume.anonymous";

/// How a folder is called whose volume isn't whole yet, or not any more. No volume's name begins with a dot.
const HALF: &str = ".half-";

/// A volume as it lies on disk.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Volume {
    /// Its name.
    pub name: String,
    /// When it was made.
    pub created: Timestamp,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Options of the driver.
    pub options: BTreeMap<String, String>,
    /// The container that an anonymous one was made for, until that is removed without it. When the container is gone
    /// and this still stands, the engine was killed while it made or removed both.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    made_for: Option<String>,
}

/// Every volume of an engine.
#[derive(Debug)]
pub(crate) struct Volumes {
    root: PathBuf,
    events: Arc<Events>,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    volumes: BTreeMap<String, Volume>,
    /// Containers by volume.
    users: BTreeMap<String, BTreeSet<String>>,
}

impl Volumes {
    /// Reads what lies in `root`. A folder without a readable record costs that volume its labels, not its data.
    pub(crate) fn open(root: PathBuf, events: Arc<Events>) -> Result<Self, Error> {
        fs::create_dir_all(&root).map_err(|source| Error::Folder { folder: root.clone(), source })?;
        let mut inner = Inner::default();
        let entries = fs::read_dir(&root).map_err(|source| Error::Read { path: root.clone(), source })?;
        for entry in entries.flatten() {
            let Ok(name) = entry.file_name().into_string() else { continue };
            if name.starts_with(HALF) {
                if let Err(error) = delete(&entry.path()) {
                    tracing::warn!(name, error = &error as &dyn std::error::Error, "can't remove it");
                }
                continue;
            }
            let volume = durable::read_json(&entry.path().join("volume.json")).unwrap_or_else(|error| {
                tracing::warn!(volume = name, error = &error as &dyn std::error::Error, "its record is lost");
                fresh(&name)
            });
            inner.volumes.insert(name, volume);
        }
        Ok(Self { root, events, inner: Mutex::new(inner) })
    }

    /// The volume `name`, made if it isn't there; an empty name makes an anonymous one, for `container` if there is one.
    pub(crate) fn ensure(
        &self,
        name: &str,
        container: Option<&str>,
        labels: BTreeMap<String, String>,
        options: BTreeMap<String, String>,
    ) -> Result<Volume, Error> {
        let anonymous = name.is_empty();
        let name = if anonymous { identity::fresh()? } else { name.to_owned() };
        check_name(&name)?;
        let mut inner = self.lock();
        if let Some(volume) = inner.volumes.get(&name) {
            return Ok(volume.clone());
        }
        local_driver::check(&options).map_err(|error| error.during(format!("create {name}")))?;
        let mut volume = Volume { labels, options, ..fresh(&name) };
        if anonymous {
            volume.labels.insert(ANONYMOUS.to_owned(), String::new());
            volume.made_for = container.map(str::to_owned);
        }
        let (half, folder) = (self.half(&name), self.folder(&name));
        let data = half.join("_data");
        delete(&half)?;
        fs::create_dir_all(&data).map_err(|source| Error::Folder { folder: data, source })?;
        durable::write_json(&half.join("volume.json"), &volume)?;
        fs::rename(&half, &folder)
            .and_then(|()| durable::sync_folder(&self.root))
            .map_err(|source| Error::Folder { folder, source })?;
        inner.volumes.insert(name, volume.clone());
        self.tell("create", &volume.name);
        Ok(volume)
    }

    /// The volume's data here.
    pub(crate) fn data(&self, name: &str) -> PathBuf {
        self.folder(name).join("_data")
    }

    /// Notes that `container` uses a volume.
    pub(crate) fn hold(&self, mount: &MountPoint, container: &str) {
        if mount.kind == MountKind::Volume {
            self.lock().users.entry(mount.name.clone()).or_default().insert(container.to_owned());
        }
    }

    /// Notes that `container` uses it no more; removes it when it is anonymous, unused and `remove` is set.
    pub(crate) fn release(&self, name: &str, container: &str, remove: bool) -> Result<(), Error> {
        let unused = {
            let mut inner = self.lock();
            let users = inner.users.entry(name.to_owned()).or_default();
            users.remove(container);
            users.is_empty()
        };
        let anonymous =
            self.lock().volumes.get(name).is_some_and(|volume| volume.labels.contains_key(ANONYMOUS));
        if remove && unused && anonymous { self.remove(name) } else { Ok(()) }
    }

    /// Notes that `container`, whose creation failed, uses nothing.
    pub(crate) fn release_all(&self, container: &str) {
        let held: Vec<String> = {
            let inner = self.lock();
            let held = inner.users.iter().filter(|(_, users)| users.contains(container));
            held.map(|(name, _)| name.clone()).collect()
        };
        for name in held {
            drop(self.release(&name, container, true));
        }
        self.remove_made_for(|made_for| made_for == container);
    }

    /// Whether removing `container` removes a volume that was made for it.
    pub(crate) fn any_made_for(&self, container: &str) -> bool {
        self.lock().volumes.values().any(|volume| volume.made_for.as_deref() == Some(container))
    }

    /// Writes down that the volumes made for `container` stay when it is removed.
    pub(crate) fn keep_made_for(&self, container: &str) -> Result<(), Error> {
        let mut inner = self.lock();
        let its = inner.volumes.values_mut().filter(|volume| volume.made_for.as_deref() == Some(container));
        for volume in its {
            volume.made_for = None;
            durable::write_json(&self.folder(&volume.name).join("volume.json"), volume)?;
        }
        Ok(())
    }

    /// Removes the volumes made for containers that are gone.
    pub(crate) fn remove_made_for(&self, is_gone: impl Fn(&str) -> bool) {
        let names: Vec<String> = {
            let inner = self.lock();
            let orphans =
                inner.volumes.values().filter(|volume| volume.made_for.as_deref().is_some_and(&is_gone));
            orphans.map(|volume| volume.name.clone()).collect()
        };
        for name in names {
            if let Err(error) = self.remove(&name) {
                tracing::warn!(volume = name, error = &error as &dyn std::error::Error, "can't remove it");
            }
        }
    }

    /// Removes a volume that nobody uses.
    pub(crate) fn remove(&self, name: &str) -> Result<(), Error> {
        let mut inner = self.lock();
        if !inner.volumes.contains_key(name) {
            return Err(Error::NoSuchVolume(name.to_owned()));
        }
        if let Some(user) = inner.users.get(name).and_then(|users| users.first()) {
            return Err(Error::VolumeInUse { volume: name.to_owned(), user: user.clone() });
        }
        let (half, folder) = (self.half(name), self.folder(name));
        // What it shows may be mounted there, after a crash.
        local_driver::unmount(&folder.join("_data"))?;
        fs::rename(&folder, &half).map_err(|source| Error::Remove { path: folder, source })?;
        inner.volumes.remove(name);
        self.tell("destroy", name);
        delete(&half)
    }

    fn tell(&self, action: &str, name: &str) {
        self.events.tell("volume", action, name, BTreeMap::from([("driver".to_owned(), "local".to_owned())]));
    }

    /// One volume.
    pub(crate) fn find(&self, name: &str) -> Result<Volume, Error> {
        self.lock().volumes.get(name).cloned().ok_or_else(|| Error::NoSuchVolume(name.to_owned()))
    }

    /// Every volume, and whether somebody uses it.
    pub(crate) fn all(&self) -> Vec<(Volume, bool)> {
        let inner = self.lock();
        let used = |name: &String| inner.users.get(name).is_some_and(|users| !users.is_empty());
        inner.volumes.iter().map(|(name, volume)| (volume.clone(), used(name))).collect()
    }

    /// How many containers use a volume.
    pub(crate) fn users(&self, name: &str) -> usize {
        self.lock().users.get(name).map_or(0, BTreeSet::len)
    }

    /// Bytes that a volume's files take on disk. What can't be read doesn't count.
    pub(crate) fn size(&self, name: &str) -> u64 {
        let (mut folders, mut size) = (vec![self.data(name)], 0);
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
                let Ok(found) = entry.metadata() else { continue };
                // Blocks of 512 bytes, whatever the file system's own are (stat(2)).
                size += found.blocks() * 512;
                if found.is_dir() {
                    folders.push(entry.path());
                }
            }
        }
        size
    }

    fn folder(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    fn half(&self, name: &str) -> PathBuf {
        self.root.join(format!("{HALF}{name}"))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Removes a folder with all that lies in it, if it is there.
fn delete(folder: &Path) -> Result<(), Error> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(Error::Remove { path: folder.into(), source: error })
        }
        _ => Ok(()),
    }
}

fn fresh(name: &str) -> Volume {
    Volume {
        name: name.to_owned(),
        created: Timestamp::now(),
        labels: BTreeMap::new(),
        options: BTreeMap::new(),
        made_for: None,
    }
}

/// Docker's rule for a volume's name; it is also what keeps a name inside our folder.
fn check_name(name: &str) -> Result<(), Error> {
    if name.len() == 1 {
        return Err(Error::InvalidRequest(format!(
            "create {name}: volume name is too short, names should be at least two alphanumeric characters"
        )));
    }
    if name.len() <= 255
        && crate::container::names::is_allowed(name)
        && Path::new(name).components().count() == 1
    {
        return Ok(());
    }
    Err(Error::InvalidRequest(format!(
        "create {name}: \"{name}\" includes invalid characters for a local volume name, only \
         \"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are allowed. If you intended to pass a host directory, use absolute path"
    )))
}
