//! `--security-opt seccomp=FILE`: Docker's profiles, as its client sends them, become those of the OCI runtime
//! specification. Beyond these they have rules for some capabilities, architectures and kernels alone.

use std::path::PathBuf;

use oci_spec::runtime::{
    Arch, Capabilities, LinuxSeccomp, LinuxSeccompAction, LinuxSeccompArg, LinuxSeccompFilterFlag,
    LinuxSyscall,
};
use serde::Deserialize;

use crate::Error;

/// This machine's architecture in rules, and in profiles' lists.
const ARCHITECTURE: (&str, &str) = if cfg!(target_arch = "aarch64") {
    ("arm64", "SCMP_ARCH_AARCH64")
} else {
    ("amd64", "SCMP_ARCH_X86_64")
};

/// Docker's profile (moby's `profiles/seccomp`).
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Profile {
    default_action: Option<LinuxSeccompAction>,
    default_errno_ret: Option<u32>,
    architectures: Option<Vec<Arch>>,
    arch_map: Option<Vec<Family>>,
    flags: Option<Vec<LinuxSeccompFilterFlag>>,
    listener_path: Option<PathBuf>,
    listener_metadata: Option<String>,
    syscalls: Option<Vec<Rule>>,
}

/// An architecture and those whose programs it runs, too. Text: lists name machines that nobody here has heard of.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Family {
    architecture: String,
    sub_architectures: Option<Vec<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Rule {
    #[serde(default)]
    name: String,
    #[serde(default)]
    names: Option<Vec<String>>,
    action: LinuxSeccompAction,
    errno_ret: Option<u32>,
    args: Option<Vec<LinuxSeccompArg>>,
    includes: Option<Terms>,
    excludes: Option<Terms>,
}

/// When a rule holds, or doesn't.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Terms {
    caps: Option<Vec<String>>,
    arches: Option<Vec<String>>,
    min_kernel: Option<String>,
}

/// Parses a profile for a process whose bounding set is `capabilities`; `None` for one that asks for nothing.
pub(super) fn parse(text: &str, capabilities: &Capabilities) -> Result<Option<LinuxSeccomp>, Error> {
    let profile: Profile = serde_json::from_str(text)
        .map_err(|error| Error::InvalidRequest(format!("Decoding seccomp profile failed: {error}")))?;
    let Some(default) = profile.default_action else {
        return match profile.syscalls {
            Some(rules) if !rules.is_empty() => Err(refused("it has no defaultAction")),
            _ => Ok(None),
        };
    };
    let mut rules = Vec::new();
    for rule in profile.syscalls.unwrap_or_default() {
        if rule.holds(capabilities)? {
            rules.push(rule.into_oci()?);
        }
    }
    let mut seccomp = LinuxSeccomp::default();
    seccomp
        .set_default_action(default)
        .set_default_errno_ret(profile.default_errno_ret)
        .set_architectures(architectures(profile.architectures, profile.arch_map)?)
        .set_flags(profile.flags)
        .set_listener_path(profile.listener_path)
        .set_listener_metadata(profile.listener_metadata)
        .set_syscalls(Some(rules));
    Ok(Some(seccomp))
}

fn architectures(list: Option<Vec<Arch>>, map: Option<Vec<Family>>) -> Result<Option<Vec<Arch>>, Error> {
    let (list, map) = (list.unwrap_or_default(), map.unwrap_or_default());
    if !list.is_empty() && !map.is_empty() {
        return Err(refused("use either 'architectures' or 'archMap'"));
    }
    if map.is_empty() {
        return Ok(Some(list));
    }
    let family = map.into_iter().find(|family| family.architecture == ARCHITECTURE.1).unwrap_or_default();
    let named = |name: &String| {
        serde_json::from_value(name.as_str().into())
            .map_err(|_| refused(&format!("unknown architecture {name}")))
    };
    let subs = family.sub_architectures.unwrap_or_default();
    [ARCHITECTURE.1.to_owned()].iter().chain(&subs).map(named).collect::<Result<_, _>>().map(Some)
}

impl Rule {
    /// Whether it is for this process and this machine.
    fn holds(&self, capabilities: &Capabilities) -> Result<bool, Error> {
        let has = |name: &String| capabilities.iter().any(|capability| is_named(*capability, name));
        if let Some(Terms { caps, arches, min_kernel }) = &self.excludes {
            let is_out = caps.iter().flatten().any(has)
                || arches.iter().flatten().any(|arch| arch == ARCHITECTURE.0)
                || min_kernel.as_deref().map(is_kernel).transpose()?.unwrap_or(false);
            if is_out {
                return Ok(false);
            }
        }
        let Some(Terms { caps, arches, min_kernel }) = &self.includes else { return Ok(true) };
        let is_here =
            |arches: &Vec<String>| arches.is_empty() || arches.iter().any(|it| it == ARCHITECTURE.0);
        Ok(caps.iter().flatten().all(has)
            && arches.as_ref().is_none_or(is_here)
            && min_kernel.as_deref().map(is_kernel).transpose()?.unwrap_or(true))
    }

