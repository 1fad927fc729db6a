//! Images as the API sees them: pull, load, tag, remove, and who uses what.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::sync::Arc;

use berth_images::registry::{Pulled, Pushed, Remote};
use berth_images::{Digest, ImageUse, Platform, RemoveOptions};
use jiff::Timestamp;

use crate::filters::Filters;
use crate::{Engine, Error};

pub use berth_images::registry::{Credentials, Found, Options as RegistryOptions, Proxies, masked};
pub use berth_images::{Change, HistoryItem, Image, Loaded, Progress, Reference, Removed};

/// Filters that a list of images knows.
const KNOWN: &[&str] = &["before", "dangling", "label", "reference", "since", "until"];

impl Engine {
    /// Pulls an image.
    ///
    /// # Errors
    /// In the registry's and Docker's words.
    pub async fn pull(
        &self,
        name: &str,
        platform: Option<&str>,
        credentials: Option<&Credentials>,
        report: &(dyn Fn(Progress) + Send + Sync),
    ) -> Result<Pulled, Error> {
        let reference: Reference = name.parse()?;
        let platform: Option<Platform> = platform.map(str::parse).transpose()?;
        let pulled =
            self.registries.pull(&self.images, &reference, platform.as_ref(), credentials, report).await?;
        let name = reference.familiar_name();
        self.tell_image("pull", &reference.or_latest().to_string(), &name);
        Ok(pulled)
    }

    /// What a registry says of an image, without pulling it.
    ///
    /// # Errors
    /// In the registry's and Docker's words.
    pub async fn inspect_remote(
        &self,
        name: &str,
        credentials: Option<&Credentials>,
    ) -> Result<Remote, Error> {
        Ok(self.registries.inspect(&self.images, &name.parse()?, credentials).await?)
    }

    /// Pushes an image.
    ///
    /// # Errors
    /// In the registry's and Docker's words.
    pub async fn push(
        &self,
        name: &str,
        credentials: Option<&Credentials>,
        report: &(dyn Fn(Progress) + Send + Sync),
    ) -> Result<Pushed, Error> {
        let reference: Reference = name.parse()?;
        let pushed = self.registries.push(&self.images, &reference, credentials, report).await?;
        self.tell_image("push", &reference.to_string(), &reference.familiar_name());
        Ok(pushed)
    }

    /// Loads the images of an archive. Blocks.
    ///
    /// # Errors
    /// When it isn't an archive of images.
    pub fn load(
        &self,
        archive: impl Read + Send,
        report: &mut dyn FnMut(Progress),
    ) -> Result<Vec<Loaded>, Error> {
        let loaded = self.images.load(archive, report)?;
        let names = loaded.iter().map(|item| match item {
            Loaded::Name(name) => name.to_string(),
            Loaded::Id(id) => id.to_string(),
        });
        self.tell_images("load", names);
        Ok(loaded)
    }

    /// Writes images into an archive. Blocks.
    ///
    /// # Errors
    /// When one isn't there, or nobody reads.
    pub fn save(&self, names: &[String], writer: impl std::io::Write) -> Result<(), Error> {
        self.images.save(names, writer)?;
        self.tell_images("save", names.iter().cloned());
        Ok(())
    }

    /// The images that pass the filters, newest first.
    ///
    /// # Errors
    /// When a filter isn't known or makes no sense.
    pub fn images(&self, filters: &Filters) -> Result<Vec<Image>, Error> {
        filters.check(KNOWN)?;
        let dangling = filters
            .flag("dangling")
            .map_err(|value| Error::InvalidRequest(format!("invalid filter 'dangling=[{value}]'")))?;
        let moment = |key: &str| -> Result<Option<String>, Error> {
            let name = filters.values(key).and_then(|names| names.first());
            name.map(|name| Ok(self.image(name)?.config.created.clone().unwrap_or_default())).transpose()
        };
        let (before, since) = (moment("before")?, moment("since")?);
        let until = filters.until()?;
        let created = |image: &Image| image.config.created.clone().unwrap_or_default();
        let wanted = |image: &Image| {
            dangling.is_none_or(|dangling| dangling == image.names.is_empty())
                && before.as_ref().is_none_or(|moment| created(image) < *moment)
                && since.as_ref().is_none_or(|moment| created(image) > *moment)
                && until.is_none_or(|until| self::created(image).is_none_or(|made| made <= until))
                && filters.labels_match(&labels(image))
                && filters.any("reference", |pattern| {
                    image.names.iter().any(|name| name_matches(&name.to_string(), pattern))
                })
        };
        let mut images: Vec<Image> = self.images.list().into_iter().filter(wanted).collect();
        images.sort_by_key(|image| std::cmp::Reverse(created(image)));
        Ok(images)
    }

    /// One image by name, id or the beginning of its id.
    ///
    /// # Errors
    /// When there is none.
    pub fn image(&self, name: &str) -> Result<Image, Error> {
        Ok(self.images.image(name)?)
    }

