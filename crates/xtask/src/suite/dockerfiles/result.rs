//! What a build made: the image's configuration and history, and every file.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;

use anyhow::Context;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

/// Facts by what they are of: a field of the configuration, a step of the history, a file.
pub(super) struct Image(BTreeMap<String, String>);

/// What an engine puts into a container and not into its image.
const CONTAINERS: [&str; 5] = [".dockerenv", "etc/hosts", "etc/hostname", "etc/resolv.conf", "etc/mtab"];
/// Fields of an image's own that are worth a look; the others differ by engine and time.
const FIELDS: [&str; 4] = ["Author", "Os", "Architecture", "Variant"];
/// Fields of a configuration that say which container it was taken from.
const UNLIKE: [&str; 4] = ["Image", "Hostname", "Domainname", "ArgsEscaped"];
/// More differences than these say no more.
const MOST: usize = 20;

impl Image {
    /// From what `docker inspect`, `docker history` and `docker export` print.
    pub(super) fn of(about: &[u8], history: &[u8], files: &[u8]) -> anyhow::Result<Self> {
        let about: Value = serde_json::from_slice(about)?;
        let about = about.get(0).context("no image is told of")?;
        let mut facts = BTreeMap::new();
        let object = |value: Option<&Value>| value.and_then(Value::as_object).cloned().unwrap_or_default();
        let mut told: Map<String, Value> = object(about.get("Config"));
        told.retain(|name, _| !UNLIKE.contains(&name.as_str()));
        told.extend(object(Some(about)).into_iter().filter(|(name, _)| FIELDS.contains(&name.as_str())));
        for (name, value) in told.iter().filter(|(_, value)| says_something(value)) {
            facts.insert(format!("config {name}"), value.to_string());
        }
        let layers = about.pointer("/RootFS/Layers").and_then(Value::as_array).map_or(0, Vec::len);
        facts.insert("layers".to_owned(), layers.to_string());
        for (number, step) in String::from_utf8_lossy(history).lines().rev().enumerate() {
            facts.insert(format!("history {number:02}"), comparable(step));
        }
        let mut archive = tar::Archive::new(files);
        for entry in archive.entries()? {
            let mut entry = entry?;
            let path = entry.path()?.to_string_lossy().trim_matches('/').to_owned();
            let is_own = ["dev", "proc", "sys"].iter().any(|top| path.split('/').next() == Some(top));
            let is_volume =
                about.pointer("/Config/Volumes").is_some_and(|all| all.get(format!("/{path}")).is_some());
            if is_own || is_volume || CONTAINERS.contains(&path.as_str()) {
                continue;
            }
            let fact = file(&mut entry)?;
            facts.insert(format!("file {path}"), fact);
        }
        // An image needn't have the folder of the files that its containers are given.
        if !facts.keys().any(|name| name.starts_with("file etc/")) {
            facts.remove("file etc");
        }
        Ok(Self(facts))
    }

    /// What differs in another, a line for each.
    pub(super) fn differences(&self, other: &Self) -> Vec<String> {
        let names: BTreeSet<&String> = self.0.keys().chain(other.0.keys()).collect();
        let of = |facts: &BTreeMap<String, String>, name| {
            facts.get(name).cloned().unwrap_or_else(|| "nothing".to_owned())
        };
        let differ = names.into_iter().filter(|name| self.0.get(*name) != other.0.get(*name));
        let mut lines: Vec<String> = differ
            .map(|name| format!("{name}: ours {}, theirs {}", of(&self.0, name), of(&other.0, name)))
            .collect();
        if lines.len() > MOST {
            let more = lines.len() - MOST;
            lines.truncate(MOST);
            lines.push(format!("and {more} more"));
        }
        lines
    }
}

/// Everything about a file but its times.
fn file(entry: &mut tar::Entry<'_, impl std::io::Read>) -> anyhow::Result<String> {
    let mut attributes = BTreeMap::new();
    if let Some(extensions) = entry.pax_extensions()? {
        for extension in extensions {
            let extension = extension?;
            if let Some(name) = extension.key()?.strip_prefix("SCHILY.xattr.") {
                attributes.insert(name.to_owned(), extension.value_bytes().to_vec());
            }
        }
    }
    let mut hash = Sha256::new();
    let mut bytes = Vec::new();
    entry.read_to_end(&mut bytes)?;
    hash.update(&bytes);
    let header = entry.header();
    let digest = hash.finalize().iter().take(8).fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
    let link =
        header.link_name()?.map(|link| format!(" to {}", link.to_string_lossy().trim_start_matches("./")));
    Ok(format!(
        "{:?} {:o} {}:{} {} bytes {digest}{} {attributes:?}",
        header.entry_type(),
        header.mode()? & 0o7777,
        header.uid()?,
        header.gid()?,
        bytes.len(),
        link.unwrap_or_default(),
    ))
}

/// Engines differ in whether they name what is empty.
fn says_something(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => false,
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
        _ => true,
    }
}

/// A step without what tells engines apart: the digest of a classic COPY's content, which each computes in its own way.
fn comparable(step: &str) -> String {
    let words = step.split(' ').map(|word| match word.split_once(':') {
        Some((kind @ ("file" | "dir" | "multi"), digest)) if digest.len() == 64 => format!("{kind}:…"),
        _ => word.to_owned(),
    });
    words.collect::<Vec<_>>().join(" ")
}
