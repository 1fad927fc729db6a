//! Images on the wire (API 1.51, `ImageSummary`, `ImageInspect`).

use std::collections::BTreeMap;

use berth_engine::images::{HistoryItem as Step, Image, Removed};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::container::NEVER;
use super::query::flag;
use crate::error::Failure;

/// `GET /images/json`'s query.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub(crate) struct ListQuery {
    #[serde(deserialize_with = "flag")]
    pub(crate) all: bool,
    /// Whether to tell what each image shares, since 1.42.
    #[serde(deserialize_with = "flag")]
    pub(crate) shared_size: bool,
    pub(crate) filters: Option<String>,
    /// A reference, until 1.41.
    pub(crate) filter: String,
}

/// `POST /images/create`'s query.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct CreateQuery {
    pub(crate) from_image: String,
    pub(crate) from_src: String,
    pub(crate) repo: String,
    pub(crate) message: String,
    pub(crate) tag: String,
    pub(crate) platform: String,
}

/// `POST /images/load`'s query.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct LoadQuery {
    #[serde(deserialize_with = "flag")]
    pub(crate) quiet: bool,
}

/// `GET /images/get?names=a&names=b`.
#[derive(Debug, Default)]
pub(crate) struct SaveQuery {
    pub(crate) names: Vec<String>,
    pub(crate) platforms: Vec<String>,
}

impl SaveQuery {
    /// Every `names`, which a map can't hold.
    pub(crate) fn parse(query: &str) -> Self {
        let all = |wanted: &str| {
            let pairs = form_urlencoded::parse(query.as_bytes());
            pairs.filter(|(key, _)| key == wanted).map(|(_, value)| value.into_owned()).collect()
        };
        Self { names: all("names"), platforms: all("platform") }
    }
}

/// `GET /images/search`'s query.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct SearchQuery {
    pub(crate) term: String,
    pub(crate) limit: Option<String>,
    pub(crate) filters: Option<String>,
}

/// `POST /images/{name}/tag|push`'s query.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct TagQuery {
    pub(crate) repo: String,
    pub(crate) tag: String,
    pub(crate) platform: Option<String>,
}

/// The query of what is asked about an image.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct AboutQuery {
    pub(crate) platform: Option<String>,
}

/// `platform` of a query, which is an object of JSON, as `os/architecture/variant`.
pub(crate) fn platform(query: Option<&str>) -> Result<Option<String>, Failure> {
    #[derive(Deserialize, Default)]
    #[serde(default)]
    struct Platform {
        os: String,
        architecture: String,
        variant: String,
    }
    let Some(text) = query.filter(|text| !text.is_empty()) else { return Ok(None) };
    let platform: Platform = serde_json::from_str(text)
        .map_err(|error| Failure::bad_request(format!("failed to parse platform: {error}")))?;
    let Platform { os, architecture, variant } = platform;
    if os.is_empty() || architecture.is_empty() {
        return Err(Failure::bad_request("both OS and Architecture must be provided"));
    }
    let parts = [os, architecture, variant];
    Ok(Some(parts.join("/").trim_end_matches('/').to_owned()))
}

/// `DELETE /images/{name}`'s query.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct RemoveQuery {
    #[serde(deserialize_with = "flag")]
    pub(crate) force: bool,
    #[serde(deserialize_with = "flag")]
    pub(crate) noprune: bool,
}

/// One line of `docker images`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Summary {
    id: String,
    parent_id: String,
    repo_tags: Vec<String>,
    repo_digests: Vec<String>,
    created: i64,
    size: u64,
    /// -1 when nobody asked.
    shared_size: i64,
    labels: Option<BTreeMap<String, String>>,
    containers: i64,
    /// Until 1.44: the size.
    #[serde(skip_serializing_if = "Option::is_none")]
    virtual_size: Option<u64>,
}

impl Summary {
    /// Tells nothing of containers.
    pub(crate) fn hide_containers(&mut self) {
        self.containers = -1;
    }

    /// An image without names has one that says so.
    pub(crate) fn name_nameless(&mut self) {
        if self.repo_tags.is_empty() && self.repo_digests.is_empty() {
            self.repo_tags.push("<none>:<none>".to_owned());
            self.repo_digests.push("<none>@<none>".to_owned());
        }
    }

    /// Tells the size as `VirtualSize`, too.
    pub(crate) fn repeat_size(&mut self) {
        self.virtual_size = Some(self.size);
    }

