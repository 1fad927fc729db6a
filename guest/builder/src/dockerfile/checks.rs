//! Build checks: what BuildKit's linter says of a Dockerfile before anything is built. Rules by their names there.

mod comments;
mod defaults;
mod setting;
pub(crate) mod variables;

use std::collections::BTreeSet;

use super::command::Command;
use super::expand::{Lexer, Purpose};
use super::instruction::Instruction;
use super::lines::{Node, split_word};
use super::nearest::nearest;
use super::stages::{Dockerfile, Stage};
use super::{Place, pairs};

pub(crate) use setting::Setting;

/// The rule that BuildKit has no page for.
const BASE_PLATFORM: &str = "InvalidBaseImagePlatform";

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// The rule's name.
    pub rule: &'static str,
    /// What the rule is about.
    pub about: &'static str,
    /// What was found.
    pub message: String,
    /// Where.
    pub place: Place,
}

impl Warning {
    /// A stage's image is for another machine than the stage is.
    pub(crate) fn base_platform(image: &str, expected: &str, found: &str, place: Place) -> Self {
        let message = format!(
            "Base image {image} was pulled with platform {found:?}, expected {expected:?} for current build"
        );
        let about = "Base image platform does not match expected target platform";
        Self { rule: BASE_PLATFORM, about, message, place }
    }

    /// A source that the context comes without.
    pub(crate) fn ignored_source(keyword: &str, source: &str, place: Place) -> Self {
        let message = format!("Attempting to {keyword} file {source:?} that is excluded by .dockerignore");
        let about = "Attempting to Copy file that is excluded by .dockerignore";
        Self { rule: "CopyIgnoredFile", about, message, place }
    }

    /// The page that explains the rule; empty when there is none.
    pub fn url(&self) -> String {
        if self.rule == BASE_PLATFORM {
            return String::new();
        }
        let page: String = self.rule.char_indices().fold(String::new(), |mut page, (at, c)| {
            // JSONArgsRecommended is json-args-recommended: a capital starts a word unless it is in a run of them.
            let next_is_lower = self.rule[at + 1..].starts_with(|next: char| next.is_ascii_lowercase());
            let before_is_lower = self.rule[..at].ends_with(|before: char| before.is_ascii_lowercase());
            if at > 0 && c.is_ascii_uppercase() && (next_is_lower || before_is_lower) {
                page.push('-');
            }
            page.push(c.to_ascii_lowercase());
            page
        });
        format!("https://docs.docker.com/go/dockerfile/rule/{page}/")
    }
}

struct Findings {
    setting: Setting,
    warnings: Vec<Warning>,
}

impl Findings {
    fn add(&mut self, rule: &'static str, about: &'static str, place: Place, message: String) {
        if self.setting.wants(rule) {
            self.warnings.push(Warning { rule, about, message, place });
        }
    }
}

/// Every finding, in the order of lines.
pub(super) fn all(file: &Dockerfile, nodes: &[Node], empty: &[Place]) -> Vec<Warning> {
    let mut findings = Findings { setting: file.checks(), warnings: Vec::new() };
    for place in empty {
        let message = "Empty continuation line".to_owned();
        findings.add(
            "NoEmptyContinuation",
            "Empty continuation lines will become errors in a future release",
            *place,
            message,
        );
    }
    casing(&mut findings, nodes);
    for node in nodes {
        node_rules(&mut findings, node, file.directives.escape);
        comments::rule(&mut findings, node, file.directives.escape);
    }
    defaults::rule(&mut findings, file);
    stage_rules(&mut findings, file);
    for stage in &file.stages {
        step_rules(&mut findings, stage);
    }
    findings.warnings.sort_by_key(|warning| warning.place.line);
    findings.warnings
}

