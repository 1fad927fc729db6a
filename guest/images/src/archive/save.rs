//! `docker save`: one archive that is both an OCI layout and what older `docker load` reads (manifest.json), with the
//! list of names that still older tools look at (repositories), as Docker 25 and later write it.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};

use serde::Serialize;
use tar::{EntryType, Header};

use crate::manifest::{Descriptor, Index};
use crate::names::is_id_prefix;
use crate::store::Pin;
use crate::{Blob, Digest, Error, Image, ImageConfig, Outbound, Reference, Result, Store};

/// An entry of `manifest.json`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct DockerImage {
    config: String,
    repo_tags: Option<Vec<String>>,
    layers: Vec<String>,
}

impl DockerImage {
    fn of(id: &Digest, layers: &[Descriptor], tags: &[Reference]) -> Self {
        Self {
            config: blob_path(id),
            repo_tags: (!tags.is_empty()).then(|| tags.iter().map(Reference::to_string).collect()),
            layers: layers.iter().map(|layer| blob_path(&layer.digest)).collect(),
        }
    }
}

/// Images on their way into an archive: their content stays at least as long as this.
#[derive(Debug)]
pub struct Chosen {
    parts: Vec<Part>,
    _pins: Vec<Pin>,
}

/// One image on its way into an archive.
#[derive(Debug)]
struct Part {
    image: Image,
    layers: Vec<Descriptor>,
    tags: Vec<Reference>,
}

/// The content of `repositories`: by name and tag, the uppermost layer, as its file is called.
type Repositories = BTreeMap<String, BTreeMap<String, String>>;

impl Chosen {
    /// The images, in the order of their ids.
    pub fn images(&self) -> impl Iterator<Item = &Image> {
        self.parts.iter().map(|part| &part.image)
    }
}

impl Part {
    fn add_to(&self, repositories: &mut Repositories) {
        let Some(top) = self.layers.last() else { return };
        for tag in &self.tags {
            let short = tag.tag().unwrap_or_default().to_owned();
            let tags = repositories.entry(tag.familiar_name()).or_default();
            tags.insert(short, top.digest.hex().to_owned());
        }
    }
}

impl Store {
    /// Finds images, given by name or id, for [`Self::save`]. A bare repository name means all of its tags.
    ///
    /// # Errors
    /// When there is no such image.
    pub fn choose(&self, names: &[String]) -> Result<Chosen> {
        let (mut parts, mut pins) = (Vec::new(), Vec::new());
        for (image, tags) in self.named(names)?.into_values() {
            let layers = self.blobs_of(&image.id)?;
            pins.push(self.pin(layers.iter().map(|layer| layer.digest.clone()).chain([image.id.clone()])));
            parts.push(Part { image, layers, tags });
        }
        Ok(Chosen { parts, _pins: pins })
    }

    /// Writes images into one archive. Blocks.
    ///
    /// # Errors
    /// When the writer refuses.
    pub fn save(&self, chosen: &Chosen, writer: impl Write) -> Result<()> {
        let mut output = Output { writer, written: BTreeSet::new() };
        let (mut docker, mut manifests, mut repositories) = (Vec::new(), Vec::new(), Repositories::new());
        for part in &chosen.parts {
            manifests.extend(entries(&self.write_part(&mut output, part)?, &part.tags));
            docker.push(DockerImage::of(&part.image.id, &part.layers, &part.tags));
            part.add_to(&mut repositories);
        }
        output.small("index.json", &json(&Index::of(manifests))?)?;
        output.small("manifest.json", &json(&docker)?)?;
        if !repositories.is_empty() {
            output.small("repositories", &json(&repositories)?)?;
        }
        output.end_of_layout()
    }

    /// Writes the image of layers that are here into an archive under these names; nothing of it is recorded here.
    /// Several configurations are one image's for several platforms: they get an index of their own. Blocks, for the time
    /// that compressing takes, too.
    ///
    /// # Errors
    /// When a layer isn't here, or the writer refuses.
    pub fn save_composed(
        &self,
        configs: &[ImageConfig],
        tags: &[Reference],
        outbound: &Outbound,
        writer: impl Write,
    ) -> Result<()> {
        let layout = self.layout(configs, outbound)?;
        let mut output = Output { writer, written: BTreeSet::new() };
        for Blob { digest, size, .. } in &layout.blobs {
            output.file(&blob_path(digest), *size, self.blobs().open_blob(digest)?)?;
        }
        output.small("index.json", &json(&Index::of(entries(&layout.whole, tags)))?)?;
        // `manifest.json` knows no platforms.
        if let [(id, layers)] = layout.images.as_slice() {
            output.small("manifest.json", &json(&[DockerImage::of(id, layers, tags)])?)?;
        }
        output.end_of_layout()
    }

