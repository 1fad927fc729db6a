//! What a client may ask of an exporter (BuildKit, "Exporters"): each option takes effect here or is refused by name.

use std::collections::HashMap;

use berth_images::{Annotation, AnnotationPlace, Compression, Outbound, Packing, Platform, Reference};

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
    /// Where an image without a name gets one by its digest.
    pub(super) dangling: Option<Reference>,
    pub(super) push: bool,
    /// Whether the image is in the store no longer than the build takes.
    pub(super) passing: bool,
    /// Whether an archive goes to a folder of the client's instead.
    pub(super) as_folder: bool,
    /// How it leaves.
    pub(super) outbound: Outbound,
}

impl Wishes {
    /// Reads an exporter's options; `platforms` is the number of results.
    pub(in super::super) fn read(exporter: &Exporter, platforms: usize) -> Result<Self> {
        let given = Given { kind: &exporter.kind, attrs: &exporter.attrs };
        match exporter.kind.as_str() {
            "local" | "tar" => given.files(platforms).map(|()| Self::default()),
            "moby" | "image" | "docker" | "oci" => given.image(platforms),
            other => Err(unknown(other)),
        }
    }
}

/// There is no such exporter.
pub(in super::super) fn unknown(kind: &str) -> Error {
    Error::Invalid(format!("exporter {kind:?} could not be found"))
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
            ("registry.insecure", "isn't supported: name the registry in insecure-registries of daemon.json"),
            ("prefer-nondist-layers", "isn't supported: layers are pushed to every registry alike"),
        ] {
            if !matches!(self.text(key), "" | "false" | "0") {
                return Err(self.unsupported(key, why));
            }
        }
        let push = self.is("push", false)?;
        // Images are unpacked as they are made, asked for or not.
        self.is("unpack", true)?;
        let mut outbound = Outbound {
            packing: packing(self.kind, self.attrs)?,
            docker_types: !self.is("oci-mediatypes", true)?,
            by_digest: self.is("push-by-digest", false)?,
            ..Outbound::default()
        };
        for (key, value) in annotations {
            outbound.annotations.push(self.annotation(key, value, platforms)?);
        }
        // In no order that a map has.
        outbound.annotations.sort_by(|a, b| a.key.cmp(&b.key));
        self.fits(&outbound, push, is_archive)?;
        let dangling = match self.text("dangling-name-prefix") {
            "" => None,
            _ if is_archive => {
                return Err(self.unsupported("dangling-name-prefix", "isn't for archives: give name="));
            }
            prefix => Some(prefix.parse()?),
        };
        let as_folder = is_archive && !self.is("tar", true)?;
        let passing = !is_archive && !self.is("store", true)?;
        Ok(Wishes { names: self.names(outbound.by_digest)?, dangling, push, passing, as_folder, outbound })
    }

    /// Refuses what has nothing to act on.
    fn fits(&self, outbound: &Outbound, push: bool, is_archive: bool) -> Result<()> {
        let is_annotated = !outbound.annotations.is_empty();
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

    /// `annotation-TYPE[PLATFORM].KEY`, type and platform where they are given.
    fn annotation(&self, key: &str, value: &str, platforms: usize) -> Result<Annotation> {
        let Some((kind, name)) = key.split_once('.').filter(|(_, name)| !name.is_empty()) else {
            return Err(self.wrong(key, "expected annotation.KEY=VALUE"));
        };
        let (kind, platform) = match kind.strip_suffix(']').and_then(|kind| kind.split_once('[')) {
            Some((kind, platform)) => (kind, Some(platform.parse::<Platform>()?)),
            None => (kind, None),
        };
        let place = match kind {
            "annotation" | "annotation-manifest" => AnnotationPlace::Manifest,
            "annotation-manifest-descriptor" => AnnotationPlace::ManifestDescriptor,
            "annotation-index" => AnnotationPlace::Index,
            "annotation-index-descriptor" => AnnotationPlace::IndexDescriptor,
            _ => {
                let why = "isn't supported: annotation, annotation-manifest, annotation-manifest-descriptor, \
                           annotation-index and annotation-index-descriptor are";
                return Err(self.unsupported(key, why));
            }
        };
        let is_of_index = matches!(place, AnnotationPlace::Index | AnnotationPlace::IndexDescriptor);
        if is_of_index && platform.is_some() {
            return Err(self.wrong(key, "an index is for every platform"));
        }
        if is_of_index && platforms < 2 {
            return Err(self.unsupported(key, "needs several platforms: one image has no index"));
        }
        // A registry names a single manifest by its tag alone, an archive in its list.
        let is_listed = platforms > 1 || matches!(self.kind, "docker" | "oci");
        if place == AnnotationPlace::ManifestDescriptor && !is_listed {
            return Err(self.unsupported(key, "needs several platforms: nothing lists one pushed image"));
        }
        if place == AnnotationPlace::IndexDescriptor && !matches!(self.kind, "docker" | "oci") {
            return Err(self.unsupported(key, "needs an archive: nothing lists a pushed index"));
        }
        Ok(Annotation { place, platform, key: name.to_owned(), value: value.to_owned() })
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

    fn said(wishes: &Wishes) -> Vec<(AnnotationPlace, &str)> {
        wishes.outbound.annotations.iter().map(|one| (one.place, one.key.as_str())).collect()
    }

    #[test]
    fn an_unknown_exporter_is_refused_before_anything_is_built() {
        let refused = read("rpm", &[], 1).unwrap_err().to_string();
        assert!(refused.contains("exporter \"rpm\" could not be found"), "{refused}");
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
        assert_eq!(said(&wishes), [(AnnotationPlace::Manifest, "k")]);
        let index = [("annotation-index.a.b", "v"), ("annotation-manifest-descriptor[linux/arm64].c", "v")];
        let wishes = read("oci", &index, 2).unwrap();
        assert_eq!(
            said(&wishes),
            [(AnnotationPlace::Index, "a.b"), (AnnotationPlace::ManifestDescriptor, "c")]
        );
        assert_eq!(wishes.outbound.annotations[1].platform, Some("linux/arm64".parse().unwrap()));
        let folder = read("oci", &[("tar", "false")], 1).unwrap();
        let passing = read("image", &[("store", "false"), ("unpack", "false")], 1).unwrap();
        assert!(folder.as_folder && passing.passing);
        let dangling = read("image", &[("dangling-name-prefix", "reg/none")], 1).unwrap().dangling;
        assert_eq!(dangling.map(|name| name.name()), Some("docker.io/reg/none".to_owned()));
        assert!(read("docker", &[("oci-mediatypes", "false")], 1).unwrap().outbound.docker_types);
        assert_eq!(read("moby", &[("name", "a,b:v1"), ("unpack", "true")], 1).unwrap().names.len(), 2);
    }

    #[test]
    fn what_cant_be_honoured_is_refused_by_its_name() {
        for (kind, key, value) in [
            ("oci", "compression", "estargz"),
            ("oci", "compression-level", "10"),
            ("oci", "force-compression", "maybe"),
            ("oci", "tar", "maybe"),
            ("oci", "annotation-index.k", "v"),
            ("oci", "annotation-index[linux/amd64].k", "v"),
            ("oci", "annotation-elsewhere.k", "v"),
            ("image", "annotation-manifest-descriptor.k", "v"),
            ("oci", "elsewhere", "1"),
            ("image", "store", "maybe"),
            ("image", "unpack", "maybe"),
            ("image", "push-by-digest", "true"),
            ("image", "name-canonical", "true"),
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
