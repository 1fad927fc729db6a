//! `UndefinedVar`: variables without a value. Which have one is known only when the base image is.

use std::collections::BTreeSet;

use super::Warning;
use crate::dockerfile::expand::{Lexer, Purpose, Variables};
use crate::dockerfile::instruction::{Instruction, Step};
use crate::dockerfile::nearest::nearest;

/// What an instruction uses that has no value. Arguments that were `declared` may have none.
pub(crate) fn undefined(
    step: &Step,
    escape: char,
    variables: &Variables,
    declared: &BTreeSet<&str>,
) -> Vec<Warning> {
    let known = variables.iter().map(|(name, _)| name.as_str());
    let missed = unset(step, escape, variables);
    let missed = missed.iter().filter(|name| !declared.contains(name.as_str()));
    let warning = |name: &String| {
        let hint = nearest(name, known.clone());
        let hint = hint.map(|near| format!(" (did you mean ${near}?)")).unwrap_or_default();
        Warning {
            rule: "UndefinedVar",
            about: "Variables should be defined before their use",
            message: format!("Usage of undefined variable '${name}'{hint}"),
            place: step.place,
        }
    };
    missed.map(warning).collect()
}

/// Names that an instruction uses and that have no value.
fn unset(step: &Step, escape: char, variables: &Variables) -> BTreeSet<String> {
    let words = Lexer { escape, purpose: Purpose::Words };
    let content = Lexer { escape, purpose: Purpose::Content };
    let mut missed = BTreeSet::new();
    // What can't be expanded is the build's to tell.
    let mut look = |lexer: Lexer, text: &str, variables: &Variables| {
        missed.extend(lexer.expand(text, variables).map(|expanded| expanded.unset).unwrap_or_default());
    };
    match &step.instruction {
        Instruction::Arg(arguments) => {
            let mut variables = variables.to_vec();
            for (name, default) in arguments {
                look(words, default.as_deref().unwrap_or_default(), &variables);
                variables.push((name.clone(), String::new()));
            }
        }
        Instruction::Copy(copy) => {
            let texts = copy.sources.iter().chain([&copy.destination]).chain(&copy.chown).chain(&copy.chmod);
            texts.chain(&copy.exclude).for_each(|text| look(words, text, variables));
            for file in copy.files.iter().filter(|file| file.expand) {
                look(content, &file.content, variables);
            }
        }
        Instruction::Env(pairs) | Instruction::Label(pairs) => {
            for text in pairs.iter().flat_map(|(name, value)| [name, value]) {
                look(words, text, variables);
            }
        }
        Instruction::Stopsignal(text) | Instruction::User(text) | Instruction::Workdir(text) => {
            look(words, text, variables);
        }
        Instruction::Volume(texts) => texts.iter().for_each(|text| look(words, text, variables)),
        _ => {}
    }
    missed
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dockerfile::single;

    fn messages(text: &str) -> Vec<String> {
        let variables = [("PATH".to_owned(), "/bin".to_owned()), ("NAME".to_owned(), "x".to_owned())];
        let declared = BTreeSet::from(["LATER"]);
        let found = undefined(&single(text).unwrap(), '\\', &variables, &declared);
        found.into_iter().map(|warning| warning.message).collect()
    }

    #[test]
    fn every_instruction_that_expands_is_looked_at() {
        for text in
            ["COPY $NO /", "ADD --chown=$NO a /", "ENV A=$NO", "LABEL a=\"$NO\"", "USER ${NO}", "ARG A=$NO"]
        {
            assert_eq!(messages(text), ["Usage of undefined variable '$NO'"], "{text}");
        }
        assert_eq!(messages("WORKDIR /$NAM"), ["Usage of undefined variable '$NAM' (did you mean $NAME?)"]);
        let inline = "COPY <<E /a\n$PAHT\nE";
        assert_eq!(messages(inline), ["Usage of undefined variable '$PAHT' (did you mean $PATH?)"]);
    }

    #[test]
    fn what_has_a_value_a_default_or_another_reader_is_fine() {
        for text in [
            "ENV A=$PATH:${NO:-x}",
            "ENV A=$LATER",
            "RUN echo $NO",
            "CMD $NO",
            "ARG A=a B=$A",
            "COPY <<'E' /a\n$NO\nE",
            "LABEL a='$NO' b=\\$NO",
        ] {
            assert!(messages(text).is_empty(), "{text}");
        }
    }
}
