//! The containers of an engine, found by id, by name or by the beginning of an id.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::container::Container;
use crate::container::names;
use crate::{Error, identity};

/// Every container, and who has which name.
#[derive(Debug, Default)]
pub(crate) struct Registry(RwLock<Inner>);

#[derive(Debug, Default)]
struct Inner {
    containers: HashMap<String, Arc<Container>>,
    ids_by_name: HashMap<String, String>,
}

impl Registry {
    /// The container that `wanted` names: its id, its name (with or without `/`), or a beginning of its id that
    /// no other has.
    pub(crate) fn find(&self, wanted: &str) -> Result<Arc<Container>, Error> {
        let inner = self.read();
        if let Some(container) = inner.containers.get(wanted) {
            return Ok(container.clone());
        }
        let name = wanted.strip_prefix('/').unwrap_or(wanted);
        if let Some(container) = inner.ids_by_name.get(name).and_then(|id| inner.containers.get(id)) {
            return Ok(container.clone());
        }
        if wanted.is_empty() {
            return Err(Error::NoId(wanted.to_owned()));
        }
        let mut found = inner.containers.values().filter(|container| container.id.starts_with(wanted));
        match (found.next(), found.next()) {
            (Some(only), None) => Ok(only.clone()),
            (Some(_), Some(_)) => Err(Error::AmbiguousId(wanted.to_owned())),
            (None, _) => Err(Error::NoSuchContainer(wanted.to_owned())),
        }
    }

    /// Every container, newest first.
    pub(crate) fn all(&self) -> Vec<Arc<Container>> {
        let mut all: Vec<_> = self.read().containers.values().cloned().collect();
        all.sort_by_key(|container| std::cmp::Reverse(container.created));
        all
    }

    /// Takes the name `asked` for (or a generated one when empty) for the container `id`.
    pub(crate) fn reserve_name(&self, asked: &str, id: &str) -> Result<String, Error> {
        let wanted = asked.strip_prefix('/').unwrap_or(asked);
        let mut inner = self.write();
        if asked.is_empty() {
            loop {
                let name = names::generated(identity::random_u64()?);
                if !inner.ids_by_name.contains_key(&name) {
                    inner.ids_by_name.insert(name.clone(), id.to_owned());
                    return Ok(name);
                }
            }
        }
        if !names::is_allowed(wanted) {
            return Err(Error::InvalidName(asked.to_owned()));
        }
        if let Some(other) = inner.ids_by_name.get(wanted) {
            return Err(Error::NameInUse { name: wanted.to_owned(), id: other.clone() });
        }
        inner.ids_by_name.insert(wanted.to_owned(), id.to_owned());
        Ok(wanted.to_owned())
    }

    /// Gives a name back.
    pub(crate) fn release_name(&self, name: &str) {
        self.write().ids_by_name.remove(name);
    }

    /// Adds a container, whose name is taken already or comes from its record.
    pub(crate) fn insert(&self, container: Arc<Container>) {
        let mut inner = self.write();
        inner.ids_by_name.insert(container.name(), container.id.clone());
        inner.containers.insert(container.id.clone(), container);
    }

    /// Takes a container out, and its name.
    pub(crate) fn forget(&self, container: &Container) {
        let mut inner = self.write();
        inner.containers.remove(&container.id);
        inner.ids_by_name.remove(&container.name());
    }

    fn read(&self) -> RwLockReadGuard<'_, Inner> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Inner> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}
