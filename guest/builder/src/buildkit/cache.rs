//! `--cache-from` and `--cache-to`: which caches elsewhere a request names, and saving to them.

use std::collections::HashMap;
use std::sync::Arc;

use berth_images::{Digest, Packing, Reference};
use serde_json::json;

use super::BuildKit;
use super::content::ClientFolder;
use super::export::wishes::packing;
use super::frontend::session_of;
use super::jobs::{Built, Job};
use super::messages::control::{CacheOptions, Exporter};
use super::progress::words;
use super::sync;
use crate::depot::{self, Depot, Form, Registry};
use crate::solve::Import;
use crate::{Error, Result};

/// Where a cache lies.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    Registry(Reference),
    /// A folder of the client's, by the name that its session knows, and the manifest there.
    Folder(String, Option<Digest>),
}

/// A cache that is to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Export {
    place: Place,
    form: Form,
    /// The steps of every stage, or only those of the result (`mode=max`, `mode=min`).
    all: bool,
    packing: Packing,
    ignore_error: bool,
}

/// Every cache that is to be written elsewhere than in the image, checked before anything is built.
pub(super) fn exports(options: Option<&CacheOptions>) -> Result<Vec<Export>> {
    let asked = options.map(|options| options.exports.as_slice()).unwrap_or_default();
    asked.iter().filter(|export| export.kind != "inline").map(Export::read).collect()
}

impl Export {
    fn read(given: &Exporter) -> Result<Self> {
        let text = |key: &str| given.attrs.get(key).map(String::as_str).unwrap_or_default();
        let is = |key: &str, usual: bool| match text(key) {
            "" => Ok(usual),
            "true" | "1" => Ok(true),
            "false" | "0" => Ok(false),
            other => Err(Error::Invalid(format!("--cache-to {key}={other:?}: expected true or false"))),
        };
        let place = match given.kind.as_str() {
            "registry" => Place::Registry(reference("--cache-to", text("ref"))?),
            "local" if text("dest").is_empty() => {
                return Err(Error::Invalid("--cache-to type=local needs dest=".to_owned()));
            }
            "local" => Place::Folder(format!("local:{}", text("dest")), None),
            kind => return Err(unsupported("--cache-to", kind)),
        };
        let known = [
            "ref",
            "dest",
            "mode",
            "oci-mediatypes",
            "image-manifest",
            "ignore-error",
            "tag",
            "compression",
            "compression-level",
            "force-compression",
        ];
        if let Some(key) = given.attrs.keys().find(|key| !known.contains(&key.as_str())) {
            let message = format!("--cache-to {key}= isn't supported by this engine");
            return Err(Error::Unsupported(message));
        }
        let all = match text("mode") {
            "" | "min" => false,
            "max" => true,
            other => {
                return Err(Error::Invalid(format!("invalid cache mode {other:?}: expected min or max")));
            }
        };
        let is_oci = is("oci-mediatypes", true)?;
        let form = match is("image-manifest", is_oci)? {
            true if is_oci => Form::Image,
            true => {
                let message = "image-manifest=true needs oci-mediatypes=true";
                return Err(Error::Invalid(message.to_owned()));
            }
            false if is_oci => Form::Index,
            false => Form::DockerIndex,
        };
        let packing = packing("--cache-to", &given.attrs)?;
        Ok(Self { place, form, all, packing, ignore_error: is("ignore-error", false)? })
    }
}

fn reference(flag: &str, text: &str) -> Result<Reference> {
    if text.is_empty() {
        return Err(Error::Invalid(format!("{flag} type=registry needs ref=")));
    }
    Ok(text.parse::<Reference>()?.or_latest())
}

fn unsupported(flag: &str, kind: &str) -> Error {
    Error::Unsupported(format!(
        "{flag} type={kind} isn't supported by this engine: inline, registry and local are"
    ))
}