/// Keywords in the case that most of them have.
fn casing(findings: &mut Findings, nodes: &[Node]) {
    let is_upper = |node: &&Node| node.keyword == node.keyword.to_ascii_uppercase();
    let is_lower = |node: &&Node| node.keyword == node.keyword.to_ascii_lowercase();
    let (upper, lower) = (nodes.iter().filter(is_upper).count(), nodes.iter().filter(is_lower).count());
    let (wanted, name) = if lower > upper { (false, "lowercase") } else { (true, "uppercase") };
    for node in nodes.iter().filter(|node| if wanted { !is_upper(node) } else { !is_lower(node) }) {
        let message =
            format!("Command '{}' should match the case of the command majority ({name})", node.keyword);
        let about = "All commands within the Dockerfile should use the same casing (either upper or lower)";
        findings.add("ConsistentInstructionCasing", about, node.place, message);
    }
}

fn node_rules(findings: &mut Findings, node: &Node, escape: char) {
    let keyword = node.keyword.to_ascii_uppercase();
    if matches!(keyword.as_str(), "ENV" | "LABEL")
        && pairs::parse(&keyword, &node.rest, escape).is_ok_and(|(_, is_old)| is_old)
    {
        let message = format!(
            "\"{keyword} key=value\" should be used instead of legacy \"{keyword} key value\" format"
        );
        let about = "Legacy key/value format with whitespace separator should not be used";
        findings.add("LegacyKeyValueFormat", about, node.place, message);
    }
    if keyword == "FROM" {
        let words: Vec<&str> = node.rest.split_whitespace().filter(|word| !word.starts_with("--")).collect();
        if let [_, as_word, name] = words.as_slice() {
            if as_word.chars().any(char::is_uppercase) != node.keyword.chars().any(char::is_uppercase) {
                let message = format!("'{as_word}' and '{}' keywords' casing do not match", node.keyword);
                let about = "The 'as' keyword should match the case of the 'from' keyword";
                findings.add("FromAsCasing", about, node.place, message);
            }
            if *name != name.to_ascii_lowercase() {
                let message = format!("Stage name '{name}' should be lowercase");
                findings.add("StageNameCasing", "Stage names should be lowercase", node.place, message);
            }
        }
    }
    if matches!(keyword.as_str(), "ENV" | "ARG") {
        for name in secret_names(&keyword, &node.rest, escape) {
            let message =
                format!("Do not use ARG or ENV instructions for sensitive data ({keyword} \"{name}\")");
            let about = "Sensitive data should not be used in the ARG or ENV commands";
            findings.add("SecretsUsedInArgOrEnv", about, node.place, message);
        }
    }
}

fn secret_names(keyword: &str, text: &str, escape: char) -> Vec<String> {
    let names: Vec<String> = match keyword {
        "ENV" => pairs::parse(keyword, text, escape)
            .map(|(all, _)| all.into_iter().map(|(name, _)| name).collect()),
        _ => pairs::arguments(text, escape).map(|all| all.into_iter().map(|(name, _)| name).collect()),
    }
    .unwrap_or_default();
    let words = [
        "apikey",
        "auth",
        "credential",
        "credentials",
        "key",
        "password",
        "pword",
        "passwd",
        "secret",
        "token",
    ];
    let is_secret = |name: &String| {
        let lower = name.to_ascii_lowercase();
        let mut parts = lower.split('_');
        !lower.split('_').any(|part| part == "public") && parts.any(|part| words.contains(&part))
    };
    names.into_iter().filter(is_secret).collect()
}

