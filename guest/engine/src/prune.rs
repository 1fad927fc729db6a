//! `docker container prune` and `docker image prune`.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;

use crate::container::state::Status;
use crate::filters::Filters;
use crate::images::{Image, Removed};
use crate::{Engine, Error, images};

impl Engine {
    /// Removes every container that doesn't run and passes the filters. Returns their ids and the bytes that their
    /// writable layers took.
    ///
    /// # Errors
    /// When a filter makes no sense.
    pub async fn container_prune(self: &Arc<Self>, filters: &Filters) -> Result<(Vec<String>, u64), Error> {
        filters.check(&["label", "label!", "until"])?;
        let until = filters.until()?;
        let (mut removed, mut size) = (Vec::new(), 0);
        for container in self.containers.all() {
            let record = container.record();
            let wanted = !record.state.status.has_process()
                && record.state.status != Status::Restarting
                && until.is_none_or(|until| record.created <= until)
                && filters.labels_match(&record.config.labels);
            if !wanted {
                continue;
            }
            let (bytes, _) = self.sizes(&container.id).await.unwrap_or_default();
            match self.remove(&container.id, false, false).await {
                Ok(()) => {
                    size += bytes;
                    removed.push(container.id.clone());
                }
                // Started or removed meanwhile.
                Err(Error::RemoveRunning { .. } | Error::NoSuchContainer(_)) => {}
                Err(error) => return Err(error),
            }
        }
        self.tell_pruned("container", size);
        Ok((removed, size))
    }

    /// Removes every unused image that passes the filters: those without a name, or with `dangling=false` all.
    /// Returns what went and the bytes of the layers that nobody has any more: those that a build's cache keeps aren't free
    /// yet. Blocks.
    ///
    /// # Errors
    /// When a filter makes no sense.
    pub fn image_prune(&self, filters: &Filters) -> Result<(Vec<Removed>, u64), Error> {
        filters.check(&["dangling", "label", "label!", "until"])?;
        let dangling = filters
            .flag("dangling")
            .map_err(|value| Error::InvalidRequest(format!("invalid filter 'dangling=[{value}]'")))?;
        let until = filters.until()?;
        let sizes = self.layer_sizes();
        let users = self.image_users();
        let wanted = |image: &Image| {
            let made = images::created(image).unwrap_or(Timestamp::MIN);
            !users.contains_key(&image.id.to_string())
                && (image.names.is_empty() || dangling == Some(false))
                && until.is_none_or(|until| made <= until)
                && filters.labels_match(&images::labels(image))
        };
        let mut gone = Vec::new();
        // What an image was made on stays until that image is gone: rounds until one removes nothing.
        loop {
            let round = self.remove_images(self.images.list().into_iter().filter(wanted))?;
            if round.is_empty() {
                break;
            }
            gone.extend(round);
        }
        let freed = gone.iter().filter_map(|removed| match removed {
            Removed::Layer(layer) => sizes.get(layer),
            Removed::Untagged(_) | Removed::Deleted(_) => None,
        });
        let size = freed.sum();
        self.tell_pruned("image", size);
        Ok((gone, size))
    }

    /// Removes every one of `images` that nothing keeps, by all its names.
    fn remove_images(&self, images: impl Iterator<Item = Image>) -> Result<Vec<Removed>, Error> {
        let mut gone = Vec::new();
        for image in images {
            let names = image.names.iter().map(ToString::to_string);
            let names: Vec<String> =
                if image.names.is_empty() { vec![image.id.to_string()] } else { names.collect() };
            for name in names {
                match self.remove_image(&name, false, false) {
                    Ok(removed) => gone.extend(removed),
                    // An image below another, or one that has come into use meanwhile.
                    Err(Error::Image(error)) => {
                        tracing::debug!(image = name, error = &error as &dyn std::error::Error, "it stays");
                    }
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(gone)
    }

    /// Tells that a kind of things was pruned.
    pub fn tell_pruned(&self, kind: &'static str, bytes: u64) {
        let attributes = BTreeMap::from([("reclaimed".to_owned(), bytes.to_string())]);
        self.events.tell(kind, "prune", "", attributes);
    }
}
