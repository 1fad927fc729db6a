//! Reads an archive of images into the content store: whatever looks like content goes there under its digest, and what
//! looks like a layer is unpacked meanwhile ([`super::ahead`]).

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::Read;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Deserialize;

use super::ahead::{self, Ahead, Awaited, Early};
use crate::blobs::Filling;
use crate::manifest::{self, Descriptor};
use crate::store::Pin;
use crate::unpack::{Archive, decompressed};
use crate::{Digest, Error, ImageConfig, Platform, Result, Store};

/// Where a layout has its blobs.
const BLOBS: &str = "blobs/sha256/";

/// What an archive holds: each file's place in the content store, links followed by name.
#[derive(Default)]
pub(super) struct Content {
    files: BTreeMap<String, Descriptor>,
    links: HashMap<String, String>,
    /// Those at the top.
    folders: BTreeSet<String>,
    pins: Vec<Pin>,
    /// Blobs that are unpacked already, or will be.
    ahead: Mutex<HashMap<Digest, Awaited>>,
    /// What of it is asked for; all when none.
    pub(super) platform: Option<Platform>,
}

impl Store {
    /// Puts each file of the archive into the content store.
    pub(super) fn spool(
        &self,
        reader: impl Read + Send,
        platform: Option<Platform>,
        ahead: Ahead,
    ) -> Result<Content> {
        let mut content = Content { platform, ..Content::default() };
        decompressed(reader, |plain| self.spool_plain(plain, &mut content, &ahead))?;
        Ok(content)
    }

    fn spool_plain(&self, plain: &mut dyn Read, content: &mut Content, ahead: &Ahead) -> Result<()> {
        let mut archive = Archive::new(plain);
        while let Some(entry) = archive.next()? {
            let path = String::from_utf8(entry.path.clone())
                .map_err(|_| Error::InvalidArchive("a file name isn't UTF-8".to_owned()))?;
            let path = path.trim_start_matches("./").trim_start_matches('/').to_owned();
            if let Some((folder, _)) = path.split_once('/') {
                content.folders.insert(folder.to_owned());
            }
            if entry.kind.is_file() {
                let (blob, pin) = self.spool_file(&path, &mut archive, content, ahead)?;
                content.files.insert(path, blob);
                content.pins.push(pin);
            } else if entry.kind.is_symlink() || entry.kind.is_hard_link() {
                let target = String::from_utf8_lossy(&entry.link).into_owned();
                let target = if entry.kind.is_symlink() { join(&path, &target) } else { target };
                content.links.insert(path, target);
            }
        }
        Ok(())
    }

    /// Puts a file into the content store, and has it unpacked meanwhile if it looks like a layer that isn't here.
    fn spool_file(
        &self,
        path: &str,
        mut file: impl Read,
        content: &Content,
        ahead: &Ahead,
    ) -> Result<(Descriptor, Pin)> {
        let mut start = Vec::new();
        file.by_ref().take(ahead::START).read_to_end(&mut start).map_err(Error::reading)?;
        let mut writer = self.blobs().writer()?;
        let known = path.strip_prefix(BLOBS).and_then(|hex| Digest::from_hex(hex).ok());
        let is_here = known.is_some_and(|digest| self.blobs().size(&digest).is_some());
        let awaited = if is_here { None } else { ahead.begin(&start, &mut writer)? };
        let fill =
            |to: &mut Filling<'_, '_>| std::io::copy(&mut start.chain(file), to).map_err(Error::reading);
        let (blob, pin) = self.keep(writer.filled(fill)?.0)?;
        if let Some(awaited) = awaited {
            content.ahead().insert(blob.digest.clone(), awaited);
        }
        Ok((blob, pin))
    }
}

impl Content {
    fn ahead(&self) -> MutexGuard<'_, HashMap<Digest, Awaited>> {
        self.ahead.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The layer that a blob became while the archive was read; waits until it has. Only once: two layers may be alike.
    pub(super) fn unpacked_ahead(&self, blob: &Digest) -> Option<Result<Early>> {
        let awaited = self.ahead().remove(blob)?;
        awaited.recv().ok()
    }

    pub(super) fn get(&self, path: &str) -> Option<&Descriptor> {
        let mut path = path;
        // Old `docker save` links equal layers to each other.
        for _ in 0..8 {
            match self.links.get(path) {
                Some(target) => path = target,
                None => break,
            }
        }
        self.files.get(path)
    }

    pub(super) fn need(&self, path: &str) -> Result<&Descriptor> {
        self.get(path).ok_or_else(|| Error::NotInArchive(path.to_owned()))
    }

    /// What dockerd misses where there is neither `manifest.json` nor `index.json`: for it, that is how images were saved
    /// before Docker 1.10, in a folder each and with a list of their names.
    pub(super) fn missing(&self) -> Error {
        let of_images = self.folders.iter().map(|folder| format!("{folder}/json"));
        let mut wanted = of_images.chain(["repositories".to_owned()]);
        match wanted.find(|path| self.get(path).is_none()) {
            Some(path) => Error::NotInArchive(path),
            None => {
                Error::InvalidArchive("images as Docker saved them before 1.10 can't be loaded".to_owned())
            }
        }
    }

    /// A layout's blob: it must be what its name says.
    pub(super) fn blob(&self, digest: &Digest) -> Result<&Digest> {
        let found = &self.need(&format!("{BLOBS}{}", digest.hex()))?.digest;
        if found != digest {
            let (expected, found) = (digest.clone(), found.clone());
            return Err(Error::WrongDigest { subject: "archive", expected, found });
        }
        Ok(found)
    }

    /// Whether an image is for the platform that is asked for, if one is.
    pub(super) fn is_asked_for(&self, config_json: &[u8]) -> Result<bool> {
        let Some(platform) = &self.platform else { return Ok(true) };
        Ok(platform.distance(&ImageConfig::parse(config_json)?.platform()).is_some())
    }

    pub(super) fn json<T: for<'de> Deserialize<'de>>(
        &self,
        store: &Store,
        path: &str,
        subject: &'static str,
    ) -> Result<T> {
        let file = self.need(path)?;
        if file.size > manifest::MANIFEST_LARGEST as u64 {
            return Err(Error::InvalidArchive(format!("{path} is too large")));
        }
        serde_json::from_slice(&store.blobs().read(&file.digest)?)
            .map_err(|source| Error::Json { subject, source })
    }
}

/// A link's target, relative to the folder of the link, as a path in the archive.
fn join(link: &str, target: &str) -> String {
    let mut parts: Vec<&str> = link.split('/').collect();
    parts.pop();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}
