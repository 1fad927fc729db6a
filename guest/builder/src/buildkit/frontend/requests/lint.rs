//! `frontend.lint`: what the build checks say (BuildKit's `frontend/subrequests/lint`, 1.0.0).

use serde::Serialize;
use serde_json::{Value, json};

use super::super::Definition;
use super::Location;

/// Every finding, and the file that they point into.
#[derive(Debug, Serialize)]
pub(super) struct Findings {
    warnings: Vec<Finding>,
    sources: Vec<Value>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Finding {
    rule_name: &'static str,
    description: &'static str,
    url: String,
    detail: String,
    location: Location,
}

impl Findings {
    pub(super) fn is_clean(&self) -> bool {
        self.warnings.is_empty()
    }
}

/// What the checks say of a Dockerfile.
pub(super) fn of(definition: &Definition) -> Findings {
    let warnings = definition.file.warnings.iter().map(|warning| Finding {
        rule_name: warning.rule,
        description: warning.about,
        url: warning.url(),
        detail: warning.message.clone(),
        location: Location::of(warning.place),
    });
    let data = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, &definition.text);
    let source = json!({
        "fileName": definition.filename, "language": "Dockerfile", "definition": null, "data": data,
    });
    Findings { warnings: warnings.collect(), sources: vec![source] }
}

/// The findings for people, each with the lines around it.
pub(super) fn text(definition: &Definition) -> String {
    let lines: Vec<&str> = definition.text.split('\n').collect();
    let mut text = String::new();
    for warning in &definition.file.warnings {
        text.push_str(&format!("\nWARNING: {} - {}\n{}\n", warning.rule, warning.url(), warning.message));
        let (first, last) = (warning.place.line, warning.place.end_line.max(warning.place.line));
        if first == 0 || first > lines.len() {
            continue;
        }
        text.push_str(&format!("{}:{first}\n--------------------\n", definition.filename));
        for number in around(first, last.min(lines.len()), lines.len()) {
            let mark = if (first..=last).contains(&number) { ">>>" } else { "   " };
            text.push_str(&format!(" {number:>3} | {mark} {}\n", lines[number - 1]));
        }
        text.push_str("--------------------\n");
    }
    text
}

/// The lines that are shown for some: a few more on either side, as BuildKit has it.
fn around(first: usize, last: usize, all: usize) -> std::ops::RangeInclusive<usize> {
    let (mut start, mut end, mut shown) = (first, last, 0);
    let wanted = if first == last { 4 } else { 2 };
    while shown < wanted {
        if start > 1 {
            start -= 1;
            shown += 1;
        }
        if end != all {
            end += 1;
            shown += 1;
        }
        shown += 1;
    }
    start..=end
}
