//! Which tests skipped themselves, and why.
//!
//! A test that this machine can't run prints `skipped: <reason>` and passes. nextest hides what passing tests print, but
//! keeps it in its JUnit report, from where it comes back here.

use std::fs;

use anyhow::Context;

use crate::step::workspace_root;

/// What a test prints before its reason.
const MARK: &str = "skipped: ";

/// Prints the tests that skipped themselves in the last run under nextest's `profile`.
pub(crate) fn print(profile: &str) -> anyhow::Result<()> {
    print!("{}", told(profile)?);
    Ok(())
}

/// The lines that tell of the tests that skipped themselves in the last run under nextest's `profile`.
pub(super) fn told(profile: &str) -> anyhow::Result<String> {
    let report = workspace_root().join("target/nextest").join(profile).join("junit.xml");
    let report = fs::read_to_string(&report).with_context(|| format!("read {}", report.display()))?;
    let skips = read(&report);
    let first = format!("    {} tests were skipped\n", skips.len());
    let tell = |(test, reason)| format!("    skipped: {test}: {reason}\n");
    Ok(first + &skips.into_iter().map(tell).collect::<String>())
}

/// Test and reason of each skip in a JUnit report. Each element that it writes begins on a line of its own.
fn read(report: &str) -> Vec<(String, String)> {
    let mut test = String::new();
    let mut skips = Vec::new();
    for line in report.lines() {
        if let Some((_, rest)) = line.split_once("<testcase name=\"") {
            test = unescaped(rest.split('"').next().unwrap_or_default());
        }
        if let Some((_, reason)) = line.split_once(MARK) {
            let reason = unescaped(reason.split("</system-").next().unwrap_or_default());
            skips.push((test.clone(), reason));
        }
    }
    skips
}

/// XML's own five characters.
fn unescaped(text: &str) -> String {
    let entities = [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&apos;", "'"), ("&amp;", "&")];
    entities.iter().fold(text.to_owned(), |text, (entity, character)| text.replace(entity, character))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_skip_is_read_with_its_test_and_reason() {
        let report = r#"
            <testcase name="passes" classname="e2e::limits" time="0.1">
                <system-out>running 1 test</system-out>
            </testcase>
            <testcase name="a_limit_holds" classname="e2e::limits" time="0.1">
                <system-err>skipped: `docker` isn&apos;t installed</system-err>
            </testcase>"#;
        assert_eq!(read(report), [("a_limit_holds".to_owned(), "`docker` isn't installed".to_owned())]);
    }
}
