//! What a client asks about a Dockerfile instead of building it (`requestid`): what the build checks say, its targets,
//! and what a target takes. Each answer is there for programs (`result.json`) and for people (`result.txt`).

mod lint;
mod outline;
mod targets;

use std::collections::HashMap;

use serde::Serialize;
use serde_json::json;

use super::Definition;
use crate::dockerfile::{Place, Stage};
use crate::options::Options;
use crate::{Error, Result};

/// What the build checks say.
pub(super) const LINT: &str = "frontend.lint";
/// The version of every request's form.
const VERSION: &str = "1.0.0";
/// What may be asked, each with what it is about.
const REQUESTS: [(&str, &str); 4] = [
    (LINT, "Lint a Dockerfile"),
    ("frontend.outline", "List all parameters current build target supports"),
    ("frontend.targets", "List all targets current build supports"),
    ("frontend.subrequests.describe", "List available subrequest types"),
];

/// Answers a request by its name.
pub(super) fn answer(
    request: &str,
    definition: &Definition,
    options: &Options,
) -> Result<HashMap<String, Vec<u8>>> {
    let (json, text, status) = match request {
        LINT => {
            let found = lint::of(definition);
            (to_json(&found)?, lint::text(definition), Some(u8::from(!found.is_clean())))
        }
        "frontend.outline" => {
            let outline = outline::of(definition, options)?;
            (to_json(&outline)?, outline.text(), None)
        }
        "frontend.targets" => {
            let targets = targets::of(definition);
            (to_json(&targets)?, targets.text(), None)
        }
        "frontend.subrequests.describe" => describe()?,
        other => return Err(Error::Unsupported(format!("unsupported request {other}"))),
    };
    let mut answer = HashMap::from([
        ("result.json".to_owned(), json),
        ("result.txt".to_owned(), text.into_bytes()),
        ("version".to_owned(), VERSION.as_bytes().to_vec()),
    ]);
    if let Some(status) = status {
        answer.insert("result.statuscode".to_owned(), status.to_string().into_bytes());
    }
    Ok(answer)
}

fn describe() -> Result<(Vec<u8>, String, Option<u8>)> {
    let list = REQUESTS.map(|(name, about)| {
        json!({ "name": name, "version": VERSION, "type": "rpc", "description": about, "opts": null })
    });
    let rows = REQUESTS.map(|(name, about)| [name.to_owned(), VERSION.to_owned(), about.to_owned()]);
    let text = table(&["NAME", "VERSION", "DESCRIPTION"], &rows);
    Ok((to_json(&list)?, text, None))
}

fn to_json(answer: &impl Serialize) -> Result<Vec<u8>> {
    serde_json::to_vec_pretty(answer).map_err(|error| Error::Description(error.to_string()))
}

/// `pb.Location`: where something stands.
#[derive(Debug, Serialize)]
struct Location {
    ranges: Vec<Range>,
}

#[derive(Debug, Serialize)]
struct Range {
    start: Position,
    end: Position,
}

#[derive(Debug, Serialize)]
struct Position {
    line: usize,
    #[serde(skip_serializing_if = "is_first")]
    character: usize,
}

fn is_first(character: &usize) -> bool {
    *character == 0
}

impl Location {
    fn of(place: Place) -> Self {
        let (start, end) = place.positions();
        let position = |(line, character)| Position { line, character };
        let (start, end) = (position(start), position(end));
        Self { ranges: vec![Range { start, end }] }
    }
}

/// The comment right above a stage that begins with its name, without the name.
fn description(definition: &Definition, stage: &Stage) -> Option<String> {
    let above = definition.text.lines().nth(stage.place.line.checked_sub(2)?)?;
    let comment = above.trim().strip_prefix('#')?.trim();
    let (name, rest) = comment.split_once(char::is_whitespace)?;
    let own = stage.name.as_deref().unwrap_or("default");
    name.eq_ignore_ascii_case(own).then(|| rest.trim().to_owned())
}

/// Columns as wide as their longest cell, three blanks apart.
fn table<const N: usize>(head: &[&str; N], rows: &[[String; N]]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.chain([head[column].len()]).max().unwrap_or(0)
    };
    let line = |cells: [&str; N]| {
        let padded: Vec<String> =
            cells.iter().enumerate().map(|(at, cell)| format!("{cell:<width$}", width = width(at))).collect();
        format!("{}\n", padded.join("   ").trim_end())
    };
    let body: String = rows.iter().map(|row| line(row.each_ref().map(String::as_str))).collect();
    format!("{}{body}", line(*head))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dockerfile::Dockerfile;

    fn ask(request: &str, text: &str) -> HashMap<String, Vec<u8>> {
        let file = Dockerfile::parse(text).unwrap();
        let (filename, text) = ("Dockerfile".to_owned(), text.to_owned());
        let definition = Definition { filename, text, file, own_rules: None, remote: None };
        answer(request, &definition, &Options::default()).unwrap()
    }

    fn text(answer: &HashMap<String, Vec<u8>>) -> String {
        String::from_utf8(answer["result.txt"].clone()).unwrap()
    }

    #[test]
    fn checks_show_the_lines_they_are_about() {
        let found = ask("frontend.lint", "FROM busybox as one\nRUN true\n");
        let expected = "\nWARNING: FromAsCasing - https://docs.docker.com/go/dockerfile/rule/from-as-casing/\n\
                        'as' and 'FROM' keywords' casing do not match\nDockerfile:1\n--------------------\n   \
                        1 | >>> FROM busybox as one\n   2 |     RUN true\n   3 |     \n--------------------\n";
        assert_eq!(text(&found), expected);
        assert_eq!(found["result.statuscode"], b"1");
        let json: serde_json::Value = serde_json::from_slice(&found["result.json"]).unwrap();
        assert_eq!(json["warnings"][0]["location"]["ranges"][0]["start"]["line"], 1);
        let indented = ask("frontend.lint", "FROM busybox\n  run true\n");
        let json: serde_json::Value = serde_json::from_slice(&indented["result.json"]).unwrap();
        let start = &json["warnings"][0]["location"]["ranges"][0]["start"];
        assert_eq!(*start, serde_json::json!({ "line": 2, "character": 2 }));
        let clean = ask("frontend.lint", "FROM busybox\n");
        assert_eq!((text(&clean).as_str(), clean["result.statuscode"].as_slice()), ("", b"0".as_slice()));
    }

    #[test]
    fn targets_have_names_and_the_comments_above_them() {
        let file = "FROM a AS one\n# two builds the rest\nFROM one AS two\nFROM two\n";
        assert_eq!(
            text(&ask("frontend.targets", file)),
            "TARGET      DESCRIPTION\none\ntwo         builds the rest\n(default)\n"
        );
    }

    #[test]
    fn an_outline_names_arguments_and_secrets_of_what_the_target_needs() {
        let file = "ARG BASE=a\nFROM $BASE AS other\nARG UNUSED\nFROM $BASE\nARG WHO=me\n\
                    RUN --mount=type=secret,id=key,required --mount=type=ssh true\n";
        assert_eq!(
            text(&ask("frontend.outline", file)),
            "BUILD ARG   VALUE   DESCRIPTION\nBASE        a\nWHO         me\n\n\
             SECRET   REQUIRED\nkey      true\n\nSSH       REQUIRED\ndefault\n\n"
        );
    }
}