    /// Writes one image's blobs; says what its manifest is.
    fn write_part(&self, output: &mut Output<impl Write>, part: &Part) -> Result<Descriptor> {
        let Part { image, layers, .. } = part;
        let (platform, size) = (image.config.platform(), image.config_json.len() as u64);
        let (manifest_json, media_type) = Outbound::default().manifest(&platform, &image.id, size, layers)?;
        output.blob(&image.config_json)?;
        output.blob(&manifest_json)?;
        for layer in layers {
            let blob = self.blobs().open_blob(&layer.digest)?;
            output.file(&blob_path(&layer.digest), layer.size, blob)?;
        }
        let (digest, size) = (Digest::of(&manifest_json), manifest_json.len() as u64);
        Ok(Descriptor::new(media_type, digest, size))
    }

    /// Images by id, each with the tags it is saved under.
    fn named(&self, names: &[String]) -> Result<BTreeMap<Digest, (Image, Vec<Reference>)>> {
        let mut chosen = BTreeMap::<Digest, (Image, Vec<Reference>)>::new();
        let mut add = |image: Image, tag: Option<Reference>| {
            let (_, tags) = chosen.entry(image.id.clone()).or_insert_with(|| (image, Vec::new()));
            tags.extend(tag.filter(|tag| !tags.contains(tag)).into_iter().collect::<Vec<_>>());
        };
        for name in names {
            let reference = Reference::parse(name).ok();
            let bare = reference.as_ref().filter(|name| name.tag().is_none() && name.digest().is_none());
            let mut found = false;
            for image in self.list() {
                for tag in image.names.iter().filter(|tag| bare.is_some_and(|bare| bare.same_repository(tag)))
                {
                    add(image.clone(), Some(tag.clone()));
                    found = true;
                }
            }
            if !found {
                // The name is told as it was given, not as the tag that was looked for.
                let missing = |error| match error {
                    Error::NoSuchImage(_) if bare.is_some() => Error::NoSuchImage(name.clone()),
                    error => error,
                };
                let image = self.image(name).map_err(missing)?;
                let tag = reference.map(Reference::or_latest).filter(|tag| image.names.contains(tag));
                let tag = tag.filter(|_| !is_id_prefix(&image.id, name) || !image.names.is_empty());
                add(image, tag);
            }
        }
        Ok(chosen)
    }

    /// The layers' blobs of an image, lowest first.
    pub(crate) fn blobs_of(&self, id: &Digest) -> Result<Vec<Descriptor>> {
        let state = self.state();
        let stored = state.images.get(id).ok_or_else(|| Error::NoSuchImage(id.to_string()))?;
        Ok(stored.record.blobs.clone())
    }
}

/// The index' entries of one manifest: one per name, for containerd and for others.
fn entries(descriptor: &Descriptor, tags: &[Reference]) -> Vec<Descriptor> {
    if tags.is_empty() {
        return vec![descriptor.clone()];
    }
    let named = |tag: &Reference| {
        let mut entry = descriptor.clone();
        entry.annotations.insert("io.containerd.image.name".to_owned(), tag.canonical());
        let short = tag.tag().unwrap_or_default().to_owned();
        entry.annotations.insert("org.opencontainers.image.ref.name".to_owned(), short);
        entry
    };
    tags.iter().map(named).collect()
}

fn blob_path(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

fn json(document: &impl Serialize) -> Result<Vec<u8>> {
    serde_json::to_vec(document).map_err(|source| Error::Json { subject: "archive manifest", source })
}

struct Output<W> {
    writer: W,
    written: BTreeSet<String>,
}

impl<W: Write> Output<W> {
    fn blob(&mut self, bytes: &[u8]) -> Result<()> {
        self.small(&blob_path(&Digest::of(bytes)), bytes)
    }

    fn small(&mut self, path: &str, bytes: &[u8]) -> Result<()> {
        self.file(path, bytes.len() as u64, bytes)
    }

    /// Writes a file once; layers shared by images come up again.
    fn file(&mut self, path: &str, size: u64, mut content: impl Read) -> Result<()> {
        if !self.written.insert(path.to_owned()) {
            return Ok(());
        }
        let wrong = "write the archive";
        let mut header = Header::new_gnu();
        header.set_entry_type(EntryType::Regular);
        header.set_path(path).map_err(Error::stream(wrong))?;
        header.set_mode(0o644);
        header.set_size(size);
        header.set_cksum();
        self.writer.write_all(header.as_bytes()).map_err(Error::stream(wrong))?;
        let copied = std::io::copy(&mut content, &mut self.writer).map_err(Error::stream(wrong))?;
        if copied != size {
            return Err(Error::InvalidArchive(format!("{path} has {copied} bytes of {size}")));
        }
        let padding = usize::try_from(size.next_multiple_of(512) - size).unwrap_or(0);
        self.writer.write_all(&[0; 512][..padding]).map_err(Error::stream(wrong))
    }

    fn end_of_layout(mut self) -> Result<()> {
        self.small("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#)?;
        self.writer.write_all(&[0; 1024]).map_err(Error::stream("write the archive"))?;
        self.writer.flush().map_err(Error::stream("write the archive"))
    }
}
