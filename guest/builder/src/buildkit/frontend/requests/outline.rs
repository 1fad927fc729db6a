//! `frontend.outline`: what a target takes (BuildKit's `frontend/subrequests/outline`, 1.0.0).

use std::collections::BTreeMap;

use serde::Serialize;

use super::super::Definition;
use super::{Location, description, table};
use crate::Result;
use crate::dockerfile::{Instruction, MountKind, Place, Stage};
use crate::options::Options;
use crate::solve::Plan;

/// What a target takes.
#[derive(Debug, Serialize)]
pub(super) struct Outline {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    args: Vec<Argument>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    secrets: Vec<Mounted>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ssh: Vec<Mounted>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    cache: Vec<Cached>,
}

#[derive(Debug, Serialize)]
struct Argument {
    name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    value: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    location: Option<Location>,
}

#[derive(Debug, Serialize)]
struct Mounted {
    name: String,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    required: bool,
    location: Location,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Cached {
    #[serde(rename = "ID")]
    id: String,
    location: Location,
}

/// What the target of `options` and the stages that it needs take.
pub(super) fn of(definition: &Definition, options: &Options) -> Result<Outline> {
    let file = &definition.file;
    // It is about the text, whatever contexts there are.
    let plan = Plan::of(file, options, |_, _| false)?;
    let target = &file.stages[plan.target];
    let (name, description) = (target.name.clone(), description(definition, target));
    let mut outline = Outline {
        name,
        description,
        args: Vec::new(),
        secrets: Vec::new(),
        ssh: Vec::new(),
        cache: Vec::new(),
    };
    let given = |name: &str| options.arguments.get(name).cloned().flatten();
    for (name, default) in &file.arguments {
        let value = given(name).or_else(|| default.clone()).unwrap_or_default();
        outline.args.push(Argument { name: name.clone(), value, location: None });
    }
    for stage in plan.needed.iter().map(|stage| &file.stages[*stage]) {
        let known: BTreeMap<&str, String> =
            plan.globals.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
        for (name, default, place) in arguments(stage) {
            let value = given(name).or_else(|| default.cloned()).or_else(|| known.get(name).cloned());
            let (value, location) = (value.unwrap_or_default(), Some(Location::of(place)));
            if !outline.args.iter().any(|known| known.name == *name) {
                outline.args.push(Argument { name: name.to_owned(), value, location });
            }
        }
        outline.mounts(stage);
    }
    Ok(outline)
}

fn arguments(stage: &Stage) -> impl Iterator<Item = (&str, Option<&String>, Place)> {
    stage.steps.iter().flat_map(|step| {
        let list = match &step.instruction {
            Instruction::Arg(list) => list.as_slice(),
            _ => &[],
        };
        list.iter().map(|(name, default)| (name.as_str(), default.as_ref(), step.place))
    })
}

impl Outline {
    fn mounts(&mut self, stage: &Stage) {
        for step in &stage.steps {
            let Instruction::Run(run) = &step.instruction else { continue };
            for mount in &run.mounts {
                let (id, location) = (mount.id.clone(), Location::of(step.place));
                let list = match mount.kind {
                    MountKind::Secret => &mut self.secrets,
                    MountKind::Ssh => &mut self.ssh,
                    MountKind::Cache => {
                        self.cache.push(Cached { id, location });
                        continue;
                    }
                    MountKind::Bind | MountKind::Tmpfs => continue,
                };
                match list.iter_mut().find(|known| known.name == id) {
                    Some(known) => known.required |= mount.required,
                    None => list.push(Mounted { name: id, required: mount.required, location }),
                }
            }
        }
    }

    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        if self.name.is_some() || self.description.is_some() {
            text.push_str(&format!("TARGET: {}\n", self.name.as_deref().unwrap_or("(default)")));
            let about = self.description.as_ref().map(|about| format!("DESCRIPTION: {about}\n"));
            text.push_str(&about.unwrap_or_default());
            text.push('\n');
        }
        if !self.args.is_empty() {
            let rows = self.args.iter().map(|arg| [arg.name.clone(), arg.value.clone(), String::new()]);
            text.push_str(&table(&["BUILD ARG", "VALUE", "DESCRIPTION"], &rows.collect::<Vec<_>>()));
            text.push('\n');
        }
        for (head, list) in [("SECRET", &self.secrets), ("SSH", &self.ssh)] {
            if list.is_empty() {
                continue;
            }
            let required = |mounted: &Mounted| if mounted.required { "true" } else { "" }.to_owned();
            let rows = list.iter().map(|mounted| [mounted.name.clone(), required(mounted)]);
            text.push_str(&table(&[head, "REQUIRED"], &rows.collect::<Vec<_>>()));
            text.push('\n');
        }
        text
    }
}