    fn into_oci(self) -> Result<LinuxSyscall, Error> {
        let mut names = self.names.unwrap_or_default();
        if !self.name.is_empty() {
            if !names.is_empty() {
                return Err(refused("use either 'name' or 'names'"));
            }
            names.push(self.name);
        }
        let mut rule = LinuxSyscall::default();
        rule.set_names(names).set_action(self.action).set_errno_ret(self.errno_ret).set_args(self.args);
        Ok(rule)
    }
}

/// Whether a capability has this name in a profile: `CAP_SYS_ADMIN`.
fn is_named(capability: oci_spec::runtime::Capability, name: &str) -> bool {
    serde_json::to_value(capability).is_ok_and(|own| own == name)
}

/// Whether this kernel's version is at least `wanted`, as in `4.8`; an empty one always is.
fn is_kernel(wanted: &str) -> Result<bool, Error> {
    let version = |text: &str| -> Option<(u32, u32)> {
        let (major, rest) = text.split_once('.')?;
        let digits = rest.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(rest.len());
        Some((major.parse().ok()?, rest[..digits].parse().ok()?))
    };
    let own = rustix::system::uname();
    let own = version(&own.release().to_string_lossy()).unwrap_or_default();
    let wanted = version(wanted).ok_or_else(|| refused(&format!("invalid minKernel {wanted}")))?;
    Ok(own >= wanted)
}

fn refused(reason: &str) -> Error {
    Error::InvalidRequest(format!("invalid seccomp profile: {reason}"))
}

#[cfg(test)]
mod tests {
    use oci_spec::runtime::Capability;

    use super::*;

    fn names(text: &str, capabilities: &[Capability]) -> Vec<String> {
        let profile = parse(text, &capabilities.iter().copied().collect()).unwrap().unwrap();
        profile.syscalls().iter().flatten().flat_map(|rule| rule.names().clone()).collect()
    }

    #[test]
    fn rules_hold_where_their_terms_do() {
        let here = ARCHITECTURE.0;
        let text = format!(
            r#"{{"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [
                {{"names": ["always"], "action": "SCMP_ACT_ALLOW", "comment": "", "includes": {{}}, "excludes": {{}}}},
                {{"name": "alone", "action": "SCMP_ACT_ALLOW", "args": null}},
                {{"names": ["with"], "action": "SCMP_ACT_ALLOW", "includes": {{"caps": ["CAP_SYS_ADMIN"]}}}},
                {{"names": ["without"], "action": "SCMP_ACT_ALLOW", "excludes": {{"caps": ["CAP_SYS_ADMIN"]}}}},
                {{"names": ["here"], "action": "SCMP_ACT_ALLOW", "includes": {{"arches": ["{here}"]}}}},
                {{"names": ["elsewhere"], "action": "SCMP_ACT_ALLOW", "includes": {{"arches": ["s390x"]}}}},
                {{"names": ["not here"], "action": "SCMP_ACT_ALLOW", "excludes": {{"arches": ["{here}"]}}}},
                {{"names": ["new"], "action": "SCMP_ACT_ALLOW", "includes": {{"minKernel": "4.8"}}}},
                {{"names": ["newer"], "action": "SCMP_ACT_ALLOW", "includes": {{"minKernel": "4000.8"}}}}
            ]}}"#
        );
        assert_eq!(names(&text, &[]), ["always", "alone", "without", "here", "new"]);
        assert_eq!(names(&text, &[Capability::SysAdmin]), ["always", "alone", "with", "here", "new"]);
    }

    #[test]
    fn a_family_of_architectures_is_this_machines() {
        let text = r#"{"defaultAction": "SCMP_ACT_ALLOW", "archMap": [
            {"architecture": "SCMP_ARCH_OF_TOMORROW", "subArchitectures": []},
            {"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86", "SCMP_ARCH_X32"]},
            {"architecture": "SCMP_ARCH_AARCH64", "subArchitectures": ["SCMP_ARCH_ARM"]}
        ]}"#;
        let profile = parse(text, &Capabilities::new()).unwrap().unwrap();
        let wanted = if cfg!(target_arch = "aarch64") {
            vec![Arch::ScmpArchAarch64, Arch::ScmpArchArm]
        } else {
            vec![Arch::ScmpArchX86_64, Arch::ScmpArchX86, Arch::ScmpArchX32]
        };
        assert_eq!(profile.architectures().clone(), Some(wanted));
    }

    #[test]
    fn what_contradicts_itself_is_refused() {
        let refused = |text: &str| parse(text, &Capabilities::new()).unwrap_err().to_string();
        let both = r#"{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"name": "a", "names": ["b"], "action": "SCMP_ACT_LOG"}]}"#;
        assert_eq!(refused(both), "invalid seccomp profile: use either 'name' or 'names'");
        assert!(refused("{").starts_with("Decoding seccomp profile failed: "));
        assert!(
            refused(r#"{"syscalls": [{"name": "a", "action": "SCMP_ACT_LOG"}]}"#)
                .ends_with("no defaultAction")
        );
        assert!(parse("{}", &Capabilities::new()).unwrap().is_none());
    }
}
