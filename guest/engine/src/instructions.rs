//! Dockerfile instructions that change how an image runs: `--change` of `docker commit` and `docker import`.

use berth_images::exec_form;
use berth_runtime::go_duration;

use crate::Error;
use crate::container::config::{Config, Empty, HealthConfig, Words};
use crate::spec;

/// The instructions that change a configuration.
const KNOWN: &[&str] = &[
    "CMD",
    "ENTRYPOINT",
    "ENV",
    "LABEL",
    "EXPOSE",
    "VOLUME",
    "USER",
    "WORKDIR",
    "ONBUILD",
    "STOPSIGNAL",
    "HEALTHCHECK",
];

/// Applies instructions (`CMD ["x"]`, `ENV a=b`), one a line, to a configuration.
pub(crate) fn apply(config: &mut Config, instructions: &[String]) -> Result<(), Error> {
    instructions.iter().flat_map(|text| text.lines()).try_for_each(|line| {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            return Ok(());
        }
        let (word, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        let (asked, word) = (word, word.to_ascii_uppercase());
        let rest = rest.trim();
        if !KNOWN.contains(&word.as_str()) {
            return Err(Error::InvalidRequest(format!("{asked} is not a valid change command")));
        }
        if rest.is_empty() && !matches!(word.as_str(), "CMD" | "ENTRYPOINT") {
            let wanted = match word.as_str() {
                "USER" | "WORKDIR" | "STOPSIGNAL" => "exactly one argument",
                _ => "at least one argument",
            };
            return Err(Error::InvalidRequest(format!("{word} requires {wanted}")));
        }
        one(config, &word, rest)
    })
}

fn one(config: &mut Config, word: &str, rest: &str) -> Result<(), Error> {
    match word {
        "CMD" => config.cmd = Some(command(rest)),
        "ENTRYPOINT" => config.entrypoint = Some(command(rest)),
        "ENV" => {
            for (name, value) in pairs(word, rest)? {
                spec::set_variable(&mut config.env, &format!("{name}={value}"));
            }
        }
        "LABEL" => config.labels.extend(pairs(word, rest)?),
        "EXPOSE" => {
            for port in words(rest) {
                let port = if port.contains('/') { port } else { format!("{port}/tcp") };
                let number = port.split('/').next().unwrap_or_default();
                if !number.split('-').all(|end| end.parse::<u16>().is_ok()) {
                    return Err(Error::InvalidRequest(format!("Invalid containerPort: {number}")));
                }
                config.exposed_ports.get_or_insert_default().insert(port, Empty {});
            }
        }
        "VOLUME" => {
            for path in exec_form(rest).unwrap_or_else(|| words(rest)) {
                config.volumes.get_or_insert_default().insert(path, Empty {});
            }
        }
        "USER" => rest.clone_into(&mut config.user),
        "WORKDIR" => config.working_dir = beneath(&config.working_dir, rest),
        "ONBUILD" => config.on_build.get_or_insert_default().push(rest.to_owned()),
        "STOPSIGNAL" => {
            crate::signal::Signal::parse(rest)?;
            config.stop_signal = Some(rest.to_owned());
        }
        _ => config.healthcheck = Some(health(rest)?),
    }
    Ok(())
}

/// `["a", "b"]`, or a line for the shell.
fn command(rest: &str) -> Words {
    let shell = || vec!["/bin/sh".to_owned(), "-c".to_owned(), rest.to_owned()];
    Words(exec_form(rest).unwrap_or_else(|| if rest.is_empty() { Vec::new() } else { shell() }))
}

/// `a=b c="d e"`, or the older `a b c` whose value is all that follows.
fn pairs(word: &str, rest: &str) -> Result<Vec<(String, String)>, Error> {
    let all = words(rest);
    if all.first().is_some_and(|first| !first.contains('=')) {
        let (name, value) = rest
            .split_once(char::is_whitespace)
            .ok_or_else(|| Error::InvalidRequest(format!("{word} must have two arguments")))?;
        return Ok(vec![(name.to_owned(), value.trim().to_owned())]);
    }
    all.into_iter()
        .map(|pair| {
            let (name, value) =
                pair.split_once('=').filter(|(name, _)| !name.is_empty()).ok_or_else(|| {
                    Error::InvalidRequest(format!(
                        "Syntax error - can't find = in \"{pair}\". Must be of the form: name=value"
                    ))
                })?;
            Ok((name.to_owned(), value.to_owned()))
        })
        .collect()
}

