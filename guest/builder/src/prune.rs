//! How much the cache holds, and making it hold less.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use berth_images::Digest;
use jiff::Timestamp;

use crate::{Builder, Filter, Result};

/// One record of the cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Usage {
    /// Its name.
    pub id: String,
    /// The name of the record that it was made on.
    pub parent: Option<String>,
    /// Of what kind.
    pub kind: UsageKind,
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
        self.kind != UsageKind::Regular
    }
}

/// What a record is of; BuildKit's words are [`UsageKind::as_str`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UsageKind {
    /// What a step made.
    Regular,
    /// A cache that RUN mounts.
    CacheMount,
    /// What a client sent of a folder of its own.
    LocalSource,
}

impl UsageKind {
    /// As clients know it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Regular => "regular",
            Self::CacheMount => "exec.cachemount",
            Self::LocalSource => "source.local",
        }
    }
}

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
    /// The records, each with the bytes that it gave back: none where images have what it held.
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
                kind: UsageKind::Regular,
                in_use: self.is_busy(record.key.hex()),
                shared: record.top().is_some_and(|layer| owned.contains_key(layer)),
                description: record.description,
                size: record.size,
                created: record.created,
                last_used: record.last_used,
                uses: record.uses,
            })
            .collect();
        all.extend(self.kept_folders());
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
                let size = if usage.shared { 0 } else { usage.size };
                pruned.removed.push(Usage { size, ..usage });
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
        let mut removed = Vec::with_capacity(pruned.removed.len());
        for usage in pruned.removed {
            // A build may have begun to work with a folder meanwhile.
            if !usage.is_mutable() || self.remove_kept(&usage)? {
                pruned.freed += usage.size;
                removed.push(usage);
            }
        }
        pruned.removed = removed;
        Ok(pruned)
    }
}

/// What a record is called: enough digits to tell it from others.
pub(crate) fn name(key: &Digest) -> String {
    key.hex()[..25].to_owned()
}

/// Bytes that the disk beneath a folder has left; plenty when it doesn't say.
fn free_bytes(folder: &Path) -> u64 {
    rustix::fs::statvfs(folder).map_or(u64::MAX, |disk| disk.f_bavail.saturating_mul(disk.f_frsize))
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
