//! `docker load`: archives of `docker save` (manifest.json) and OCI layouts (index.json), plain or compressed.
//!
//! The archive is read once, front to back ([`super::spool`]); its manifest, which may come last, says what it holds.

use std::io::Read;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::thread;

use serde::Deserialize;

use super::ahead::Ahead;
use super::spool::Content;
use crate::manifest::{self, Descriptor, Document, Index};
use crate::{Digest, Error, ImageConfig, Platform, Progress, Reference, Result, Store};

/// Layers unpacked at a time: more of them wait for the disk.
const MOST_UNPACKINGS: usize = 4;

/// Something that was loaded, as `docker load` lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Loaded {
    /// An image under this name.
    Name(Reference),
    /// An image without a name.
    Id(Digest),
}

/// `manifest.json`: one per image.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DockerImage {
    config: String,
    repo_tags: Option<Vec<String>>,
    layers: Vec<String>,
}

impl Store {
    /// Loads every image of an archive, or every one for `platform`, and says their names. Of an image for several platforms
    /// it is the one for this machine, or for `platform`.
    ///
    /// # Errors
    /// When it isn't an archive of images, or content isn't what its digest says. Images before the bad one stay.
    pub fn load(
        &self,
        reader: impl Read + Send,
        platform: Option<Platform>,
        report: &mut dyn FnMut(Progress),
    ) -> Result<Vec<Loaded>> {
        let loaded = thread::scope(|scope| {
            let ahead = Ahead::start(scope, unpackings(), self.layers());
            let content = self.spool(reader, platform, ahead)?;
            self.load_content(&content, report)
        });
        // Files that no image needed, the manifests among them.
        self.collect()?;
        loaded
    }

    fn load_content(&self, content: &Content, report: &mut dyn FnMut(Progress)) -> Result<Vec<Loaded>> {
        if content.get("manifest.json").is_some() {
            self.load_docker(content, report)
        } else if content.get("index.json").is_some() {
            self.load_layout(content, report)
        } else {
            Err(content.missing())
        }
    }

    fn load_docker(&self, content: &Content, report: &mut dyn FnMut(Progress)) -> Result<Vec<Loaded>> {
        let images: Vec<DockerImage> = content.json(self, "manifest.json", "manifest.json")?;
        let mut loaded = Vec::new();
        for image in images {
            let config_json = self.blobs().read(&content.need(&image.config)?.digest)?;
            if !content.is_asked_for(&config_json)? {
                continue;
            }
            let layers =
                image.layers.iter().map(|path| content.need(path).cloned()).collect::<Result<Vec<_>>>()?;
            let id = self.assemble(&config_json, layers, content, report)?;
            let names = image.repo_tags.unwrap_or_default();
            loaded.extend(self.name_loaded(&id, names.iter().map(String::as_str))?);
        }
        Ok(loaded)
    }

    fn load_layout(&self, content: &Content, report: &mut dyn FnMut(Progress)) -> Result<Vec<Loaded>> {
        let index: Index = content.json(self, "index.json", "index.json")?;
        let mut loaded = Vec::new();
        for entry in &index.manifests {
            let Some(manifest) = self.layout_manifest(content, entry, 0)? else { continue };
            let config_json = self.blobs().read(content.blob(&manifest.config.digest)?)?;
            if !content.is_asked_for(&config_json)? {
                continue;
            }
            for layer in &manifest.layers {
                content.blob(&layer.digest)?;
            }
            let id = self.assemble(&config_json, manifest.layers, content, report)?;
            let name = entry
                .annotations
                .get("io.containerd.image.name")
                .or_else(|| entry.annotations.get("org.opencontainers.image.ref.name"))
                .map(String::as_str);
            loaded.extend(self.name_loaded(&id, name.into_iter())?);
        }
        Ok(loaded)
    }