    /// Gives an image a further name.
    ///
    /// # Errors
    /// When it isn't there or the name isn't one.
    pub fn tag(&self, name: &str, repository: &str, tag: &str) -> Result<(), Error> {
        let full = if tag.is_empty() { repository.to_owned() } else { format!("{repository}:{tag}") };
        let reference: Reference = full.parse()?;
        let id = self.image(name)?.id.to_string();
        self.images.tag(name, &reference)?;
        self.tell_image("tag", &id, &reference.or_latest().to_string());
        Ok(())
    }

    /// Removes a name, and the image with its last one.
    ///
    /// # Errors
    /// When it is used, in Docker's words.
    pub fn remove_image(&self, name: &str, force: bool, no_prune: bool) -> Result<Vec<Removed>, Error> {
        let used_by = |id: &Digest| {
            let id = id.to_string();
            let users =
                self.containers.all().into_iter().filter(|user| user.with(|record| record.image == id));
            let users = users.map(|user| ImageUse {
                container: user.id[..12].to_owned(),
                running: user.state().status.has_process(),
            });
            users.max_by_key(|user| user.running)
        };
        let image = self.image(name)?;
        let id = image.id.to_string();
        let removed = self.images.remove(name, RemoveOptions { force, no_prune }, &used_by)?;
        for item in &removed {
            match item {
                Removed::Untagged(_) => self.tell_image_of("untag", &id, &id, labels(&image)),
                Removed::Deleted(id) => self.tell_image("delete", &id.to_string(), &id.to_string()),
                Removed::Layer(_) => {}
            }
        }
        Ok(removed)
    }

    /// How many containers use each image.
    pub fn image_users(&self) -> BTreeMap<String, i64> {
        let mut users = BTreeMap::new();
        for container in self.containers.all() {
            *users.entry(container.with(|record| record.image.clone())).or_default() += 1;
        }
        users
    }

    /// Tells of each of these images once.
    fn tell_images(&self, action: &str, names: impl Iterator<Item = String>) {
        let ids: BTreeSet<Digest> =
            names.filter_map(|name| self.image(&name).ok()).map(|image| image.id).collect();
        for id in ids.iter().map(ToString::to_string) {
            self.tell_image(action, &id, &id);
        }
    }

    /// Tells what happened to the image `id`, under the name that Docker gives it there, and its labels.
    pub(crate) fn tell_image(&self, action: &str, id: &str, name: &str) {
        let labels = self.image(id).map(|image| labels(&image)).unwrap_or_default();
        self.tell_image_of(action, id, name, labels);
    }

    fn tell_image_of(&self, action: &str, id: &str, name: &str, mut attributes: BTreeMap<String, String>) {
        attributes.insert("name".to_owned(), name.to_owned());
        self.events.tell("image", action, id, attributes);
    }
}

/// An image's labels.
pub fn labels(image: &Image) -> BTreeMap<String, String> {
    image.config.config.labels.clone()
}

/// When an image was made.
pub fn created(image: &Image) -> Option<Timestamp> {
    image.config.created.as_deref()?.parse().ok()
}

/// Whether `pattern` (`busybox`, `busybox:1*`, `*/web`) matches a familiar name.
fn name_matches(name: &str, pattern: &str) -> bool {
    let repository = name.rsplit_once(':').map_or(name, |(repository, _)| repository);
    glob(pattern, name) || glob(pattern, repository)
}

/// Shell patterns as Go's `path.Match` has them, without sets: `*` and `?` stop at `/`.
fn glob(pattern: &str, text: &str) -> bool {
    match (pattern.chars().next(), text.chars().next()) {
        (None, None) => true,
        (Some('*'), _) => {
            let rest = &pattern[1..];
            let stops = text.char_indices().find(|(_, c)| *c == '/').map_or(text.len(), |(index, _)| index);
            (0..=stops).filter(|&index| text.is_char_boundary(index)).any(|index| glob(rest, &text[index..]))
        }
        (Some('?'), Some(c)) if c != '/' => glob(&pattern[1..], &text[c.len_utf8()..]),
        (Some(p), Some(c)) if p == c => glob(&pattern[p.len_utf8()..], &text[c.len_utf8()..]),
        _ => false,
    }
}

/// An image's configuration in Docker's vocabulary, with every field that it has.
pub(crate) fn run_config(image: &Image) -> crate::container::config::Config {
    #[derive(serde::Deserialize, Default)]
    struct Outer {
        #[serde(default)]
        config: Option<crate::container::config::Config>,
    }
    let outer: Outer = serde_json::from_slice(&image.config_json).unwrap_or_default();
    outer.config.unwrap_or_default()
}

/// The image, by name, found from a thread that may block.
pub(crate) async fn find(engine: &Engine, name: &str) -> Result<Arc<Image>, Error> {
    let (images, name) = (engine.images.clone(), name.to_owned());
    Ok(Arc::new(tokio::task::spawn_blocking(move || images.image(&name)).await??))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_pattern_matches_with_or_without_tag() {
        assert!(name_matches("busybox:1.35", "busybox"));
        assert!(name_matches("busybox:1.35", "busy*:1.*"));
        assert!(!name_matches("team/busybox:1.35", "busy*"));
        assert!(name_matches("team/busybox:1.35", "*/busybox"));
    }
}
