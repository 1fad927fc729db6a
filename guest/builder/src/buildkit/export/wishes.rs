//! What a client may ask of an exporter (BuildKit, "Exporters"): each option takes effect here or is refused by name.

use std::collections::HashMap;

use berth_images::{Annotations, Compression, Outbound, Packing, Reference};

use super::super::messages::control::Exporter;
use crate::{Error, Result};

/// Options of every exporter that are read where they are needed.
const EVERYWHERE: &[&str] = &["source-date-epoch", "rewrite-timestamp"];
/// Options of those that make images.
const IMAGES: &[&str] = &[
    "name",
    "push",
    "push-by-digest",
    "name-canonical",
    "unpack",
    "store",
    "dangling-name-prefix",
    "registry.insecure",
    "prefer-nondist-layers",
    "oci-mediatypes",
    "compression",
    "compression-level",
    "force-compression",
    "tar",
];
/// Options of those that give files.
const FILES: &[&str] = &["platform-split", "attestation-prefix", "mode"];

/// What is asked of one exporter.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in super::super) struct Wishes {
    /// The names that the image gets, with their tags.
    pub(super) names: Vec<Reference>,
    pub(super) push: bool,
    /// How it leaves.
    pub(super) outbound: Outbound,
}

impl Wishes {
    /// Reads an exporter's options; `platforms` is the number of results.
    pub(in super::super) fn read(exporter: &Exporter, platforms: usize) -> Result<Self> {
        let given = Given { kind: &exporter.kind, attrs: &exporter.attrs };
        match exporter.kind.as_str() {
            "local" | "tar" => given.files(platforms).map(|()| Self::default()),
            _ => given.image(platforms),
        }
    }
}

/// How layers are compressed, by options that exporters of images and of caches share; `by` names who is asked.
pub(in super::super) fn packing(by: &str, attrs: &HashMap<String, String>) -> Result<Packing> {
    let given = Given { kind: by, attrs };
    let compression = match given.text("compression") {
        "" | "gzip" => Compression::Gzip,
        "uncompressed" => Compression::Uncompressed,
        "zstd" => Compression::Zstd,
        other => {
            return Err(given.unsupported(
                "compression",
                &format!("isn't supported as {other:?}: uncompressed, gzip and zstd are"),
            ));
        }
    };
    let level = match given.text("compression-level") {
        "" => None,
        text => {
            let highest = compression.highest_level();
            let level = text.parse::<u32>().ok().filter(|level| *level <= highest);
            let wrong =
                || given.wrong("compression-level", &format!("expected a number from 0 to {highest}"));
            Some(level.ok_or_else(wrong)?)
        }
    };
    Ok(Packing { compression, level, force: given.is("force-compression", false)? })
}

/// An exporter's options.
struct Given<'a> {
    kind: &'a str,
    attrs: &'a HashMap<String, String>,
}

