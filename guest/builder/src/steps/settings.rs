//! Instructions that change the configuration alone.

use crate::dockerfile::Instruction;
use crate::history::Style;
use crate::solve::Build;
use crate::state::State;
use crate::{Error, Result, arguments_for};

/// Arguments that need no ARG and don't count for the cache.
pub(super) const PROXIES: [&str; 10] = [
    "HTTP_PROXY",
    "http_proxy",
    "HTTPS_PROXY",
    "https_proxy",
    "FTP_PROXY",
    "ftp_proxy",
    "NO_PROXY",
    "no_proxy",
    "ALL_PROXY",
    "all_proxy",
];

/// Applies a setting.
pub(crate) fn apply(build: &Build, instruction: &Instruction, state: &mut State) -> Result<()> {
    match instruction {
        Instruction::Arg(arguments) => {
            let mut shown = Vec::with_capacity(arguments.len());
            for (name, default) in arguments {
                shown.push(argument(build, name, default.as_deref(), state)?);
            }
            match state.style {
                Style::Classic => shown.iter().for_each(|one| state.note(&format!("ARG {one}"))),
                Style::BuildKit => state.note(&format!("ARG {}", shown.join(" "))),
            }
        }
        Instruction::Cmd(command) => state.set_cmd(command),
        Instruction::Entrypoint(command) => state.set_entrypoint(command),
        Instruction::Env(pairs) => {
            // All see what was set before the instruction, not each other.
            let pairs = expand_pairs(build, pairs, state)?;
            state.note(&format!("ENV {}", joined(&pairs)));
            pairs.iter().for_each(|(name, value)| state.set_env(name, value));
        }
        Instruction::Label(pairs) => {
            let pairs = expand_pairs(build, pairs, state)?;
            state.note(&format!("LABEL {}", joined(&pairs)));
            state.run().labels.extend(pairs);
        }
        Instruction::Expose(words) => expose(build, words, state)?,
        Instruction::Healthcheck(check) => state.set_healthcheck(check),
        Instruction::Maintainer(author) => {
            state.note(&format!("MAINTAINER {author}"));
            state.config.author.clone_from(author);
        }
        Instruction::Onbuild(text) => {
            state.note(&format!("ONBUILD {text}"));
            state.run().on_build.push(text.clone());
        }
        Instruction::Shell(shell) => {
            state.shell.clone_from(shell);
            state.note(&format!("SHELL [{}]", shell.join(" ")));
            state.run().shell = Some(shell.clone());
        }
        Instruction::Stopsignal(signal) => {
            let signal = build.expand(signal, state)?;
            check_signal(&signal)?;
            state.note(&format!("STOPSIGNAL {signal}"));
            state.run().stop_signal = signal;
        }
        Instruction::User(user) => {
            let user = build.expand(user, state)?;
            state.note(&format!("USER {user}"));
            state.run().user = user;
        }
        Instruction::Volume(words) => {
            let mut paths = Vec::new();
            for word in words {
                let path = build.expand(word, state)?;
                if path.trim().is_empty() {
                    return Err(Error::Invalid("VOLUME specified can not be an empty string".to_owned()));
                }
                paths.push(path);
            }
            state.note(&format!("VOLUME [{}]", paths.join(" ")));
            State::add_names(&mut state.run().volumes, paths);
        }
        Instruction::From { .. } | Instruction::Run(_) | Instruction::Copy(_) | Instruction::Workdir(_) => {}
    }
    Ok(())
}

/// Gives an argument its value; how history shows it: the classic builder's without a value that it has from before FROM.
fn argument(build: &Build, name: &str, default: Option<&str>, state: &mut State) -> Result<String> {
    let given = build.options.arguments.get(name).cloned().flatten();
    let default = default.map(|text| build.expand(text, state)).transpose()?;
    let global = || {
        let target = state.config.platform();
        let known = build.plan.globals.iter().rev().find(|(known, _)| known == name);
        let of_platform = arguments_for(&berth_images::Platform::local(), &target);
        let of_platform = of_platform.into_iter().find(|(known, _)| known == name);
        known.cloned().or(of_platform).map(|(_, value)| value)
    };
    let own = given.or(default);
    let value = own.clone().or_else(global);
    let shown = if state.style == Style::Classic { &own } else { &value };
    let shown = shown.as_ref().map_or_else(|| name.to_owned(), |value| format!("{name}={value}"));
    state.set_argument(name, value);
    Ok(shown)
}

fn expand_pairs(build: &Build, pairs: &[(String, String)], state: &State) -> Result<Vec<(String, String)>> {
    pairs.iter().map(|(name, value)| Ok((build.expand(name, state)?, build.expand(value, state)?))).collect()
}

fn joined(pairs: &[(String, String)]) -> String {
    pairs.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ")
}

fn expose(build: &Build, words: &[String], state: &mut State) -> Result<()> {
    let (mut ports, mut written) = (Vec::new(), Vec::new());
    for word in words {
        for text in build.expanded(word, state)?.words {
            ports.extend(port_range(&text)?);
            written.push(text);
        }
    }
    ports.sort();
    written.sort();
    match state.style {
        Style::Classic => state.note(&format!("EXPOSE {}", written.join(" "))),
        Style::BuildKit => state.note(&format!("EXPOSE [{}]", ports.join(" "))),
    }
    State::add_names(&mut state.run().exposed_ports, ports);
    Ok(())
}

/// `80`, `80/udp`, `8000-8010`, also with an address or a host's port that an image can't hold.
fn port_range(text: &str) -> Result<Vec<String>> {
    let invalid = || Error::Invalid(format!("Invalid containerPort: {text}"));
    let (ports, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let protocol = protocol.to_ascii_lowercase();
    if !matches!(protocol.as_str(), "tcp" | "udp" | "sctp") {
        return Err(Error::Invalid(format!("Invalid proto: {protocol}")));
    }
    let ports = ports.rsplit(':').next().unwrap_or(ports);
    let (first, last) = ports.split_once('-').unwrap_or((ports, ports));
    let (first, last): (u16, u16) =
        (first.parse().map_err(|_| invalid())?, last.parse().map_err(|_| invalid())?);
    if first > last || first == 0 {
        return Err(invalid());
    }
    Ok((first..=last).map(|port| format!("{port}/{protocol}")).collect())
}

fn check_signal(signal: &str) -> Result<()> {
    const NAMES: [&str; 31] = [
        "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE",
        "ALRM", "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ",
        "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS",
    ];
    let upper = signal.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    let is_real_time = name.starts_with("RTMIN") || name.starts_with("RTMAX");
    let is_number = signal.parse::<u8>().is_ok_and(|number| (1..=64).contains(&number));
    if is_number || is_real_time || NAMES.contains(&name) {
        return Ok(());
    }
    Err(Error::Invalid(format!("invalid signal: {signal}")))
}