    /// The image manifest behind an entry of a layout's index: among several that for the platform that is asked for, or
    /// for this machine.
    fn layout_manifest(
        &self,
        content: &Content,
        entry: &Descriptor,
        depth: u32,
    ) -> Result<Option<manifest::Manifest>> {
        let json = self.blobs().read(content.blob(&entry.digest)?)?;
        let wanted = content.platform.clone().unwrap_or_else(Platform::local);
        match Document::parse(&json, &entry.media_type)? {
            Document::Manifest(manifest) => Ok(Some(manifest)),
            Document::Index(index) if depth < 3 => match index.choose(&wanted) {
                Some(chosen) => self.layout_manifest(content, chosen, depth + 1),
                None => Ok(None),
            },
            Document::Index(_) => Err(Error::InvalidArchive("an index within too many others".to_owned())),
        }
    }

    /// Unpacks an image's layers, whose blobs are in the store, and records it.
    fn assemble(
        &self,
        config_json: &[u8],
        layers: Vec<Descriptor>,
        content: &Content,
        report: &mut dyn FnMut(Progress),
    ) -> Result<Digest> {
        let config = ImageConfig::parse(config_json)?;
        let diff_ids = &config.rootfs.diff_ids;
        if diff_ids.len() != layers.len() {
            return Err(Error::LayerCount { layers: layers.len(), diff_ids: diff_ids.len() });
        }
        let chain = crate::digest::chain_ids(diff_ids);
        let _pin = self.pin(chain.iter().cloned().chain([Digest::of(config_json)]));
        self.unpack_all(diff_ids, &chain, &layers, content, report)?;
        self.add_image(config_json, layers, None)
    }

    /// Unpacks layers whose blobs are in the store, several at a time.
    fn unpack_all(
        &self,
        diff_ids: &[Digest],
        chain: &[Digest],
        layers: &[Descriptor],
        content: &Content,
        report: &mut dyn FnMut(Progress),
    ) -> Result<()> {
        let next = AtomicUsize::new(0);
        let work = |lines: Sender<Progress>| -> Result<()> {
            loop {
                let at = next.fetch_add(1, Ordering::Relaxed);
                let (Some(diff_id), Some(layer)) = (diff_ids.get(at), layers.get(at)) else { return Ok(()) };
                let say = |done| {
                    let line = Progress::moved(diff_id.short(), "Loading layer", done, layer.size);
                    // Nobody listening any more is fine.
                    let _ = lines.send(line);
                };
                say(0);
                let parent = at.checked_sub(1).map(|below| &chain[below]);
                let unpack = |folder: &Path| match content.unpacked_ahead(&layer.digest) {
                    Some(early) => early?.put(&layer.digest, folder),
                    None => self.blobs().unpack(&layer.digest, folder),
                };
                if let Err(error) = self.layers().ensure(parent, diff_id, unpack) {
                    // The others needn't begin any more.
                    next.store(layers.len(), Ordering::Relaxed);
                    return Err(error);
                }
                say(layer.size);
            }
        };
        thread::scope(|scope| {
            let (sender, lines) = channel();
            let workers: Vec<_> = (0..unpackings().min(layers.len()))
                .map(|_| {
                    let (work, sender) = (&work, sender.clone());
                    scope.spawn(move || work(sender))
                })
                .collect();
            drop(sender);
            lines.into_iter().for_each(report);
            // All of them, whatever the first says: one that isn't asked how it ended would end this thread, too.
            let ended: Vec<_> = workers.into_iter().map(|worker| worker.join()).collect();
            ended
                .into_iter()
                .try_for_each(|ended| ended.unwrap_or(Err(Error::Interrupted("unpacking a layer"))))
        })
    }

    fn name_loaded<'a>(&self, id: &Digest, names: impl Iterator<Item = &'a str>) -> Result<Vec<Loaded>> {
        let mut loaded = Vec::new();
        let mut state = self.state();
        for name in names {
            // A layout's name may be a bare tag, which names nothing here.
            let Ok(reference) = Reference::parse(name) else { continue };
            let reference = reference.or_latest();
            if reference.digest().is_none() {
                self.set_name(&mut state, reference.clone(), id)?;
                loaded.push(Loaded::Name(reference));
            }
        }
        if loaded.is_empty() {
            loaded.push(Loaded::Id(id.clone()));
        }
        Ok(loaded)
    }
}

/// How many layers are unpacked at a time.
fn unpackings() -> usize {
    thread::available_parallelism().map_or(1, |threads| threads.get().min(MOST_UNPACKINGS))
}
