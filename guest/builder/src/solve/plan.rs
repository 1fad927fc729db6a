//! Which stages a target needs, and in what order.

use std::collections::BTreeSet;

use berth_images::Platform;

use crate::dockerfile::{Dockerfile, Instruction, Lexer, Purpose, Step, Variables};
use crate::options::Options;
use crate::{Error, Result, arguments_for};

/// What a stage starts from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Base {
    /// Nothing.
    Scratch,
    /// An earlier stage.
    Stage(usize),
    /// An image.
    Image(String),
    /// A context that stands in place of the whole stage, by the stage's name.
    Context(String),
}

impl Base {
    /// The base as progress shows it.
    pub(crate) fn shown(&self, file: &Dockerfile) -> String {
        match self {
            Self::Scratch => "scratch".to_owned(),
            Self::Stage(stage) => {
                file.stages[*stage].name.clone().unwrap_or_else(|| format!("stage-{stage}"))
            }
            Self::Image(name) => match name.parse::<berth_images::Reference>() {
                Ok(reference) => reference.or_latest().canonical(),
                Err(_) => name.clone(),
            },
            Self::Context(name) => name.clone(),
        }
    }
}

/// A build before anything is built.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    /// The stage that was asked for.
    pub(crate) target: usize,
    /// Each stage's base.
    pub(crate) bases: Vec<Base>,
    /// Each stage's platform; none is the build's.
    pub(crate) platforms: Vec<Option<Platform>>,
    /// The target and what it needs.
    pub(crate) needed: BTreeSet<usize>,
    /// Arguments before the first stage, and those of the platforms.
    pub(crate) globals: Vec<(String, String)>,
    /// Names of the first kind alone.
    pub(crate) declared: BTreeSet<String>,
}

impl Plan {
    /// Plans a build by a client that has contexts of some names.
    pub(crate) fn of(
        file: &Dockerfile,
        options: &Options,
        has_context: impl Fn(&str, Option<&Platform>) -> bool,
    ) -> Result<Self> {
        let target = match options.target.as_deref().filter(|target| !target.is_empty()) {
            Some(name) => file.stage(name).ok_or_else(|| Error::NoTarget(name.to_owned()))?,
            None => file.stages.len() - 1,
        };
        let build = Platform::local();
        let mut globals = arguments_for(&build, options.platform.as_ref().unwrap_or(&build));
        globals.push((
            "TARGETSTAGE".to_owned(),
            file.stages[target].name.clone().unwrap_or_else(|| "default".to_owned()),
        ));
        let lexer = Lexer { escape: file.directives.escape, purpose: Purpose::Words };
        let mut declared = BTreeSet::new();
        for (name, default) in &file.arguments {
            declared.insert(name.clone());
            let given = options.arguments.get(name).cloned().flatten();
            let value = match (given, default) {
                (Some(given), _) => Some(given),
                (None, Some(default)) => Some(expand(lexer, default, &globals)?),
                (None, None) => None,
            };
            if let Some(value) = value {
                globals.push((name.clone(), value));
            }
        }
        let mut plan = Self {
            target,
            bases: Vec::new(),
            platforms: Vec::new(),
            needed: BTreeSet::new(),
            globals,
            declared,
        };
        for (number, stage) in file.stages.iter().enumerate() {
            let base = expand(lexer, &stage.base, &plan.globals)?;
            let base = plan.base(file, number, &base)?;
            let platform =
                stage.platform.as_ref().map(|text| expand(lexer, text, &plan.globals)).transpose()?;
            let platform = platform.filter(|text| !text.is_empty());
            let platform = platform.map(|text| text.parse()).transpose()?;
            let replaces = |name: &String| has_context(name, platform.as_ref().or(options.platform.as_ref()));
            plan.bases.push(stage.name.clone().filter(replaces).map_or(base, Base::Context));
            plan.platforms.push(platform);
        }
        plan.need(file, target);
        Ok(plan)
    }

