//! From a node to an instruction.

use berth_images::exec_form;

use super::command::{Command, Healthcheck, Run};
use super::copy::Copy;
use super::flags::Flags;
use super::heredoc::{Heredoc, raw_words};
use super::lines::{Node, split_word};
use super::nearest::nearest;
use super::{Place, SyntaxError, pairs};

/// What one instruction says; variables aren't expanded yet.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(
    private_interfaces,
    reason = "RUN's parts are for this crate alone; callers outside only look at texts"
)]
pub enum Instruction {
    /// ADD and COPY.
    Copy(Copy),
    /// ARG: names, and defaults.
    Arg(Vec<(String, Option<String>)>),
    /// CMD.
    Cmd(Command),
    /// ENTRYPOINT.
    Entrypoint(Command),
    /// ENV.
    Env(Vec<(String, String)>),
    /// EXPOSE.
    Expose(Vec<String>),
    /// FROM.
    From {
        /// The image or stage.
        base: String,
        /// The stage's name.
        name: Option<String>,
        /// The platform.
        platform: Option<String>,
    },
    /// HEALTHCHECK.
    Healthcheck(Healthcheck),
    /// LABEL.
    Label(Vec<(String, String)>),
    /// MAINTAINER.
    Maintainer(String),
    /// ONBUILD: the instruction's text.
    Onbuild(String),
    /// RUN.
    Run(Run),
    /// SHELL.
    Shell(Vec<String>),
    /// STOPSIGNAL.
    Stopsignal(String),
    /// USER.
    User(String),
    /// VOLUME.
    Volume(Vec<String>),
    /// WORKDIR.
    Workdir(String),
}

/// An instruction with its text and place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// What it says.
    pub instruction: Instruction,
    /// The text, on one line, as progress shows it.
    pub text: String,
    /// Where it stands.
    pub place: Place,
}

/// Every instruction there is.
const KEYWORDS: [&str; 18] = [
    "ADD",
    "ARG",
    "CMD",
    "COPY",
    "ENTRYPOINT",
    "ENV",
    "EXPOSE",
    "FROM",
    "HEALTHCHECK",
    "LABEL",
    "MAINTAINER",
    "ONBUILD",
    "RUN",
    "SHELL",
    "STOPSIGNAL",
    "USER",
    "VOLUME",
    "WORKDIR",
];

/// Reads one instruction.
pub(super) fn parse(node: &Node, escape: char) -> Result<Step, SyntaxError> {
    let keyword = node.keyword.to_ascii_uppercase();
    let at = |message: String| {
        let message = format!("dockerfile parse error on line {}: {message}", node.place.line);
        SyntaxError::new(node.place.line, message)
    };
    let instruction = instruction(&keyword, node, escape).map_err(at)?;
    Ok(Step { instruction, text: format!("{keyword} {}", node.rest), place: node.place })
}

fn instruction(keyword: &str, node: &Node, escape: char) -> Result<Instruction, String> {
    let text = node.rest.as_str();
    let some = |text: &str| match text {
        "" => Err(format!("{keyword} requires exactly one argument")),
        text => Ok(text.to_owned()),
    };
    Ok(match keyword {
        "ADD" | "COPY" => Instruction::Copy(Copy::parse(keyword == "ADD", text, &node.heredocs, escape)?),
        "ARG" => Instruction::Arg(pairs::arguments(text, escape)?),
        "CMD" => Instruction::Cmd(Command::parse(text)),
        "ENTRYPOINT" => Instruction::Entrypoint(Command::parse(text)),
        "ENV" => Instruction::Env(pairs::parse("ENV", text, escape)?.0),
        "EXPOSE" => Instruction::Expose(words(keyword, text, escape)?),
        "FROM" => from(text, escape)?,
        "HEALTHCHECK" => Instruction::Healthcheck(Healthcheck::parse(text, escape)?),
        "LABEL" => Instruction::Label(pairs::parse("LABEL", text, escape)?.0),
        "MAINTAINER" => Instruction::Maintainer(some(text)?),
        "ONBUILD" => onbuild(text, &node.heredocs)?,
        "RUN" => Instruction::Run(Run::parse(text, &node.heredocs, escape)?),
        "SHELL" => match exec_form(text) {
            Some(shell) if !shell.is_empty() => Instruction::Shell(shell),
            _ if text.is_empty() => return Err("SHELL requires at least one argument".into()),
            _ => return Err("SHELL requires the arguments to be in JSON form".into()),
        },
        "STOPSIGNAL" => Instruction::Stopsignal(some(text)?),
        "USER" => Instruction::User(some(text)?),
        "VOLUME" => Instruction::Volume(match exec_form(text) {
            Some(list) if list.is_empty() => return Err("VOLUME requires at least one argument".into()),
            Some(list) => list,
            None => words(keyword, text, escape)?,
        }),
        "WORKDIR" => Instruction::Workdir(some(text)?),
        _ => return Err(unknown(&node.keyword)),
    })
}

