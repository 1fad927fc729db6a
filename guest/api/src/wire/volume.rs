//! Volumes on the wire (API 1.51, `Volume`, `VolumeListResponse`).

use std::collections::BTreeMap;

use berth_engine::Engine;
use serde::{Deserialize, Serialize};

use super::query::flag;

/// The queries of volumes together.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct ListQuery {
    pub(crate) filters: Option<String>,
    #[serde(deserialize_with = "flag")]
    pub(crate) force: bool,
}

/// `POST /volumes/create`'s body.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct CreateRequest {
    pub(crate) name: Option<String>,
    pub(crate) driver: Option<String>,
    pub(crate) driver_opts: Option<BTreeMap<String, String>>,
    pub(crate) labels: Option<BTreeMap<String, String>>,
}

/// `GET /volumes`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct List {
    pub(crate) volumes: Vec<Volume>,
    pub(crate) warnings: Option<Vec<String>>,
}

/// `POST /volumes/prune`'s answer.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Pruned {
    pub(crate) volumes_deleted: Vec<String>,
    pub(crate) space_reclaimed: u64,
}

/// One volume.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Volume {
    created_at: String,
    driver: &'static str,
    labels: Option<BTreeMap<String, String>>,
    mountpoint: String,
    name: String,
    options: Option<BTreeMap<String, String>>,
    scope: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    usage_data: Option<UsageData>,
}

/// How much a volume takes, and how many containers use it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct UsageData {
    ref_count: usize,
    size: u64,
}

impl Volume {
    /// A volume of `engine`.
    pub(crate) fn new(engine: &Engine, volume: berth_engine::volumes::Volume) -> Self {
        let given = |map: BTreeMap<String, String>| Some(map).filter(|map| !map.is_empty());
        Self {
            mountpoint: engine.volume_data(&volume).to_string_lossy().into_owned(),
            created_at: volume.created.to_string(),
            driver: "local",
            labels: given(volume.labels),
            name: volume.name,
            options: given(volume.options),
            scope: "local",
            usage_data: None,
        }
    }

    /// A volume with how much it takes.
    pub(crate) fn with_usage(engine: &Engine, usage: berth_engine::VolumeUsage) -> Self {
        let usage_data = Some(UsageData { ref_count: usage.users, size: usage.size });
        Self { usage_data, ..Self::new(engine, usage.volume) }
    }
}
