//! Removing images and names, by the rules of `docker rmi`.

use std::fmt::{self, Display, Formatter};

use crate::names::{find, is_id_prefix};
use crate::store::State;
use crate::{Digest, Error, Reference, Result, Store, durable};

/// Something that went, as `docker rmi` lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Removed {
    /// A name; the image may still be there.
    Untagged(Reference),
    /// An image.
    Deleted(Digest),
    /// A layer that no image has any more.
    Layer(Digest),
}

/// How to remove.
#[derive(Debug, Clone, Copy, Default)]
pub struct RemoveOptions {
    /// Although it has several names, or stopped containers use it.
    pub force: bool,
    /// Leave parents without names where they are.
    pub no_prune: bool,
}

/// A container that uses an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageUse {
    /// The container's short id.
    pub container: String,
    /// Whether it runs: then force doesn't help.
    pub running: bool,
}

impl Store {
    /// Removes a name, and with its last name the image and the layers nobody else has. `used_by` says which
    /// container uses an image; a running one is the better answer when there are several.
    ///
    /// # Errors
    /// In Docker's words, when there is no such image or it is in use.
    pub fn remove(
        &self,
        name_or_id: &str,
        options: RemoveOptions,
        used_by: &dyn Fn(&Digest) -> Option<ImageUse>,
    ) -> Result<Vec<Removed>> {
        let mut removed = Vec::new();
        {
            let mut state = self.state();
            let id = find(&state, name_or_id)?;
            let mut removal =
                Removal { store: self, state: &mut state, options, used_by, removed: &mut removed };
            let started = removal.start(&id, name_or_id);
            if !removed.is_empty() {
                durable::sync_folder(&self.inner.root.join("names"))?;
            }
            started?;
        }
        if removed.iter().any(|item| matches!(item, Removed::Deleted(_))) {
            // A record that came back after a power cut would speak of content that is gone.
            durable::sync_folder(&self.inner.root.join("images"))?;
            removed.extend(self.collect()?.into_iter().map(Removed::Layer));
        }
        Ok(removed)
    }
}

/// One removal under way.
struct Removal<'a> {
    store: &'a Store,
    state: &'a mut State,
    options: RemoveOptions,
    used_by: &'a dyn Fn(&Digest) -> Option<ImageUse>,
    removed: &'a mut Vec<Removed>,
}

/// Why an image stays.
struct Obstacle {
    forceable: bool,
    reason: String,
}

impl Removal<'_> {
    fn start(&mut self, id: &Digest, text: &str) -> Result<()> {
        let names = self.names(id);
        if is_id_prefix(id, text) && !names.iter().any(|name| is_called(name, text)) {
            if is_one_name(&names) {
                self.refuse_if(self.obstacle(id, false), id)?;
                self.untag_all(names)?;
            } else if !self.options.force {
                let reason = "image is referenced in multiple repositories".to_owned();
                return self.refuse_if(Some(Obstacle { forceable: true, reason }), id);
            }
            return self.delete(id, true);
        }
        let reference = Reference::parse(text)?;
        let reference = match reference.digest() {
            Some(digest) => reference.with_digest(digest.clone()),
            None => reference.or_latest(),
        };
        if is_one_name(&names)
            && !self.options.force
            && let Some(ImageUse { container, .. }) = (self.used_by)(id)
        {
            return Err(Error::NameInUse { name: text.to_owned(), container, image: id.short().to_owned() });
        }
        self.untag(&reference)?;
        if reference.tag().is_some() {
            let rest = self.names(id);
            let siblings = || rest.iter().filter(|name| name.same_repository(&reference));
            // Digests of a repository go with its last tag.
            if siblings().all(|name| name.tag().is_none()) {
                let digests = siblings().cloned().collect();
                self.untag_all(digests)?;
            }
        }
        // The name was what was asked for: an image that is needed otherwise stays without one.
        match self.obstacle(id, true) {
            Some(obstacle) if !(obstacle.forceable && self.options.force) => Ok(()),
            _ if self.names(id).is_empty() => self.delete(id, true),
            _ => Ok(()),
        }
    }

    fn names(&self, id: &Digest) -> Vec<Reference> {
        self.state.names.iter().filter(|(_, image)| *image == id).map(|(name, _)| name.clone()).collect()
    }

    fn untag(&mut self, name: &Reference) -> Result<()> {
        durable::discard(&self.store.name_path(name))?;
        self.state.names.remove(name);
        self.removed.push(Removed::Untagged(name.clone()));
        Ok(())
    }

    fn untag_all(&mut self, names: Vec<Reference>) -> Result<()> {
        names.iter().try_for_each(|name| self.untag(name))
    }

    /// Deletes the image and then its nameless parents.
    fn delete(&mut self, id: &Digest, is_asked_for: bool) -> Result<()> {
        match self.obstacle(id, !is_asked_for) {
            // A parent stays silently.
            Some(_) if !is_asked_for => return Ok(()),
            obstacle => self.refuse_if(obstacle, id)?,
        }
        self.untag_all(self.names(id))?;
        let parent = self.state.images.get(id).and_then(|stored| stored.record.parent.clone());
        durable::discard(&self.store.image_path(id))?;
        self.state.images.remove(id);
        self.removed.push(Removed::Deleted(id.clone()));
        match parent {
            Some(parent) if !self.options.no_prune && self.state.images.contains_key(&parent) => {
                self.delete(&parent, false)
            }
            _ => Ok(()),
        }
    }

    fn obstacle(&self, id: &Digest, names_count: bool) -> Option<Obstacle> {
        let has_child = self.state.images.values().any(|stored| stored.record.parent.as_ref() == Some(id));
        if has_child {
            return Some(Obstacle {
                forceable: false,
                reason: "image has dependent child images".to_owned(),
            });
        }
        if names_count && !self.names(id).is_empty() {
            let reason = "image is referenced in multiple repositories".to_owned();
            return Some(Obstacle { forceable: true, reason });
        }
        let ImageUse { container, running } = (self.used_by)(id)?;
        let reason = match running {
            true => format!("image is being used by running container {container}"),
            false => format!("image is being used by stopped container {container}"),
        };
        Some(Obstacle { forceable: !running, reason })
    }

    fn refuse_if(&self, obstacle: Option<Obstacle>, id: &Digest) -> Result<()> {
        match obstacle {
            Some(Obstacle { forceable, reason }) if !(forceable && self.options.force) => {
                Err(Error::InUse { image: id.short().to_owned(), forceable, reason })
            }
            _ => Ok(()),
        }
    }
}

/// Whether these are one tag at most, and digests of the same repository.
fn is_one_name(names: &[Reference]) -> bool {
    let tags = names.iter().filter(|name| name.tag().is_some()).count();
    tags <= 1 && names.windows(2).all(|pair| pair[0].same_repository(&pair[1]))
}

/// Whether `text` is this name as a user may write it.
fn is_called(name: &Reference, text: &str) -> bool {
    Reference::parse(text).is_ok_and(|parsed| parsed.or_latest() == *name)
}

impl Display for Removed {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Untagged(name) => write!(formatter, "Untagged: {name}"),
            Self::Deleted(digest) | Self::Layer(digest) => write!(formatter, "Deleted: {digest}"),
        }
    }
}