    fn base(&self, file: &Dockerfile, number: usize, base: &str) -> Result<Base> {
        if base.is_empty() {
            let text = &file.stages[number].base;
            return Err(Error::Invalid(format!("base name ({text}) should not be blank")));
        }
        if base == "scratch" {
            return Ok(Base::Scratch);
        }
        Ok(match named(file, number, base) {
            Some(stage) => Base::Stage(stage),
            None => Base::Image(base.to_owned()),
        })
    }

    fn need(&mut self, file: &Dockerfile, stage: usize) {
        // Stages only need earlier ones, so this ends.
        if !self.needed.insert(stage) {
            return;
        }
        if let Base::Stage(base) = self.bases[stage] {
            self.need(file, base);
        }
        for step in self.steps(file, stage) {
            let names: Vec<&str> = match &step.instruction {
                Instruction::Copy(copy) => copy.from.as_deref().into_iter().collect(),
                Instruction::Run(run) => run.mounts.iter().map(|mount| mount.from.as_str()).collect(),
                _ => Vec::new(),
            };
            for other in names.into_iter().filter_map(|name| source(file, stage, name)) {
                // Files are taken from the context itself.
                if !matches!(self.bases[other], Base::Context(_)) {
                    self.need(file, other);
                }
            }
        }
    }

    /// What a stage does: nothing when a context stands in its place.
    pub(crate) fn steps<'a>(&self, file: &'a Dockerfile, stage: usize) -> &'a [Step] {
        match self.bases[stage] {
            Base::Context(_) => &[],
            _ => &file.stages[stage].steps,
        }
    }
}

/// The stage before `number` that is called so.
fn named(file: &Dockerfile, number: usize, name: &str) -> Option<usize> {
    let name = name.to_ascii_lowercase();
    file.stages[..number].iter().rposition(|stage| stage.name.as_deref() == Some(name.as_str()))
}

/// The stage before `number` that `--from` means, by name or number.
pub(crate) fn source(file: &Dockerfile, number: usize, name: &str) -> Option<usize> {
    named(file, number, name).or_else(|| name.parse().ok().filter(|index| *index < number))
}

fn expand(lexer: Lexer, text: &str, variables: &Variables) -> Result<String> {
    let expanded = lexer.expand(text, variables);
    expanded
        .map(|expanded| expanded.text)
        .map_err(|why| Error::Invalid(format!("failed to process {text:?}: {why}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_target_needs_is_built() {
        let text = "ARG V=1\nFROM a:$V AS one\nFROM b AS two\nFROM c AS three\nCOPY --from=one /x /\n\
                    RUN --mount=from=0,target=/y true\nFROM three\nFROM two\n";
        let file = Dockerfile::parse(text).unwrap();
        let options = Options { target: Some("3".to_owned()), ..Options::default() };
        let plan = Plan::of(&file, &options, |_, _| false).unwrap();
        assert_eq!(plan.needed, BTreeSet::from([0, 2, 3]));
        assert_eq!(plan.bases[0], Base::Image("a:1".to_owned()));
        assert_eq!(plan.bases[3], Base::Stage(2));
        let missing = Options { target: Some("nine".to_owned()), ..Options::default() };
        assert!(Plan::of(&file, &missing, |_, _| false).is_err());
    }

    #[test]
    fn a_context_stands_in_place_of_a_stage_and_all_that_it_needs() {
        let text = "FROM a AS deep\nFROM b AS base\nCOPY --from=deep /x /\nFROM base\nCOPY --from=base /x /\n\
                    FROM c\nCOPY --from=Base /x /\n";
        let file = Dockerfile::parse(text).unwrap();
        let plan = |target: &str| {
            let options = Options { target: Some(target.to_owned()), ..Options::default() };
            Plan::of(&file, &options, |name, _| name == "base").unwrap()
        };
        assert_eq!(plan("2").needed, BTreeSet::from([1, 2]));
        assert_eq!(plan("3").needed, BTreeSet::from([3]));
        let alone = plan("base");
        assert_eq!((alone.needed, &alone.bases[1]), (BTreeSet::from([1]), &Base::Context("base".to_owned())));
    }
}
