//! The program itself: arguments, environment, user, rights.

use oci_spec::runtime::{
    BoxBuilder, PosixRlimit, PosixRlimitBuilder, PosixRlimitType, Process, ProcessBuilder, UserBuilder,
};

use super::{Surroundings, security};
use crate::Error;
use crate::container::record::Record;
use crate::container::resources::Ulimit;
use crate::container::user::{self, Identity};
use crate::exec::ExecConfig;

/// Where programs are looked for when neither image nor user says.
const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Where the small init appears in a container.
pub(super) const INIT: &str = "/sbin/docker-init";

/// The first process of a container.
pub(super) fn of(record: &Record, surroundings: &Surroundings<'_>) -> Result<Process, Error> {
    let config = &record.config;
    let identity = user::find(surroundings.root, &config.user, record.host_config.group_add.as_deref())?;
    let mut args = record.argv();
    if record.host_config.init == Some(true) {
        args.splice(0..0, [INIT.to_owned(), "--".to_owned()]);
    }
    let process = start(record, &identity, config.tty)?
        .args(args)
        .env(environment(record, &identity, config.tty, &[]))
        .cwd(if config.working_dir.is_empty() { "/" } else { &config.working_dir })
        .capabilities(security::capabilities(&record.host_config, identity.uid == 0)?);
    let [rows, columns] = record.host_config.console_size;
    Ok(if config.tty && rows > 0 && columns > 0 {
        let size = BoxBuilder::default().height(rows).width(columns).build()?;
        process.console_size(size).build()?
    } else {
        process.build()?
    })
}

/// A further process in a running container.
pub(crate) fn exec_process(
    record: &Record,
    root: &std::path::Path,
    exec: &ExecConfig,
) -> Result<Process, Error> {
    let user = if exec.user.is_empty() { &record.config.user } else { &exec.user };
    let identity = user::find(root, user, record.host_config.group_add.as_deref())?;
    let mut host = record.host_config.clone();
    host.privileged |= exec.privileged;
    let folder = if exec.working_dir.is_empty() { &record.config.working_dir } else { &exec.working_dir };
    Ok(start(record, &identity, exec.tty)?
        .args(exec.cmd.clone())
        .env(environment(record, &identity, exec.tty, &exec.env))
        .cwd(if folder.is_empty() { "/" } else { folder })
        .capabilities(security::capabilities(&host, identity.uid == 0)?)
        .build()?)
}

/// What both kinds of process share.
fn start(record: &Record, identity: &Identity, terminal: bool) -> Result<ProcessBuilder, Error> {
    let user = UserBuilder::default()
        .uid(identity.uid)
        .gid(identity.gid)
        .additional_gids(identity.all_groups())
        .build()?;
    Ok(ProcessBuilder::default()
        .terminal(terminal)
        .user(user)
        .oom_score_adj(record.host_config.oom_score_adj)
        .rlimits(rlimits(&record.host_config.resources.ulimits)?)
        .no_new_privileges(security::options(&record.host_config)?.no_new_privileges))
}

/// The environment: ours, then the image's and the user's, the later one winning; then the home folder.
fn environment(record: &Record, identity: &Identity, terminal: bool, more: &[String]) -> Vec<String> {
    let mut all = vec![PATH.to_owned(), format!("HOSTNAME={}", record.config.hostname)];
    if terminal {
        all.push("TERM=xterm".to_owned());
    }
    for entry in record.link_env.iter().chain(&record.config.env).chain(more) {
        set(&mut all, entry);
    }
    if !all.iter().any(|entry| entry.starts_with("HOME=")) {
        all.push(format!("HOME={}", identity.home));
    }
    all
}

/// `NAME=value` replaces or adds; `NAME` alone removes.
pub(crate) fn set(all: &mut Vec<String>, entry: &str) {
    let name = entry.split('=').next().unwrap_or(entry);
    let same = |other: &String| other.split('=').next() == Some(name);
    match (entry.contains('='), all.iter().position(same)) {
        (true, Some(index)) => entry.clone_into(&mut all[index]),
        (true, None) => all.push(entry.to_owned()),
        (false, Some(index)) => drop(all.remove(index)),
        (false, None) => {}
    }
}

fn rlimits(ulimits: &[Ulimit]) -> Result<Vec<PosixRlimit>, Error> {
    ulimits.iter().map(rlimit).collect()
}

fn rlimit(ulimit: &Ulimit) -> Result<PosixRlimit, Error> {
    let invalid = || Error::InvalidRequest(format!("invalid ulimit type: {}", ulimit.name));
    let kind: PosixRlimitType =
        format!("RLIMIT_{}", ulimit.name.to_ascii_uppercase()).parse().map_err(|_| invalid())?;
    // -1 is Docker's "unlimited", and all ones is the kernel's.
    let number = |value: i64| u64::try_from(value).unwrap_or(u64::MAX);
    if number(ulimit.soft) > number(ulimit.hard) {
        let (soft, hard) = (ulimit.soft, ulimit.hard);
        return Err(Error::InvalidRequest(format!(
            "ulimit soft limit must be less than or equal to hard limit: {soft} > {hard}"
        )));
    }
    Ok(PosixRlimitBuilder::default().typ(kind).soft(number(ulimit.soft)).hard(number(ulimit.hard)).build()?)
}

/// Refuses ulimits that mean nothing.
pub(crate) fn check_ulimits(ulimits: &[Ulimit]) -> Result<(), Error> {
    rlimits(ulimits).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_later_value_wins_and_a_bare_name_removes() {
        let mut all = vec!["A=1".to_owned(), "B=2".to_owned()];
        set(&mut all, "A=3");
        set(&mut all, "B");
        set(&mut all, "C");
        assert_eq!(all, ["A=3"]);
    }
}
