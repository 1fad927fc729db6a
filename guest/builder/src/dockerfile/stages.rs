//! The whole Dockerfile: arguments before the first stage, then stages.

use std::collections::BTreeSet;

use super::checks::{self, Setting, Warning};
use super::instruction::{self, Instruction, Step};
use super::lines::{self, Node};
use super::{Directives, Place, SyntaxError};

/// One stage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stage {
    /// Its name, in lower case.
    pub name: Option<String>,
    /// The image or stage it starts from; may hold variables.
    pub base: String,
    /// The platform asked for; may hold variables.
    pub platform: Option<String>,
    /// FROM as written.
    pub text: String,
    /// Where FROM stands.
    pub place: Place,
    /// What follows it.
    pub steps: Vec<Step>,
}

/// A Dockerfile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dockerfile {
    /// Its first lines.
    pub directives: Directives,
    /// Arguments before the first FROM, with their defaults.
    pub arguments: Vec<(String, Option<String>)>,
    /// Its stages, in order.
    pub stages: Vec<Stage>,
    /// What the build checks say.
    pub warnings: Vec<Warning>,
}

impl Dockerfile {
    /// Reads a Dockerfile.
    ///
    /// # Errors
    /// In Docker's words, with the line.
    pub fn parse(text: &str) -> Result<Self, SyntaxError> {
        Self::checked(text, None)
    }

    /// As [`Self::parse`], with settings of the build checks instead of those in the file.
    ///
    /// # Errors
    /// As there.
    pub fn checked(text: &str, check: Option<&str>) -> Result<Self, SyntaxError> {
        let mut lines = lines::split(text)?;
        lines.directives.check = check.map(str::to_owned).or(lines.directives.check);
        if lines.nodes.is_empty() {
            return Err(SyntaxError::new(0, "file with no instructions"));
        }
        let escape = lines.directives.escape;
        let (mut arguments, mut stages) = (Vec::new(), Vec::<Stage>::new());
        for node in &lines.nodes {
            let step = instruction::parse(node, escape)?;
            match (step.instruction, stages.last_mut()) {
                (Instruction::From { base, name, platform }, _) => {
                    let (text, place) = (step.text, step.place);
                    stages.push(Stage { name, base, platform, text, place, steps: Vec::new() });
                }
                (Instruction::Arg(given), None) => arguments.extend(given),
                (_, None) => {
                    return Err(SyntaxError::new(node.place.line, "no build stage in current context"));
                }
                (instruction, Some(stage)) => {
                    stage.steps.push(Step { instruction, text: step.text, place: step.place });
                }
            }
        }
        if stages.is_empty() {
            return Err(SyntaxError::new(0, "no build stage in current context"));
        }
        let mut file = Self { directives: lines.directives, arguments, stages, warnings: Vec::new() };
        file.warnings = checks::all(&file, &lines.nodes, &lines.empty_continuations);
        Ok(file)
    }

    /// What the first lines say of the build checks.
    pub(crate) fn checks(&self) -> Setting {
        Setting::parse(self.directives.check.as_deref().unwrap_or_default())
    }

    /// Why the build checks forbid a build (`# check=error=true`) with these findings; none when they don't.
    pub(crate) fn forbidden(&self, found: &[Warning]) -> Option<String> {
        let rules: BTreeSet<&str> = found.iter().map(|warning| warning.rule).collect();
        let rules: Vec<&str> = rules.into_iter().filter(|_| self.checks().is_strict).collect();
        (!rules.is_empty()).then(|| format!("lint violation found for rules: {}", rules.join(", ")))
    }

    /// The stage of that name or number.
    pub fn stage(&self, wanted: &str) -> Option<usize> {
        let lower = wanted.to_ascii_lowercase();
        let named = self.stages.iter().rposition(|stage| stage.name.as_deref() == Some(lower.as_str()));
        named.or_else(|| wanted.parse().ok().filter(|index| *index < self.stages.len()))
    }
}

/// Reads one instruction by itself: an image's ONBUILD trigger, a `--change`.
///
/// # Errors
/// In Docker's words.
pub(crate) fn single(text: &str) -> Result<Step, SyntaxError> {
    let nodes: Vec<Node> = lines::split(text)?.nodes;
    match nodes.as_slice() {
        [node] => instruction::parse(node, '\\'),
        _ => Err(SyntaxError::new(1, "one instruction is expected")),
    }
}