impl Given<'_> {
    fn text(&self, key: &str) -> &str {
        self.attrs.get(key).map(String::as_str).unwrap_or_default()
    }

    fn is(&self, key: &str, usual: bool) -> Result<bool> {
        match self.attrs.get(key).map(String::as_str) {
            None => Ok(usual),
            Some("" | "true" | "1") => Ok(true),
            Some("false" | "0") => Ok(false),
            Some(_) => Err(self.wrong(key, "expected true or false")),
        }
    }

    fn wrong(&self, key: &str, expected: &str) -> Error {
        Error::Invalid(format!("{} {key}={:?}: {expected}", self.kind, self.text(key)))
    }

    fn unsupported(&self, key: &str, why: &str) -> Error {
        Error::Unsupported(format!("{} {key}= {why}", self.kind))
    }

    /// Refuses options that aren't known.
    fn only(&self, known: &[&str]) -> Result<()> {
        let mut keys = self.attrs.keys().map(String::as_str);
        match keys.find(|key| !known.contains(key) && !EVERYWHERE.contains(key)) {
            Some(key) => Err(self.unsupported(key, "isn't known to this exporter")),
            None => Ok(()),
        }
    }

    fn files(&self, platforms: usize) -> Result<()> {
        self.only(FILES)?;
        if !self.is("platform-split", platforms > 1)? && platforms > 1 {
            return Err(
                self.unsupported("platform-split", "can't be false here: each platform gets a folder")
            );
        }
        if !matches!(self.text("mode"), "" | "copy") {
            return Err(self.unsupported("mode", "is copy alone here"));
        }
        match self.text("attestation-prefix") {
            "" => Ok(()),
            _ => Err(self.unsupported("attestation-prefix", "has nothing to do: there are no attestations")),
        }
    }

    fn image(&self, platforms: usize) -> Result<Wishes> {
        let is_archive = matches!(self.kind, "docker" | "oci");
        let (annotations, others): (Vec<_>, Vec<_>) =
            self.attrs.iter().partition(|(key, _)| key.starts_with("annotation"));
        let others = others.into_iter().map(|(key, value)| (key.clone(), value.clone())).collect();
        Given { kind: self.kind, attrs: &others }.only(IMAGES)?;
        for (key, why) in [
            ("dangling-name-prefix", "isn't supported: an image without a name has its id alone"),
            ("registry.insecure", "isn't supported: name the registry in insecure-registries of daemon.json"),
            ("prefer-nondist-layers", "isn't supported: layers are pushed to every registry alike"),
        ] {
            if !matches!(self.text(key), "" | "false" | "0") {
                return Err(self.unsupported(key, why));
            }
        }
        let push = self.is("push", false)?;
        if !is_archive && !self.is("store", true)? {
            return Err(self.unsupported("store", "can't be false: images are pushed from the store"));
        }
        if !is_archive && !self.is("unpack", true)? {
            return Err(self.unsupported("unpack", "can't be false: images are unpacked as they are made"));
        }
        if is_archive && !self.is("tar", true)? {
            return Err(self.unsupported("tar", "can't be false: give dest= a file"));
        }
        let mut outbound = Outbound {
            packing: packing(self.kind, self.attrs)?,
            docker_types: !self.is("oci-mediatypes", true)?,
            by_digest: self.is("push-by-digest", false)?,
            ..Outbound::default()
        };
        for (key, value) in annotations {
            self.annotate(&mut outbound, key, value, platforms)?;
        }
        self.fits(&outbound, push, is_archive)?;
        Ok(Wishes { names: self.names(outbound.by_digest)?, push, outbound })
    }

    /// Refuses what has nothing to act on.
    fn fits(&self, outbound: &Outbound, push: bool, is_archive: bool) -> Result<()> {
        let is_annotated =
            [&outbound.manifest, &outbound.index, &outbound.descriptor].iter().any(|all| !all.is_empty());
        if is_annotated && outbound.docker_types {
            return Err(self.wrong("oci-mediatypes", "annotations need OCI's media types"));
        }
        if is_annotated && !push && !is_archive {
            return Err(Error::Unsupported(format!(
                "{}: annotations aren't kept in the store: give push=true, or export type=oci",
                self.kind
            )));
        }
        if outbound.by_digest && !push {
            return Err(self.unsupported("push-by-digest", "needs push=true"));
        }
        if self.is("name-canonical", false)? && !push {
            return Err(self.unsupported("name-canonical", "needs push=true: before that there is no digest"));
        }
        Ok(())
    }

    /// `annotation.KEY`, `annotation-TYPE.KEY`.
    fn annotate(&self, outbound: &mut Outbound, key: &str, value: &str, platforms: usize) -> Result<()> {
        let Some((kind, name)) = key.split_once('.').filter(|(_, name)| !name.is_empty()) else {
            return Err(self.wrong(key, "expected annotation.KEY=VALUE"));
        };
        let all: &mut Annotations = match kind {
            "annotation" | "annotation-manifest" => &mut outbound.manifest,
            "annotation-index" | "annotation-manifest-descriptor" if platforms < 2 => {
                return Err(self.unsupported(key, "needs several platforms: one image has no index"));
            }
            "annotation-index" => &mut outbound.index,
            "annotation-manifest-descriptor" => &mut outbound.descriptor,
            _ => {
                let why = "isn't supported: annotation, annotation-manifest, annotation-index and \
                           annotation-manifest-descriptor are, for every platform alike";
                return Err(self.unsupported(key, why));
            }
        };
        all.insert(name.to_owned(), value.to_owned());
        Ok(())
    }

    fn names(&self, by_digest: bool) -> Result<Vec<Reference>> {
        let given = self.text("name").split(',').filter(|name| !name.is_empty() && *name != "*");
        let names = given.map(|name| {
            let name = name.parse::<Reference>()?;
            match (by_digest, name.tag()) {
                (true, Some(_)) => Err(self.wrong("name", "can't push a name with a tag by digest")),
                (true, None) => Ok(name),
                (false, _) => Ok(name.or_latest()),
            }
        });
        let names: Vec<Reference> = names.collect::<Result<_>>()?;
        match by_digest && names.is_empty() {
            true => Err(self.unsupported("push-by-digest", "needs name=")),
            false => Ok(names),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(kind: &str, attrs: &[(&str, &str)], platforms: usize) -> Result<Wishes> {
        let attrs = attrs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        Wishes::read(&Exporter { kind: kind.to_owned(), attrs }, platforms)
    }

    #[test]
    fn options_that_can_be_honoured_are_read() {
        let zstd = [("compression", "zstd"), ("compression-level", "19"), ("force-compression", "true")];
        let wishes = read("oci", &zstd, 1).unwrap();
        let packing = Packing { compression: Compression::Zstd, level: Some(19), force: true };
        assert_eq!(wishes.outbound.packing, packing);
        let pushed =
            [("name", "reg:5000/a"), ("push", "true"), ("push-by-digest", "true"), ("annotation.k", "v")];
        let wishes = read("image", &pushed, 1).unwrap();
        assert!(wishes.push && wishes.outbound.by_digest && wishes.names[0].tag().is_none());
        assert_eq!(wishes.outbound.manifest.get("k").map(String::as_str), Some("v"));
        let index = read("oci", &[("annotation-index.a.b", "v")], 2).unwrap();
        assert_eq!(index.outbound.index.get("a.b").map(String::as_str), Some("v"));
        assert!(read("docker", &[("oci-mediatypes", "false")], 1).unwrap().outbound.docker_types);
        assert_eq!(read("moby", &[("name", "a,b:v1"), ("unpack", "true")], 1).unwrap().names.len(), 2);
    }

    #[test]
    fn what_cant_be_honoured_is_refused_by_its_name() {
        for (kind, key, value) in [
            ("oci", "compression", "estargz"),
            ("oci", "compression-level", "10"),
            ("oci", "force-compression", "maybe"),
            ("oci", "tar", "false"),
            ("oci", "annotation-index.k", "v"),
            ("oci", "annotation[linux/amd64].k", "v"),
            ("oci", "elsewhere", "1"),
            ("image", "store", "false"),
            ("image", "unpack", "false"),
            ("image", "push-by-digest", "true"),
            ("image", "name-canonical", "true"),
            ("image", "dangling-name-prefix", "x"),
            ("image", "registry.insecure", "true"),
            ("local", "platform-split", "maybe"),
            ("local", "attestation-prefix", "x"),
            ("local", "compression", "gzip"),
        ] {
            let error = read(kind, &[(key, value)], 1).unwrap_err().to_string();
            assert!(error.contains(key), "{kind} {key}: {error}");
        }
        assert!(read("image", &[("annotation.k", "v")], 1).unwrap_err().to_string().contains("annotations"));
        let tagged = [("name", "a:v1"), ("push", "true"), ("push-by-digest", "true")];
        assert!(read("image", &tagged, 1).unwrap_err().to_string().contains("a:v1"));
    }
}