/// Every cache that a request names; one that can't be a cache is an error.
pub(super) async fn imports(
    kit: &Arc<BuildKit>,
    job: &Arc<Job>,
    options: Option<CacheOptions>,
) -> Result<Vec<Import>> {
    let mut imports = Vec::new();
    for given in options.unwrap_or_default().imports {
        let text = |key: &str| given.attrs.get(key).map(String::as_str).unwrap_or_default();
        let (place, image) = match given.kind.as_str() {
            "registry" => {
                let reference = reference("--cache-from", text("ref"))?;
                (Place::Registry(reference.clone()), Some(reference.to_string()))
            }
            "local" => {
                let digest = text("digest").parse().map_err(|_| {
                    Error::Invalid(format!("--cache-from type=local: there is no cache in {}", text("src")))
                })?;
                (Place::Folder(format!("local:{}", text("src")), Some(digest)), None)
            }
            kind => return Err(unsupported("--cache-from", kind)),
        };
        imports.push(Import { depot: open(kit, job, &place, false).await?, image });
    }
    Ok(imports)
}

async fn open(kit: &Arc<BuildKit>, job: &Arc<Job>, place: &Place, to_write: bool) -> Result<Arc<dyn Depot>> {
    let session = session_of(kit, job).await?;
    Ok(match place {
        Place::Registry(reference) => {
            let credentials = sync::credentials(&session, reference.domain()).await;
            let client = kit.builder.registries.clone();
            Arc::new(Registry::new(client, reference.clone(), credentials, to_write))
        }
        Place::Folder(id, digest) => Arc::new(ClientFolder::new(session, id, id.clone(), digest.clone())?),
    })
}

/// Writes a build's steps to every place that was asked for; what the client is told of it.
pub(super) async fn export(
    kit: &Arc<BuildKit>,
    job: &Arc<Job>,
    exports: &[Export],
    built: &Built,
) -> Result<HashMap<String, String>> {
    let mut response = HashMap::new();
    for export in exports {
        let what = match export.place {
            Place::Registry(_) => "exporting cache to registry",
            Place::Folder(..) => "exporting cache to client directory",
        };
        let work = job.progress.start(what);
        let steps = if export.all { &built.all } else { &built.own };
        let saved = async {
            let depot = open(kit, job, &export.place, true).await?;
            let told = |blob: &berth_images::Blob| {
                work.transfer(&format!("writing {}", blob.digest), blob.size, blob.size, true);
            };
            let saving = depot::save(&depot, &kit.builder.store, steps, export.form, export.packing, &told);
            tokio::select! {
                saved = saving => saved,
                () = job.cancel.cancelled() => Err(Error::Cancelled),
            }
        };
        let saved = saved.await;
        work.end(saved.as_ref().err().map(words).as_deref());
        match saved {
            Ok(blob) => {
                let manifest =
                    json!({ "mediaType": blob.media_type, "digest": blob.digest, "size": blob.size });
                response.insert("cache.manifest".to_owned(), manifest.to_string());
            }
            Err(error) if export.ignore_error && !matches!(error, Error::Cancelled) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(kind: &str, attrs: &[(&str, &str)]) -> Result<Export> {
        let attrs = attrs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        Export::read(&Exporter { kind: kind.to_owned(), attrs })
    }

    #[test]
    fn what_a_cache_is_asked_for_takes_effect_or_is_refused() {
        let export = read("registry", &[("ref", "reg:5000/a"), ("mode", "max")]).unwrap();
        assert_eq!((export.all, export.form), (true, Form::Image));
        let older = [("dest", "x"), ("oci-mediatypes", "false"), ("ignore-error", "true")];
        let export = read("local", &older).unwrap();
        assert_eq!((export.all, export.form, export.ignore_error), (false, Form::DockerIndex, true));
        for (kind, attrs, said) in [
            ("gha", [("mode", "max")], "type=gha"),
            ("registry", [("mode", "max")], "needs ref="),
            ("local", [("compression", "zstd")], "needs dest="),
        ] {
            let error = read(kind, &attrs).unwrap_err().to_string();
            assert!(error.contains(said), "{error}");
        }
        let zstd = read("local", &[("dest", "x"), ("compression", "zstd")]).unwrap();
        assert_eq!(zstd.packing.compression, berth_images::Compression::Zstd);
        for (key, value) in [("compression", "estargz"), ("registry.insecure", "true"), ("elsewhere", "1")] {
            let error = read("local", &[("dest", "x"), (key, value)]).unwrap_err().to_string();
            assert!(error.contains(key), "{error}");
        }
    }
}