    /// The summary of an image that `containers` use.
    pub(crate) fn new(image: &Image, containers: i64) -> Self {
        let labels = berth_engine::images::labels(image);
        Self {
            id: image.id.to_string(),
            parent_id: image.parent.as_ref().map(ToString::to_string).unwrap_or_default(),
            repo_tags: names(&image.names),
            repo_digests: names(&image.digests),
            created: berth_engine::images::created(image).map_or(0, |moment| moment.as_second()),
            size: image.size(),
            shared_size: -1,
            labels: Some(labels).filter(|labels| !labels.is_empty()),
            containers,
            virtual_size: None,
        }
    }

    /// Tells how many bytes of it others have, too.
    pub(crate) fn tell_shared(&mut self, bytes: u64) {
        self.shared_size = i64::try_from(bytes).unwrap_or(i64::MAX);
    }

    /// The summary of an image with what it shares with others.
    pub(crate) fn with_usage(usage: &berth_engine::ImageUsage) -> Self {
        let mut summary = Self::new(&usage.image, usage.containers);
        summary.tell_shared(usage.shared);
        summary
    }
}

fn names(references: &[berth_engine::images::Reference]) -> Vec<String> {
    references.iter().map(ToString::to_string).collect()
}

/// `GET /images/{name}/json`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Inspect {
    id: String,
    repo_tags: Vec<String>,
    repo_digests: Vec<String>,
    parent: String,
    comment: String,
    created: String,
    docker_version: String,
    author: String,
    config: Value,
    architecture: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    variant: String,
    os: String,
    size: u64,
    /// Until 1.44: the size.
    #[serde(skip_serializing_if = "Option::is_none")]
    virtual_size: Option<u64>,
    graph_driver: Value,
    #[serde(rename = "RootFS")]
    root_fs: Value,
    metadata: Value,
}

/// An image's configuration with the keys that Docker always sends; an image may leave out what says nothing.
fn with_usual_keys(config: Option<&Value>) -> Value {
    let mut usual = json!({
        "Cmd": null, "Entrypoint": null, "Env": null, "Labels": null, "OnBuild": null, "User": "", "Volumes": null,
        "WorkingDir": "",
    });
    if let (Value::Object(usual), Some(Value::Object(config))) = (&mut usual, config) {
        usual.extend(config.clone());
    }
    usual
}

impl Inspect {
    /// Tells the size as `VirtualSize`, too.
    pub(crate) fn repeat_size(&mut self) {
        self.virtual_size = Some(self.size);
    }

    /// The details of an image. Its configuration is passed on as it lies in the image, unknown fields too.
    pub(crate) fn new(image: &Image) -> Self {
        let raw: Value = serde_json::from_slice(&image.config_json).unwrap_or_default();
        let text = |key: &str| raw.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        let layers: Vec<String> = image.layers.iter().map(|layer| layer.diff_id.to_string()).collect();
        let tagged = i64::try_from(image.tagged_at).ok().filter(|&at| at > 0);
        let tagged = tagged.and_then(|at| jiff::Timestamp::from_second(at).ok());
        Self {
            id: image.id.to_string(),
            repo_tags: names(&image.names),
            repo_digests: names(&image.digests),
            parent: image.parent.as_ref().map(ToString::to_string).unwrap_or_default(),
            comment: text("comment"),
            created: text("created"),
            docker_version: text("docker_version"),
            author: text("author"),
            config: with_usual_keys(raw.get("config")),
            architecture: text("architecture"),
            variant: text("variant"),
            os: text("os"),
            size: image.size(),
            virtual_size: None,
            graph_driver: json!({ "Data": null, "Name": "overlay2" }),
            root_fs: json!({ "Type": "layers", "Layers": layers }),
            metadata: json!({
                "LastTagTime": tagged.map_or_else(|| NEVER.to_owned(), |at| at.to_string()),
            }),
        }
    }
}

/// One step of an image's making.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct HistoryItem {
    comment: String,
    created: i64,
    created_by: String,
    id: String,
    size: u64,
    tags: Option<Vec<String>>,
}

impl From<Step> for HistoryItem {
    fn from(step: Step) -> Self {
        let created = step.created.and_then(|text| text.parse::<jiff::Timestamp>().ok());
        Self {
            comment: step.comment,
            created: created.map_or(0, |moment| moment.as_second()),
            created_by: step.created_by,
            id: step.id.map_or_else(|| "<missing>".to_owned(), |id| id.to_string()),
            size: step.size,
            tags: Some(names(&step.names)).filter(|names| !names.is_empty()),
        }
    }
}

/// One line of what a removal did.
#[derive(Debug, Serialize)]
pub(crate) enum Deleted {
    /// A name.
    Untagged(String),
    /// An image or a layer.
    Deleted(String),
}

impl From<Removed> for Deleted {
    fn from(removed: Removed) -> Self {
        match removed {
            Removed::Untagged(name) => Self::Untagged(name.to_string()),
            Removed::Deleted(digest) | Removed::Layer(digest) => Self::Deleted(digest.to_string()),
        }
    }
}
