//! Capabilities, the system call filter, and paths that are hidden or can't be written.

use std::collections::BTreeSet;

use berth_runtime::defaults;
use oci_spec::runtime::{Capabilities, LinuxCapabilities, LinuxCapabilitiesBuilder, LinuxSeccomp};

use crate::container::host_config::HostConfig;
use crate::{Error, log_options};

/// Every capability of Linux 6.12.
const ALL: &[&str] = &[
    "AUDIT_CONTROL",
    "AUDIT_READ",
    "AUDIT_WRITE",
    "BLOCK_SUSPEND",
    "BPF",
    "CHECKPOINT_RESTORE",
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "IPC_LOCK",
    "IPC_OWNER",
    "KILL",
    "LEASE",
    "LINUX_IMMUTABLE",
    "MAC_ADMIN",
    "MAC_OVERRIDE",
    "MKNOD",
    "NET_ADMIN",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_RAW",
    "PERFMON",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYSLOG",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_CHROOT",
    "SYS_MODULE",
    "SYS_NICE",
    "SYS_PACCT",
    "SYS_PTRACE",
    "SYS_RAWIO",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "WAKE_ALARM",
];

/// The capability sets of a container's first process. Without root it keeps them only as what it may regain
/// through set-user-id programs.
pub(super) fn capabilities(host: &HostConfig, is_root: bool) -> Result<LinuxCapabilities, Error> {
    let set = allowed_set(host)?;
    let active = if is_root { set.clone() } else { Capabilities::new() };
    let none = Capabilities::new();
    Ok(LinuxCapabilitiesBuilder::default()
        .bounding(set)
        .effective(active.clone())
        .permitted(active)
        .inheritable(none.clone())
        .ambient(none)
        .build()?)
}

/// What is left after adding and dropping.
fn allowed_set(host: &HostConfig) -> Result<Capabilities, Error> {
    let parsed = |name: &String| name.parse().map_err(|_| unknown("capabilities", name));
    allowed(host)?.iter().map(parsed).collect()
}

/// The names that are left after adding and dropping.
fn allowed(host: &HostConfig) -> Result<BTreeSet<String>, Error> {
    let every = || ALL.iter().map(|&name| name.to_owned());
    if host.privileged {
        return Ok(every().collect());
    }
    let add = wanted("CapAdd", host.cap_add.as_deref())?;
    let drop = wanted("CapDrop", host.cap_drop.as_deref())?;
    let mut names: BTreeSet<String> = if add.contains("ALL") {
        every().collect()
    } else if drop.contains("ALL") {
        BTreeSet::new()
    } else {
        defaults::CAPABILITIES.iter().map(|&name| name.to_owned()).collect()
    };
    names.retain(|name| !drop.contains(name));
    names.extend(add.into_iter().filter(|name| name != "ALL"));
    Ok(names)
}

/// Names without `CAP_`, in upper case; unknown ones are refused.
fn wanted(field: &str, names: Option<&[String]>) -> Result<BTreeSet<String>, Error> {
    let plain = |name: &String| {
        let upper = name.to_ascii_uppercase();
        let plain = upper.strip_prefix("CAP_").unwrap_or(&upper).to_owned();
        if plain == "ALL" || ALL.contains(&plain.as_str()) { Ok(plain) } else { Err(unknown(field, &plain)) }
    };
    names.unwrap_or_default().iter().map(plain).collect()
}

fn unknown(field: &str, name: &str) -> Error {
    Error::InvalidRequest(format!("invalid {field}: unknown capability: \"CAP_{name}\""))
}

/// Checks what creation must refuse: capabilities and security options that mean nothing.
pub(crate) fn check(host: &HostConfig) -> Result<(), Error> {
    allowed(host)?;
    seccomp(host)?;
    options(host).map(|_| ())
}

/// The parsed `--security-opt`.
#[derive(Debug, Default)]
pub(super) struct Options {
    /// No program gains rights by its set-user-id bit.
    pub(super) no_new_privileges: bool,
    /// Whether the cgroup's files can be written; as for any container of its kind when unset.
    pub(super) writable_cgroups: Option<bool>,
    /// /proc and /sys unmasked.
    system_paths_unconfined: bool,
    /// The filter.
    seccomp: Seccomp,
}