fn stage_rules(findings: &mut Findings, file: &Dockerfile) {
    let mut names = BTreeSet::new();
    for stage in &file.stages {
        if let Some(name) = &stage.name {
            if !names.insert(name.as_str()) {
                let message = format!("Duplicate stage name {name:?}, stage names should be unique");
                findings.add("DuplicateStageName", "Stage names should be unique", stage.place, message);
            }
            if matches!(name.as_str(), "context" | "scratch") {
                let message = format!("Stage name should not use the same name as reserved stage {name:?}");
                findings.add(
                    "ReservedStageName",
                    "Reserved words should not be used as stage names",
                    stage.place,
                    message,
                );
            }
        }
        let lexer = Lexer { escape: file.directives.escape, purpose: Purpose::Words };
        let known: Vec<(String, String)> = file
            .arguments
            .iter()
            .map(|(name, _)| name.clone())
            .chain(crate::platform_arguments().into_iter().map(|(name, _)| name))
            .map(|name| (name, "x".to_owned()))
            .collect();
        for text in std::iter::once(&stage.base).chain(&stage.platform) {
            for name in lexer.expand(text, &known).map(|expanded| expanded.unset).unwrap_or_default() {
                let near = nearest(&name, known.iter().map(|(known, _)| known.as_str()));
                let hint = near.map(|near| format!(" (did you mean {near}?)")).unwrap_or_default();
                let message = format!("FROM argument '{name}' is not declared{hint}");
                findings.add(
                    "UndefinedArgInFrom",
                    "FROM command must use declared ARGs",
                    stage.place,
                    message,
                );
            }
        }
        match stage.platform.as_deref() {
            Some("$TARGETPLATFORM" | "${TARGETPLATFORM}") => {
                let message = format!(
                    "Setting platform to predefined {} in FROM is redundant as this is the default behavior",
                    stage.platform.as_deref().unwrap_or_default()
                );
                let about = "Setting platform to predefined $TARGETPLATFORM in FROM is redundant as this is the default behavior";
                findings.add("RedundantTargetPlatform", about, stage.place, message);
            }
            Some(fixed) if !fixed.contains('$') => {
                let message = format!("FROM --platform flag should not use constant value {fixed:?}");
                let about = "FROM --platform flag should not use a constant value";
                findings.add("FromPlatformFlagConstDisallowed", about, stage.place, message);
            }
            _ => {}
        }
    }
}

fn step_rules(findings: &mut Findings, stage: &Stage) {
    let has_shell = stage.steps.iter().any(|step| matches!(step.instruction, Instruction::Shell(_)));
    let mut counts = [("CMD", Vec::new()), ("HEALTHCHECK", Vec::new()), ("ENTRYPOINT", Vec::new())];
    let mut has_absolute = false;
    for step in &stage.steps {
        let keyword = split_word(&step.text).0;
        if let Some((_, places)) = counts.iter_mut().find(|(name, _)| *name == keyword) {
            places.push(step.place);
        }
        match &step.instruction {
            Instruction::Cmd(Command::Shell(_)) | Instruction::Entrypoint(Command::Shell(_))
                if !has_shell =>
            {
                let message = format!(
                    "JSON arguments recommended for {keyword} to prevent unintended behavior related to OS signals"
                );
                let about = "JSON arguments recommended for ENTRYPOINT/CMD to prevent unintended behavior related to OS signals";
                findings.add("JSONArgsRecommended", about, step.place, message);
            }
            Instruction::Maintainer(_) => {
                let message = "Maintainer instruction is deprecated in favor of using label".to_owned();
                let about =
                    "The MAINTAINER instruction is deprecated, use a label instead to define an image author";
                findings.add("MaintainerDeprecated", about, step.place, message);
            }
            Instruction::Workdir(path) if path.starts_with(['/', '$']) => has_absolute = true,
            Instruction::Workdir(path) if !has_absolute => {
                let message = format!(
                    "Relative workdir {path:?} can have unexpected results if the base image changes"
                );
                let about = "Relative workdir without an absolute workdir declared within the build can have unexpected results if the base image changes";
                findings.add("WorkdirRelativePath", about, step.place, message);
            }
            Instruction::Expose(ports) => {
                for port in ports.iter().filter(|port| !port.contains('$')) {
                    expose_rules(findings, port, step.place);
                }
            }
            _ => {}
        }
    }
    for (keyword, places) in counts {
        for place in places.iter().rev().skip(1) {
            let message = format!(
                "Multiple {keyword} instructions should not be used in the same stage because only the last one will be used"
            );
            let about = "Multiple instructions of the same type should not be used in the same stage";
            findings.add("MultipleInstructionsDisallowed", about, *place, message);
        }
    }
}

