//! How much the cache holds, and making it hold less.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use berth_images::Digest;
use jiff::Timestamp;

use crate::{Builder, Error, Result};

/// One record of the cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Usage {
    /// Its name.
    pub id: String,
    /// `regular`, or `exec.cachemount`.
    pub kind: &'static str,
    /// The instruction.
    pub description: String,
    /// Bytes of its own.
    pub size: u64,
    /// Whether images use what it holds.
    pub shared: bool,
    /// When it was made.
    pub created: Timestamp,
    /// When it last served.
    pub last_used: Timestamp,
    /// How often it served.
    pub uses: u64,
}

/// What to remove.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Prune {
    /// Also what images use.
    pub all: bool,
    /// Keep so many bytes of what was used last.
    pub keep_bytes: u64,
    /// Only what hasn't served for so long.
    pub unused_for: Option<Duration>,
    /// Only records of these names.
    pub ids: Vec<String>,
    /// Only records of these kinds.
    pub kinds: Vec<String>,
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
                id: record.key.hex()[..25].to_owned(),
                kind: "regular",
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
        let mut pruned = Pruned::default();
        let mut kept = 0;
        for usage in self.usage() {
            let age = Duration::try_from(now.duration_since(usage.last_used)).unwrap_or_default();
            let old_enough = wish.unused_for.is_none_or(|limit| age >= limit);
            let named = wish.ids.is_empty() || wish.ids.iter().any(|id| usage.id.starts_with(id.as_str()));
            let of_kind = wish.kinds.is_empty() || wish.kinds.iter().any(|kind| kind == usage.kind);
            kept += usage.size;
            let over = wish.keep_bytes == 0 || kept > wish.keep_bytes;
            if old_enough && named && of_kind && over && (wish.all || !usage.shared) {
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
        for usage in pruned.removed.iter().filter(|usage| usage.kind != "regular") {
            let folder = self.mounts_folder().join(&usage.id);
            std::fs::remove_dir_all(&folder).map_err(Error::file("remove", folder))?;
        }
        Ok(pruned)
    }

    pub(crate) fn cache_folder(&self, id: &Digest) -> PathBuf {
        self.mounts_folder().join(&id.hex()[..25])
    }

    fn mounts_folder(&self) -> PathBuf {
        self.data_root.join("mounts")
    }

    fn mounted_caches(&self) -> Vec<Usage> {
        let Ok(entries) = std::fs::read_dir(self.mounts_folder()) else { return Vec::new() };
        let of = |path: PathBuf| {
            let changed = path.metadata().ok()?.modified().ok()?;
            let moment = Timestamp::try_from(changed).ok()?;
            Some(Usage {
                id: path.file_name()?.to_string_lossy().into_owned(),
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