/// Words between blanks; quotes hold together, a backslash takes the next character as it is.
fn words(text: &str) -> Vec<String> {
    let (mut all, mut word, mut quote) = (Vec::new(), None::<String>, None);
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match (c, quote) {
            ('\\', None | Some('"')) => word.get_or_insert_default().extend(chars.next()),
            (c, Some(open)) if c == open => quote = None,
            ('"' | '\'', None) => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (c, None) if c.is_whitespace() => all.extend(word.take()),
            (c, _) => word.get_or_insert_default().push(c),
        }
    }
    all.extend(word);
    all
}

fn beneath(folder: &str, path: &str) -> String {
    let joined = std::path::Path::new("/").join(folder).join(path);
    joined.to_string_lossy().into_owned()
}

/// `NONE`, or `[--interval=5s …] CMD command`.
fn health(rest: &str) -> Result<HealthConfig, Error> {
    let invalid = |why: String| Error::InvalidRequest(format!("HEALTHCHECK: {why}"));
    let mut health = HealthConfig::default();
    let mut rest = rest;
    while let Some(flag) = rest.strip_prefix("--") {
        let (flag, after) = flag.split_once(char::is_whitespace).unwrap_or((flag, ""));
        let (name, value) = flag.split_once('=').ok_or_else(|| invalid(format!("--{flag} has no value")))?;
        let time = || go_duration::parse(value).ok_or_else(|| invalid(format!("invalid duration {value:?}")));
        match name {
            "interval" => health.interval = Some(time()?),
            "timeout" => health.timeout = Some(time()?),
            "start-period" => health.start_period = Some(time()?),
            "start-interval" => health.start_interval = Some(time()?),
            "retries" => {
                let number = value.parse().map_err(|_| invalid(format!("invalid number {value:?}")))?;
                health.retries = Some(number);
            }
            _ => return Err(invalid(format!("unknown flag: {name}"))),
        }
        rest = after.trim_start();
    }
    let (kind, command) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    health.test = Some(match (kind.to_ascii_uppercase().as_str(), command.trim()) {
        ("NONE", "") => vec!["NONE".to_owned()],
        ("CMD", command) if !command.is_empty() => match exec_form(command) {
            Some(list) => [vec!["CMD".to_owned()], list].concat(),
            None => vec!["CMD-SHELL".to_owned(), command.to_owned()],
        },
        _ => return Err(invalid("a command is needed, or NONE".to_owned())),
    });
    Ok(health)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(lines: &[&str]) -> Config {
        let lines: Vec<String> = lines.iter().map(|&line| line.to_owned()).collect();
        let mut config = Config::default();
        apply(&mut config, &lines).unwrap();
        config
    }

    #[test]
    fn commands_are_lists_or_lines_for_the_shell() {
        let config = changed(&[r#"CMD ["a", "b"]"#, "ENTRYPOINT run it"]);
        assert_eq!(config.cmd.unwrap().0, ["a", "b"]);
        assert_eq!(config.entrypoint.unwrap().0, ["/bin/sh", "-c", "run it"]);
    }

    #[test]
    fn pairs_are_quoted_or_old() {
        let config =
            changed(&[r#"ENV A=1 B="two words""#, "env C three words", "LABEL x=y", "EXPOSE 80 53/udp"]);
        assert_eq!(config.env, ["A=1", "B=two words", "C=three words"]);
        assert_eq!(config.labels["x"], "y");
        assert!(config.exposed_ports.unwrap().keys().eq(["53/udp", "80/tcp"]));
    }

    #[test]
    fn a_health_check_has_flags() {
        let health = changed(&["HEALTHCHECK --interval=1m30s --retries=2 CMD true"]).healthcheck.unwrap();
        assert_eq!((health.interval, health.retries), (Some(90_000_000_000), Some(2)));
        assert_eq!(health.test.unwrap(), ["CMD-SHELL", "true"]);
    }

    #[test]
    fn what_changes_files_is_refused() {
        let mut config = Config::default();
        assert!(apply(&mut config, &["RUN rm -rf /".to_owned()]).is_err());
        assert!(apply(&mut config, &["ENV".to_owned()]).is_err());
    }
}