fn expose_rules(findings: &mut Findings, port: &str, place: Place) {
    if let Some((_, protocol)) = port.split_once('/')
        && protocol != protocol.to_ascii_lowercase()
    {
        let fixed = port.to_ascii_lowercase();
        let message =
            format!("Defined protocol '{port}' in EXPOSE instruction should be lowercase (use '{fixed}')");
        findings.add(
            "ExposeProtoCasing",
            "Protocol in EXPOSE instruction should be lowercase",
            place,
            message,
        );
    }
    if port.contains(':') {
        let message = format!(
            "EXPOSE instruction should not define an IP address or host-port mapping, found '{port}'"
        );
        let about = "IP address and host-port mapping should not be used in EXPOSE instruction. This will become an error in a future release";
        findings.add("ExposeInvalidFormat", about, place, message);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(text: &str) -> Vec<(&'static str, usize, usize)> {
        let file = Dockerfile::parse(text).unwrap();
        file.warnings.iter().map(|w| (w.rule, w.place.line, w.place.column)).collect()
    }

    #[test]
    fn findings_name_their_rule_line_and_column() {
        let text = "FROM x as Build\n  run a\nCMD echo hi\nENV A b\n";
        assert_eq!(
            rules(text),
            [
                ("FromAsCasing", 1, 1),
                ("StageNameCasing", 1, 1),
                ("ConsistentInstructionCasing", 2, 3),
                ("JSONArgsRecommended", 3, 1),
                ("LegacyKeyValueFormat", 4, 1),
            ]
        );
    }

    #[test]
    fn a_base_must_have_a_name_without_build_arguments() {
        let text = "ARG A\nARG B=busybox\nARG C=$B:1\nFROM $A\nFROM busybox:$A\nFROM $B\nFROM $C\nFROM $B$TARGETARCH\n";
        assert_eq!(rules(text), [("InvalidDefaultArgInFrom", 4, 1), ("InvalidDefaultArgInFrom", 5, 1)]);
    }

    #[test]
    fn what_a_comment_describes_is_looked_at_when_asked_for() {
        let text = "# about\nARG A=a\n# B is b\nARG A=a B=b\n# other\n\nFROM $A AS one\n# one\n#\nARG C\n  # x y\n  FROM $A AS Two\n";
        let rule = "InvalidDefinitionDescription";
        let has = |text: &str| rules(text).contains(&(rule, 3, 1));
        let found = rules(&format!("# check=experimental={rule};skip=all\n{text}"));
        assert_eq!(found, [(rule, 3, 1), (rule, 13, 3)]);
        assert!(
            has(&format!("# check=experimental=all\n{text}")) && !has(&format!("# check=skip=x\n{text}"))
        );
    }

    #[test]
    fn a_name_that_is_nearly_right_is_told() {
        let file = Dockerfile::parse("ARG VERSION=1\nFROM busybox:$VERSON\n").unwrap();
        let message = "FROM argument 'VERSON' is not declared (did you mean VERSION?)";
        assert!(file.warnings.iter().any(|warning| warning.message == message), "{:?}", file.warnings);
    }

    #[test]
    fn a_rule_can_be_skipped() {
        assert!(rules("# check=skip=JSONArgsRecommended\nFROM x\nCMD a b\n").is_empty());
    }

    #[test]
    fn a_rules_page_is_its_name_in_words() {
        let warning = Warning {
            rule: "JSONArgsRecommended",
            about: "",
            message: String::new(),
            place: Place::default(),
        };
        assert!(warning.url().ends_with("/json-args-recommended/"));
    }
}