#[derive(Debug, Default)]
enum Seccomp {
    #[default]
    Default,
    Unconfined,
    Profile(String),
}

/// Parses `--security-opt`; of what isn't there (SELinux, AppArmor) only the wish to have none of it is taken.
pub(super) fn options(host: &HostConfig) -> Result<Options, Error> {
    let mut options = Options::default();
    for text in host.security_opt.as_deref().unwrap_or_default() {
        let (key, value) = text.split_once('=').or_else(|| text.split_once(':')).unwrap_or((text, ""));
        match (key, value) {
            ("no-new-privileges", _) => options.no_new_privileges = truth(text, value)?,
            ("writable-cgroups", _) => options.writable_cgroups = Some(truth(text, value)?),
            ("systempaths", "unconfined") => options.system_paths_unconfined = true,
            ("seccomp", "unconfined") => options.seccomp = Seccomp::Unconfined,
            ("seccomp", "builtin") => options.seccomp = Seccomp::Default,
            ("seccomp", profile) => options.seccomp = Seccomp::Profile(profile.to_owned()),
            ("apparmor", "unconfined") | ("label", "disable") => {}
            ("apparmor" | "label", _) => {
                return Err(Error::InvalidRequest(format!(
                    "--security-opt {text} can't hold: containers have no AppArmor profiles and no SELinux labels here"
                )));
            }
            _ => return Err(invalid(text)),
        }
    }
    Ok(options)
}

/// The value of the option `text`; its name alone is a yes.
fn truth(text: &str, value: &str) -> Result<bool, Error> {
    if !text.contains(['=', ':']) {
        return Ok(true);
    }
    log_options::is_true(value).map_err(|_| invalid(text))
}

fn invalid(text: &str) -> Error {
    Error::InvalidRequest(format!("invalid --security-opt 2: \"{text}\""))
}

/// The system call filter; none when privileged or unconfined.
pub(super) fn seccomp(host: &HostConfig) -> Result<Option<LinuxSeccomp>, Error> {
    if host.privileged {
        return Ok(None);
    }
    match options(host)?.seccomp {
        Seccomp::Unconfined => Ok(None),
        Seccomp::Default => Ok(Some(berth_runtime::seccomp::default_profile(&allowed_set(host)?))),
        Seccomp::Profile(text) => super::seccomp::parse(&text, &allowed_set(host)?),
    }
}

/// Paths that can't be seen.
pub(super) fn masked_paths(host: &HostConfig) -> Vec<String> {
    paths(host, host.masked_paths.as_ref(), defaults::MASKED_PATHS)
}

/// Paths that can't be written.
pub(super) fn readonly_paths(host: &HostConfig) -> Vec<String> {
    paths(host, host.readonly_paths.as_ref(), defaults::READ_ONLY_PATHS)
}

fn paths(host: &HostConfig, wanted: Option<&Vec<String>>, default: &[&str]) -> Vec<String> {
    let unconfined = host.privileged || options(host).is_ok_and(|options| options.system_paths_unconfined);
    if unconfined {
        return Vec::new();
    }
    wanted.cloned().unwrap_or_else(|| default.iter().map(|&path| path.to_owned()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(add: &[&str], drop: &[&str]) -> BTreeSet<String> {
        let list = |names: &[&str]| Some(names.iter().map(|&name| name.to_owned()).collect());
        allowed(&HostConfig { cap_add: list(add), cap_drop: list(drop), ..HostConfig::default() }).unwrap()
    }

    #[test]
    fn dropping_all_and_adding_one_leaves_one() {
        assert_eq!(names(&["cap_net_admin"], &["ALL"]), BTreeSet::from(["NET_ADMIN".to_owned()]));
    }

    #[test]
    fn adding_all_still_drops_what_is_dropped() {
        let names = names(&["ALL"], &["SYS_ADMIN"]);
        assert!(names.contains("SYS_TIME") && !names.contains("SYS_ADMIN"));
    }

    #[test]
    fn an_unknown_capability_is_refused_by_name() {
        let host = HostConfig { cap_add: Some(vec!["FLY".to_owned()]), ..HostConfig::default() };
        assert!(check(&host).unwrap_err().to_string().contains("FLY"));
    }
}
