//! What `# check=` says: `skip=A,B;experimental=C;error=true`.

use std::collections::BTreeSet;

/// Rules that are looked at only when they are asked for.
const EXPERIMENTAL: [&str; 1] = ["InvalidDefinitionDescription"];

/// Which rules count, and how much.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Setting {
    skipped: BTreeSet<String>,
    experimental: BTreeSet<String>,
    /// Whether a finding forbids the build.
    pub(crate) is_strict: bool,
}

impl Setting {
    /// Reads it; what isn't known says nothing.
    pub(crate) fn parse(text: &str) -> Self {
        let mut setting = Self::default();
        let list = |rules: &str| rules.split(',').map(|rule| rule.trim().to_owned()).collect();
        for part in text.split(';') {
            match part.trim().split_once('=') {
                Some(("skip", rules)) => setting.skipped = list(rules),
                Some(("experimental", rules)) => setting.experimental = list(rules),
                Some(("error", value)) => setting.is_strict = value == "true",
                _ => {}
            }
        }
        setting
    }

    /// Whether findings of a rule count.
    pub(crate) fn wants(&self, rule: &str) -> bool {
        let has = |rules: &BTreeSet<String>| rules.contains(rule) || rules.contains("all");
        if EXPERIMENTAL.contains(&rule) { has(&self.experimental) } else { !has(&self.skipped) }
    }
}
