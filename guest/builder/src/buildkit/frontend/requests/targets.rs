//! `frontend.targets`: the stages that can be built (BuildKit's `frontend/subrequests/targets`, 1.0.0).

use serde::Serialize;

use super::super::Definition;
use super::{Location, description, table};

/// Every stage.
#[derive(Debug, Serialize)]
pub(super) struct Targets {
    targets: Vec<Target>,
}

#[derive(Debug, Serialize)]
struct Target {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    default: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    base: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    platform: Option<String>,
    location: Location,
}

/// The stages that have a name, and the last.
pub(super) fn of(definition: &Definition) -> Targets {
    let stages = &definition.file.stages;
    let targets = stages.iter().enumerate().map(|(number, stage)| Target {
        name: stage.name.clone(),
        default: number + 1 == stages.len(),
        description: description(definition, stage),
        base: stage.base.clone(),
        platform: stage.platform.clone(),
        location: Location::of(stage.place),
    });
    Targets { targets: targets.filter(|target| target.default || target.name.is_some()).collect() }
}

impl Targets {
    pub(super) fn text(&self) -> String {
        let rows = self.targets.iter().map(|target| {
            let name = match (&target.name, target.default) {
                (None, _) => "(default)".to_owned(),
                (Some(name), true) => format!("{name} (default)"),
                (Some(name), false) => name.clone(),
            };
            [name, target.description.clone().unwrap_or_default()]
        });
        table(&["TARGET", "DESCRIPTION"], &rows.collect::<Vec<_>>())
    }
}
