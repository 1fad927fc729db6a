//! Images made here: `docker import` of a root file system, `docker commit` of a container.

use std::io::Read;

use serde_json::{Map, Value, json};

use crate::blobs::Filling;
use crate::{Digest, Error, Image, Platform, Reference, Result, RunConfig, Store, pack};

/// What `docker import` says of the image.
#[derive(Debug, Clone, Default)]
pub struct ImportOptions {
    /// Its name.
    pub name: Option<Reference>,
    /// The comment.
    pub message: String,
    /// What it runs on; this machine's platform when none is given.
    pub platform: Option<Platform>,
    /// How to run it (`--change`).
    pub config: RunConfig,
    /// When it is made, RFC 3339; the caller has the clock and its format.
    pub created: String,
}

/// What `docker commit` says of the image.
#[derive(Debug, Clone, Default)]
pub struct CommitOptions {
    /// Its name.
    pub name: Option<Reference>,
    /// Who makes it.
    pub author: String,
    /// The comment.
    pub message: String,
    /// How to run it: the container's configuration with the changes asked for.
    pub config: RunConfig,
    /// The history entry's instruction: the container's command.
    pub created_by: String,
    /// When it is made, RFC 3339.
    pub created: String,
    /// Paths that the layer leaves out when there is an empty file or folder: mount points of the engine's own.
    pub leave_out: Vec<String>,
}

impl Store {
    /// Makes an image of a root file system's tar, plain or compressed.
    ///
    /// # Errors
    /// When it isn't one, or the disk refuses.
    pub fn import(&self, reader: impl Read + Send, options: &ImportOptions) -> Result<Digest> {
        let mut plain = crate::unpack::decompress(reader)?;
        let platform = options.platform.clone().unwrap_or_else(Platform::local);
        let made = json!({
            "architecture": platform.architecture, "os": platform.os, "variant": platform.variant,
            "created": options.created, "comment": options.message, "config": value(&options.config)?,
        });
        let entry = json!({ "created": options.created, "comment": options.message });
        let id = self.stack(Map::new(), made, entry, None, |writer| {
            std::io::copy(&mut plain, writer).map_err(Error::reading).map(drop)
        })?;
        self.name_new(options.name.as_ref(), &id)?;
        Ok(id)
    }

    /// Makes an image of a container's changes on top of its image.
    ///
    /// # Errors
    /// When the container has no snapshot or its image is gone, or the disk refuses.
    pub fn commit(&self, container: &str, options: &CommitOptions) -> Result<Digest> {
        let snapshot = self.snapshot(container)?;
        let parent = snapshot.image.as_ref().map(|id| self.image(&id.to_string())).transpose()?;
        let config: Map<String, Value> = match &parent {
            None => Map::new(),
            Some(parent) => serde_json::from_slice(&parent.config_json)
                .map_err(|source| Error::Json { subject: "image configuration", source })?,
        };
        let platform = parent.as_ref().map_or_else(Platform::local, |parent| parent.config.platform());
        let made = json!({
            "architecture": platform.architecture, "os": platform.os, "created": options.created,
            "author": options.author, "comment": options.message, "container": container,
            "config": value(&options.config)?,
        });
        let entry = json!({
            "created": options.created, "created_by": options.created_by,
            "author": options.author, "comment": options.message,
        });
        let id = self.stack(config, made, entry, parent.as_ref(), |writer| {
            pack::layer(&snapshot.upper, &options.leave_out, writer).map(drop)
        })?;
        self.name_new(options.name.as_ref(), &id)?;
        Ok(id)
    }

    /// Puts a layer on top of a parent and records the image of both. `config` is the parent's, whose unknown
    /// fields stay; `made` overrides it.
    fn stack(
        &self,
        mut config: Map<String, Value>,
        made: Value,
        entry: Value,
        parent: Option<&Image>,
        write_layer: impl FnOnce(&mut Filling<'_, '_>) -> Result<()>,
    ) -> Result<Digest> {
        let below = parent.and_then(|parent| parent.layers.last()).map(|layer| layer.chain_id.clone());
        let mut blobs = match parent {
            Some(parent) => self.blobs_of(&parent.id)?,
            None => Vec::new(),
        };
        let _kept = self.pin(below.clone().into_iter().chain(blobs.iter().map(|blob| blob.digest.clone())));
        let (blob, _new) = self.keep(self.blobs().filled(write_layer)?.0)?;
        // A plain tar's digest is its diff id.
        let diff_id = blob.digest.clone();
        let chain_id = crate::digest::chain_id(below.as_ref(), &diff_id);
        let _layer = self.pin([chain_id]);
        self.layers().ensure(below.as_ref(), &diff_id, |folder| self.blobs().unpack(&diff_id, folder))?;
        blobs.push(blob);
        if let Value::Object(made) = made {
            config.extend(made.into_iter().filter(|(_, value)| value.as_str() != Some("")));
        }
        let mut diff_ids: Vec<Digest> =
            parent.map(|parent| parent.config.rootfs.diff_ids.clone()).unwrap_or_default();
        diff_ids.push(diff_id);
        config.insert("rootfs".to_owned(), json!({ "type": "layers", "diff_ids": diff_ids }));
        let history = config.entry("history").or_insert_with(|| json!([]));
        if let Value::Array(entries) = history {
            entries.push(without_empty(entry));
        }
        let json = serde_json::to_vec(&config)
            .map_err(|source| Error::Json { subject: "image configuration", source })?;
        let _config = self.pin([Digest::of(&json)]);
        self.add_image(&json, blobs, parent.map(|parent| parent.id.clone()))
    }

    fn name_new(&self, name: Option<&Reference>, id: &Digest) -> Result<()> {
        let Some(name) = name else { return Ok(()) };
        let mut state = self.state();
        self.set_name(&mut state, name.clone().or_latest(), id)
    }
}

fn value(config: &RunConfig) -> Result<Value> {
    serde_json::to_value(config).map_err(|source| Error::Json { subject: "image configuration", source })
}

fn without_empty(mut entry: Value) -> Value {
    if let Value::Object(fields) = &mut entry {
        fields.retain(|_, value| value.as_str() != Some(""));
    }
    entry
}