fn words(keyword: &str, text: &str, escape: char) -> Result<Vec<String>, String> {
    let words = raw_words(text, escape);
    if words.is_empty() { Err(format!("{keyword} requires at least one argument")) } else { Ok(words) }
}

fn unknown(keyword: &str) -> String {
    let upper = keyword.to_ascii_uppercase();
    let hint = nearest(&upper, KEYWORDS.iter().copied());
    let hint = hint.map(|known| format!(" (did you mean {known}?)")).unwrap_or_default();
    format!("unknown instruction: {keyword}{hint}")
}

fn from(text: &str, escape: char) -> Result<Instruction, String> {
    let (mut flags, rest) = Flags::split(text, escape);
    let platform = flags.text("platform")?;
    flags.finish()?;
    let words = raw_words(&rest, escape);
    let (base, name) = match words.as_slice() {
        [base] => (base, None),
        [base, keyword, name] if keyword.eq_ignore_ascii_case("as") => {
            let lower = name.to_ascii_lowercase();
            let is_name = lower.starts_with(|c: char| c.is_ascii_lowercase())
                && lower.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'));
            if !is_name {
                return Err(format!(
                    "invalid name for build stage: {name:?}, name can't start with a number or contain symbols"
                ));
            }
            (base, Some(lower))
        }
        _ => return Err("FROM requires either one or three arguments".into()),
    };
    Ok(Instruction::From { base: base.clone(), name, platform })
}

/// A trigger's text has its here-documents below it, so that it can be read again by itself.
fn onbuild(text: &str, heredocs: &[Heredoc]) -> Result<Instruction, String> {
    match split_word(text).0.to_ascii_uppercase().as_str() {
        "" => Err("ONBUILD requires at least one argument".into()),
        "ONBUILD" => Err("Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed".into()),
        keyword @ ("MAINTAINER" | "FROM") => Err(format!("{keyword} isn't allowed as an ONBUILD trigger")),
        _ => {
            let bodies = heredocs.iter().map(|heredoc| format!("\n{}{}", heredoc.content, heredoc.name));
            Ok(Instruction::Onbuild(std::iter::once(text.to_owned()).chain(bodies).collect()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Dockerfile, single};
    use super::*;

    #[test]
    fn a_trigger_keeps_its_here_documents() {
        let text = "FROM x\nONBUILD COPY <<A <<-'B' /d/\none\nA\n\ttwo\n\tB\nONBUILD RUN a\n";
        let stage = &Dockerfile::parse(text).unwrap().stages[0];
        let triggers: Vec<&str> = stage
            .steps
            .iter()
            .filter_map(|step| match &step.instruction {
                Instruction::Onbuild(text) => Some(text.as_str()),
                _ => None,
            })
            .collect();
        assert_eq!(triggers, ["COPY <<A <<-'B' /d/\none\nA\ntwo\nB", "RUN a"]);
        let Instruction::Copy(copy) = single(triggers[0]).unwrap().instruction else { panic!("no COPY") };
        let files: Vec<(&str, &str)> =
            copy.files.iter().map(|file| (file.name.as_str(), file.content.as_str())).collect();
        assert_eq!(files, [("A", "one\n"), ("B", "two\n")]);
    }
}
