//! Images as the API sees them: pull, load, tag, remove, and who uses what.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::sync::Arc;

use berth_images::registry::{Choice, Remote, pulled_status};
use berth_images::{Chosen, Digest, Glob, ImageUse, Platform, RemoveOptions};
use jiff::Timestamp;

use crate::filters::Filters;
use crate::{Engine, Error};

pub use berth_images::registry::{
    Credentials, Found, Options as RegistryOptions, Proxies, Pushed, Report, masked,
};
pub use berth_images::{Change, HistoryItem, Image, Loaded, Progress, Reference, Removed};

/// Filters that a list of images knows.
const KNOWN: &[&str] = &["before", "dangling", "label", "reference", "since", "until"];

/// What Dockerfiles call no image at all.
const NOTHING: &str = "scratch";

impl Engine {
    /// Pulls an image, or without tag and digest every one of a repository.
    ///
    /// # Errors
    /// In the registry's and Docker's words.
    pub async fn pull(
        &self,
        name: &str,
        platform: Option<&str>,
        credentials: Option<&Credentials>,
        report: Report<'_>,
    ) -> Result<(), Error> {
        let reference: Reference = name.parse()?;
        if reference.familiar_name() == NOTHING {
            return Err(Error::ReservedName(NOTHING.to_owned()));
        }
        let platform: Option<Platform> = platform.map(str::parse).transpose()?;
        let references = match (reference.tag(), reference.digest()) {
            (None, None) => {
                let tags = self.registries.tags(&reference, credentials).await?;
                tags.iter().map(|tag| reference.with_tag(tag)).collect::<Result<_, _>>()?
            }
            _ => vec![reference.clone()],
        };
        let (mut is_new, mut warnings) = (false, Vec::new());
        for one in &references {
            let choice = platform.as_ref().map_or(Choice::Local, Choice::Prefer);
            let pulled = self.registries.pull(&self.images, one, choice, credentials, report).await?;
            self.tell_image("pull", &one.to_string(), &one.familiar_name());
            is_new |= pulled.is_new;
            warnings.extend(platform.as_ref().and_then(|wanted| pulled.not_for(one, wanted)));
        }
        report(pulled_status(&reference, is_new));
        for warning in warnings {
            report(Progress { status: format!("WARNING: {warning}"), ..Progress::default() });
        }
        Ok(())
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

    /// Pushes an image, or without tag and digest every one of a repository; `pushed` hears of each with its tag.
    ///
    /// # Errors
    /// In the registry's and Docker's words.
    pub async fn push(
        &self,
        name: &str,
        credentials: Option<&Credentials>,
        report: Report<'_>,
        pushed: &(dyn Fn(&str, Pushed) + Send + Sync),
    ) -> Result<(), Error> {
        let reference: Reference = name.parse()?;
        let status = format!("The push refers to repository [{}]", reference.name());
        report(Progress { status, ..Progress::default() });
        for reference in self.to_push(&reference)? {
            let done = self.registries.push(&self.images, &reference, credentials, report).await?;
            self.tell_image("push", &reference.to_string(), &reference.familiar_name());
            pushed(reference.tag().unwrap_or_default(), done);
        }
        Ok(())
    }

    /// What a push of this name pushes.
    fn to_push(&self, wanted: &Reference) -> Result<Vec<Reference>, Error> {
        let mut names: Vec<Reference> =
            self.images.list().into_iter().flat_map(|image| image.names).collect();
        names.retain(|name| name.name() == wanted.name());
        names.sort();
        if names.is_empty() {
            return Err(berth_images::Error::NothingToPush(wanted.familiar_name()).into());
        }
        if wanted.tag().is_none() && wanted.digest().is_none() {
            return Ok(names);
        }
        if wanted.digest().is_none() && !names.contains(wanted) {
            return Err(berth_images::Error::NoSuchTag(wanted.to_string()).into());
        }
        Ok(vec![wanted.clone()])
    }

    /// Loads the images of an archive, or those for this platform. Blocks.
    ///
    /// # Errors
    /// When it isn't an archive of images, or the platform isn't one.
    pub fn load(
        &self,
        archive: impl Read + Send,
        platform: Option<&str>,
        report: &mut dyn FnMut(Progress),
    ) -> Result<Vec<Loaded>, Error> {
        let platform: Option<Platform> = platform.map(str::parse).transpose()?;
        let loaded = self.images.load(archive, platform, report)?;
        let names = loaded.iter().map(|item| match item {
            Loaded::Name(name) => name.to_string(),
            Loaded::Id(id) => id.to_string(),
        });
        self.tell_images("load", names);
        Ok(loaded)
    }

    /// Finds the images for an archive, each of this platform if one is given.
    ///
    /// # Errors
    /// As [`Self::image_for`].
    pub fn choose_to_save(&self, names: &[String], platform: Option<&str>) -> Result<Chosen, Error> {
        let chosen = self.images.choose(names)?;
        chosen.images().try_for_each(|image| check_platform(image, &names.join(" "), platform))?;
        Ok(chosen)
    }

    /// Writes images into an archive. Blocks.
    ///
    /// # Errors
    /// When nobody reads.
    pub fn save(&self, chosen: &Chosen, writer: impl std::io::Write) -> Result<(), Error> {
        self.images.save(chosen, writer)?;
        self.tell_images("save", chosen.images().map(|image| image.id.to_string()));
        Ok(())
    }

    /// The images that pass the filters, newest first: those that nobody named and others were made on only when `all` are
    /// asked for.
    ///
    /// # Errors
    /// When a filter isn't known or makes no sense.
    pub fn images(&self, filters: &Filters, all: bool) -> Result<Vec<Image>, Error> {
        filters.check(KNOWN)?;
        let dangling = filters
            .flag("dangling")
            .map_err(|value| Error::InvalidRequest(format!("invalid filter 'dangling=[{value}]'")))?;
        let moments = |key: &str| -> Result<Vec<String>, Error> {
            let names = filters.values(key).unwrap_or_default().iter();
            names.map(|name| Ok(self.image(name)?.config.created.clone().unwrap_or_default())).collect()
        };
        let before = moments("before")?.into_iter().min();
        let since = moments("since")?.into_iter().max();
        let patterns = filters.values("reference").unwrap_or_default();
        let patterns = patterns.iter().map(|pattern| Glob::parse(pattern));
        let patterns: Vec<Glob> = patterns
            .collect::<Result<_, _>>()
            .map_err(|_| Error::InvalidRequest("syntax error in pattern".to_owned()))?;
        let until = filters.until()?;
        let created = |image: &Image| image.config.created.clone().unwrap_or_default();
        let listed = self.images.list();
        let parents: BTreeSet<Digest> = listed.iter().filter_map(|image| image.parent.clone()).collect();
        let is_shown = |image: &Image| {
            let is_named = !image.names.is_empty() || !image.digests.is_empty();
            let is_parent = parents.contains(&image.id);
            match dangling {
                Some(true) => image.names.is_empty() && !is_parent,
                Some(false) => is_named,
                None => is_named || all || !is_parent,
            }
        };
        let wanted = |image: &Image| {
            is_shown(image)
                && before.as_ref().is_none_or(|moment| created(image) < *moment)
                && since.as_ref().is_none_or(|moment| created(image) > *moment)
                && until.is_none_or(|until| self::created(image).is_none_or(|made| made <= until))
                && filters.labels_match(&labels(image))
        };
        let mut images: Vec<Image> = listed.iter().filter(|image| wanted(image)).cloned().collect();
        if !patterns.is_empty() {
            for image in &mut images {
                image.names.retain(|name| is_named(name, &patterns));
                image.digests.retain(|digest| is_named(digest, &patterns));
            }
            images.retain(|image| !image.names.is_empty() || !image.digests.is_empty());
        }
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

    /// The same, which must be of this platform, `os/architecture/variant`, if one is given.
    ///
    /// # Errors
    /// When there is none, or it is another platform's.
    pub fn image_for(&self, name: &str, platform: Option<&str>) -> Result<Image, Error> {
        let image = self.image(name)?;
        check_platform(&image, name, platform)?;
        Ok(image)
    }

    /// The steps of an image's making, newest first: each with the image as of it, where that is here.
    pub fn image_history(&self, image: &Image) -> Vec<HistoryItem> {
        let mut items = image.history();
        let mut below = image.parent.clone();
        for item in items.iter_mut().skip(1) {
            let Some(image) = below.and_then(|id| self.image(&id.to_string()).ok()) else { break };
            (item.id, item.names, below) = (Some(image.id), image.names, image.parent);
        }
        items
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

/// Refuses an image that isn't of this platform, if one is given.
fn check_platform(image: &Image, name: &str, platform: Option<&str>) -> Result<(), Error> {
    let found = image.config.platform();
    match platform {
        Some(text) if text.parse::<Platform>()?.distance(&found).is_none() => {
            let (found, wanted) = (found.to_string(), text.to_owned());
            Err(Error::WrongPlatform { image: name.to_owned(), found, wanted })
        }
        _ => Ok(()),
    }
}

/// Whether a pattern (`busybox`, `busybox:1*`, `*/web`) fits the name, or its repository.
fn is_named(name: &Reference, patterns: &[Glob]) -> bool {
    let (whole, repository) = (name.to_string(), name.familiar_name());
    patterns.iter().any(|pattern| pattern.matches(&whole) || pattern.matches(&repository))
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
        let fits = |name: &str, pattern| is_named(&name.parse().unwrap(), &[Glob::parse(pattern).unwrap()]);
        assert!(fits("busybox:1.35", "busybox"));
        assert!(fits("busybox:1.35", "busy*:1.*"));
        assert!(fits("busybox:1.35", "[a-c]usybox"));
        assert!(!fits("team/busybox:1.35", "busy*"));
        assert!(fits("team/busybox:1.35", "*/busybox"));
    }
}
