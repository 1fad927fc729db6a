//! Which folders of the host are watched, and what the guest's kernel may therefore believe for how long.
//!
//! Somebody must be there who carries changes to the kernel ([`Server::tell_changes`]): until then, and when he is gone,
//! nothing is watched. A folder is watched from the first look at it; where the host allows no more watches, the short
//! lifetime stays, and it is back where a watch is lost. A program of the host that writes through a mapping raises no
//! event, so even what is watched isn't believed for ever.

use std::collections::HashMap;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::case::Case;
use crate::server::Server;
use crate::sys::{Kind, Status, Watcher};
use crate::wire::ROOT;

/// How long the kernel may believe what nobody watches, in seconds.
pub(crate) const SHORT: u64 = 1;
/// How long it may believe what is watched.
pub(crate) const LONG: u64 = 30;
/// Watches of one server: a user has some 10,000 to 100,000 for all programs.
const MOST: usize = 8 << 10;

/// The watched folders, while somebody carries changes.
#[derive(Default)]
pub(crate) struct Watches {
    watched: Mutex<Option<Watched>>,
    /// How often a watch was lost or all were given up.
    losses: AtomicU64,
}

struct Watched {
    watcher: Arc<Watcher>,
    by_node: HashMap<u64, Watch>,
    by_watch: HashMap<i32, u64>,
}

/// A folder's watch.
struct Watch {
    number: i32,
    case: Case,
}

impl Watches {
    /// From now on folders may be watched; none is yet, whatever was before.
    pub(crate) fn begin(&self, watcher: Arc<Watcher>) {
        let mut watched = self.lock();
        *watched = Some(Watched { watcher, by_node: HashMap::new(), by_watch: HashMap::new() });
        self.losses.fetch_add(1, Ordering::SeqCst);
    }

    /// From now on none is. False when none could be before.
    pub(crate) fn end(&self) -> bool {
        let mut watched = self.lock();
        self.losses.fetch_add(1, Ordering::SeqCst);
        watched.take().is_some()
    }

    /// Tells by a change whether folders that were watched at the first look may not be so at the second.
    pub(crate) fn losses(&self) -> u64 {
        self.losses.load(Ordering::SeqCst)
    }

    /// The folder of a watch.
    pub(crate) fn folder(&self, watch: i32) -> Option<u64> {
        self.lock().as_ref()?.by_watch.get(&watch).copied()
    }

    /// A watch ended by itself; returns its folder. None when it was ended here.
    pub(crate) fn lost(&self, watch: i32) -> Option<u64> {
        let mut watched = self.lock();
        let watched = watched.as_mut()?;
        let node = watched.by_watch.remove(&watch)?;
        watched.by_node.remove(&node);
        self.losses.fetch_add(1, Ordering::SeqCst);
        Some(node)
    }

    /// The kernel has forgotten a folder.
    pub(crate) fn forget(&self, node: u64) {
        if let Some(watched) = self.lock().as_mut()
            && let Some(Watch { number, .. }) = watched.by_node.remove(&node)
            // The same folder may be known by another number already, and watched by the same watch.
            && watched.by_watch.get(&number) == Some(&node)
        {
            watched.by_watch.remove(&number);
            watched.watcher.remove(number);
        }
    }

    /// Whether anything may be watched.
    pub(crate) fn are_on(&self) -> bool {
        self.lock().is_some()
    }

    /// Whether a folder is watched.
    pub(crate) fn has(&self, node: u64) -> bool {
        self.lock().as_ref().is_some_and(|watched| watched.by_node.contains_key(&node))
    }

    /// Whether names in a folder mind case; none when it isn't watched.
    pub(crate) fn case(&self, node: u64) -> Option<Case> {
        Some(self.lock().as_ref()?.by_node.get(&node)?.case)
    }

    /// It was found out.
    pub(crate) fn learn(&self, node: u64, case: Case) {
        if let Some(watch) = self.lock().as_mut().and_then(|watched| watched.by_node.get_mut(&node)) {
            watch.case = case;
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Watched>> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Server {
    /// Watches a folder, if it may be; to be called before anything in it is looked at. True when it wasn't before.
    pub(crate) fn watch(&self, folder: u64) -> bool {
        let watcher = match self.watches.lock().as_ref() {
            Some(watched) if !watched.by_node.contains_key(&folder) && watched.by_node.len() < MOST => {
                Arc::clone(&watched.watcher)
            }
            _ => return false,
        };
        if folder == ROOT {
            return false;
        }
        let Ok(file) = self.nodes().file(folder) else { return false };
        if let Ok(number) = watcher.add(file.as_fd())
            && let Some(watched) = self.watches.lock().as_mut()
            && Arc::ptr_eq(&watched.watcher, &watcher)
        {
            watched.by_node.insert(folder, Watch { number, case: Case::Unknown });
            watched.by_watch.insert(number, folder);
            return true;
        }
        false
    }

    /// How long the kernel may believe a file's attributes, in seconds. `is_name_watched` tells whether every change by its
    /// name is seen.
    pub(crate) fn attributes_valid(
        &self,
        node: u64,
        status: &Status,
        is_name_watched: impl FnOnce() -> bool,
    ) -> u64 {
        let is_watched = match status.kind() {
            // Through another name it may change unseen.
            Kind::Regular if status.links != 1 => false,
            Kind::Regular | Kind::Symlink => is_name_watched(),
            Kind::Folder => self.watches.has(node),
            Kind::Special => false,
        };
        if is_watched { LONG } else { SHORT }
    }
}
