//! How much the cache holds, and making it hold less.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use berth_images::Digest;
use jiff::Timestamp;

use crate::{Builder, Error, Filter, Result};

/// One record of the cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Usage {
    /// Its name.
    pub id: String,
    /// The name of the record that it was made on.
    pub parent: Option<String>,
    /// `regular`, or `exec.cachemount`.
    pub kind: &'static str,
    /// The instruction.
    pub description: String,
    /// Bytes of its own.
    pub size: u64,
    /// Whether images use what it holds.
    pub shared: bool,
    /// Whether a build works with it now.
    pub in_use: bool,
    /// When it was made.
    pub created: Timestamp,
    /// When it last served.
    pub last_used: Timestamp,
    /// How often it served.
    pub uses: u64,
}

impl Usage {
    /// Whether builds change what it holds.
    pub fn is_mutable(&self) -> bool {
        self.kind != REGULAR
    }
}

/// What a step made.
const REGULAR: &str = "regular";

/// What to remove.
#[derive(Debug, Clone, Default)]
pub struct Prune {
    /// Also what images use.
    pub all: bool,
    /// Keep so many bytes of what was used last, whatever else is asked for.
    pub reserved: u64,
    /// Keep no more bytes than this; 0 is no limit.
    pub most: u64,
    /// Remove until so many bytes of the disk are free; 0 is no wish.
    pub free: u64,
    /// Only what hasn't served for so long.
    pub unused_for: Option<Duration>,
    /// Only what fulfils all of these.
    pub filters: Vec<Filter>,
}

impl Prune {
    /// How many bytes stay (BuildKit's rule): as many as may be, fewer where the disk needs them, never below what is
    /// reserved. Without a wish nothing stays.
    fn kept(&self, total: u64, free: u64) -> u64 {
        let missing = self.free.saturating_sub(free);
        let most = match (self.most, missing) {
            (most, 0) => most,
            (0, missing) => total.saturating_sub(missing),
            (most, missing) => most.min(total.saturating_sub(missing)),
        };
        most.max(self.reserved)
    }
}

/// What was removed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pruned {
    /// The records.
    pub removed: Vec<Usage>,
    /// Their bytes together.
    pub freed: u64,
}

impl Builder {
    /// Every record, the one that served last first. Blocks.
    pub fn usage(&self) -> Vec<Usage> {
        let mut owned: BTreeMap<Digest, bool> = BTreeMap::new();
        for image in self.store.list() {
            owned.extend(image.layers.iter().map(|layer| (layer.chain_id.clone(), true)));
        }
        let mut all: Vec<Usage> = self
            .cache
            .all()
            .into_iter()
            .map(|record| Usage {
                id: name(&record.key),
                parent: record.parent.as_ref().map(name),
                kind: REGULAR,
                in_use: self.is_busy(record.key.hex()),
                shared: record.top().is_some_and(|layer| owned.contains_key(layer)),
                description: record.description,
                size: record.size,
                created: record.created,
                last_used: record.last_used,
                uses: record.uses,
            })
            .collect();
        all.extend(self.mounted_caches());
        all.sort_by_key(|usage| std::cmp::Reverse(usage.last_used));
        all
    }

    /// Removes what nobody needs any more. Blocks.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn prune(&self, wish: &Prune) -> Result<Pruned> {
        let now = Timestamp::now();
        let usage = self.usage();
        let total = usage.iter().map(|usage| usage.size).sum();
        let keep = wish.kept(total, free_bytes(&self.data_root));
        let mut pruned = Pruned::default();
        let mut kept = 0;
        for usage in usage {
            let age = Duration::try_from(now.duration_since(usage.last_used)).unwrap_or_default();
            let old_enough = wish.unused_for.is_none_or(|limit| age >= limit);
            let wanted = wish.filters.iter().all(|filter| filter.fits(&usage));
            kept += usage.size;
            let over = keep == 0 || kept > keep;
            if old_enough && wanted && over && !usage.in_use && (wish.all || !usage.shared) {
                pruned.freed += usage.size;
                pruned.removed.push(usage);
            }
        }
        let is_removed = |id: &str| pruned.removed.iter().any(|usage| id.starts_with(&usage.id));
        let keys: Vec<Digest> = self
            .cache
            .all()
            .into_iter()
            .map(|record| record.key)
            .filter(|key| is_removed(key.hex()))
            .collect();
        self.cache.forget(&keys)?;
        for usage in pruned.removed.iter().filter(|usage| usage.is_mutable()) {
            let folder = self.mounts_folder().join(&usage.id);
            std::fs::remove_dir_all(&folder).map_err(Error::file("remove", folder))?;
        }
        Ok(pruned)
    }

    pub(crate) fn cache_folder(&self, id: &Digest) -> PathBuf {
        self.mounts_folder().join(name(id))
    }

    fn mounts_folder(&self) -> PathBuf {
        self.data_root.join("mounts")
    }

    fn mounted_caches(&self) -> Vec<Usage> {
        let Ok(entries) = std::fs::read_dir(self.mounts_folder()) else { return Vec::new() };
        let of = |path: PathBuf| {
            let changed = path.metadata().ok()?.modified().ok()?;
            let moment = Timestamp::try_from(changed).ok()?;
            let id = path.file_name()?.to_string_lossy().into_owned();
            Some(Usage {
                in_use: self.is_busy(&id),
                id,
                parent: None,
                kind: "exec.cachemount",
                description: "cached mount of a RUN step".to_owned(),
                size: size(&path),
                shared: false,
                created: moment,
                last_used: moment,
                uses: 1,
            })
        };
        entries.flatten().filter_map(|entry| of(entry.path())).collect()
    }
}

/// What a record is called: enough digits to tell it from others.
fn name(key: &Digest) -> String {
    key.hex()[..25].to_owned()
}

/// Bytes that the disk beneath a folder has left; plenty when it doesn't say.
fn free_bytes(folder: &Path) -> u64 {
    rustix::fs::statvfs(folder).map_or(u64::MAX, |disk| disk.f_bavail.saturating_mul(disk.f_frsize))
}

/// The sizes of the files beneath a folder; links aren't followed.
fn size(folder: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    let sizes = entries.flatten().map(|entry| match entry.file_type() {
        Ok(kind) if kind.is_dir() => size(&entry.path()),
        Ok(kind) if kind.is_file() => entry.metadata().map_or(0, |metadata| metadata.len()),
        _ => 0,
    });
    sizes.sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_reserved_stays_and_the_disk_gets_what_it_needs() {
        let of = |reserved, most, free| Prune { reserved, most, free, ..Prune::default() };
        assert_eq!(of(0, 0, 0).kept(100, 50), 0);
        assert_eq!(of(10, 0, 0).kept(100, 50), 10);
        assert_eq!(of(0, 80, 0).kept(100, 50), 80);
        assert_eq!(of(0, 80, 90).kept(100, 50), 60);
        assert_eq!(of(70, 80, 90).kept(100, 50), 70);
        assert_eq!(of(0, 0, 40).kept(100, 50), 0);
    }
}
