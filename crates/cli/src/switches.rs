//! `--rm=true`: Docker's switches take a value, clap's don't.

use std::ffi::OsString;

use clap::{ArgAction, Command};

/// The same words with every `--switch=true` as `--switch`, and none for `--switch=false`. What follows the first
/// word that is no flag, nor a flag's value, is the container's own and stays as it is.
pub(crate) fn plain(all: &Command, words: &[OsString]) -> Vec<OsString> {
    let mut plain: Vec<OsString> = words.iter().take(2).cloned().collect();
    let command = words.get(1).and_then(|name| all.find_subcommand(name));
    let mut rest = words.iter().skip(2);
    while let Some(word) = rest.next() {
        let text = word.to_string_lossy();
        let Some(command) = command.filter(|_| text.starts_with('-') && text.len() > 1 && text != "--")
        else {
            plain.push(word.clone());
            break;
        };
        let (flag, value) =
            text.split_once('=').map_or((text.as_ref(), None), |(flag, value)| (flag, Some(value)));
        let is_switch = |argument: &&clap::Arg| matches!(argument.get_action(), ArgAction::SetTrue);
        let found = match flag.strip_prefix("--") {
            Some(long) => command.get_arguments().find(|argument| argument.get_long() == Some(long)),
            None => command.get_arguments().find(|argument| argument.get_short() == flag.chars().last()),
        };
        match (found.filter(is_switch), value) {
            (Some(_), Some("1" | "t" | "T" | "true" | "TRUE" | "True")) => plain.push(flag.into()),
            (Some(_), Some("0" | "f" | "F" | "false" | "FALSE" | "False")) if flag.starts_with("--") => {}
            _ => plain.push(word.clone()),
        }
        let takes_a_value = found.is_some_and(|argument| {
            matches!(argument.get_action(), ArgAction::Set | ArgAction::Append)
                && !argument.is_require_equals_set()
        });
        if takes_a_value && value.is_none() {
            plain.extend(rest.next().cloned());
        }
    }
    plain.extend(rest.cloned());
    plain
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn plainly(line: &str) -> String {
        let words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
        let plain = plain(&crate::AsDocker::command(), &words);
        plain.iter().map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn a_switch_with_a_value_is_on_or_off() {
        assert_eq!(
            plainly("docker run --rm=true -e A=true --tty=false busybox"),
            "docker run --rm -e A=true busybox"
        );
    }

    #[test]
    fn the_containers_own_words_stay() {
        assert_eq!(plainly("docker run -i busybox x --rm=true"), "docker run -i busybox x --rm=true");
        assert_eq!(plainly("docker ps --all=maybe"), "docker ps --all=maybe");
    }
}
