//! What of a specification isn't supported, each refused by the name of its field.
//!
//! A property that nobody knows is passed over, as the specification demands ("Extensibility").

use oci_spec::runtime::{
    Capabilities, LinuxDeviceCgroup, LinuxDeviceCgroupBuilder, LinuxDeviceType, LinuxNamespaceType,
    LinuxResources, Process, Spec,
};

use crate::error::Error;
use crate::labels;

/// Refuses what can't be done, before anything is made.
pub(super) fn refuse_unsupported(spec: &Spec) -> Result<(), Error> {
    refuse_version(spec.version())?;
    let process = spec.process().as_ref().ok_or_else(|| Error::Refused("process is missing".into()))?;
    refuse_unsupported_process(process)?;
    let root = spec.root().as_ref().ok_or_else(|| Error::Refused("root is missing".into()))?;
    if root.path().as_os_str().is_empty() {
        return Err(Error::Refused("root.path is empty".into()));
    }
    refuse_all(&[
        ("solaris", spec.solaris().is_some()),
        ("windows", spec.windows().is_some()),
        ("vm", spec.vm().is_some()),
        ("zos", spec.zos().is_some()),
    ])?;
    for mount in spec.mounts().iter().flatten() {
        if !mount.destination().is_absolute() {
            let destination = mount.destination().display();
            return Err(Error::Refused(format!("mounts.destination {destination} isn't an absolute path")));
        }
    }
    refuse_linux(spec)
}

/// Refuses what a process can't have.
pub(super) fn refuse_unsupported_process(process: &Process) -> Result<(), Error> {
    if process.args().as_ref().is_none_or(Vec::is_empty) {
        return Err(Error::Refused("process.args is empty".into()));
    }
    if !process.cwd().is_absolute() {
        return Err(Error::Refused("process.cwd isn't an absolute path".into()));
    }
    let is_set = |text: &Option<String>| text.as_ref().is_some_and(|text| !text.is_empty());
    let mut kinds = Vec::new();
    for limit in process.rlimits().iter().flatten() {
        if kinds.contains(&limit.typ()) {
            return Err(Error::Refused(format!("process.rlimits has {} twice", limit.typ())));
        }
        kinds.push(limit.typ());
    }
    if let Some(sets) = process.capabilities() {
        let has = |set: &Option<Capabilities>| set.as_ref().is_some_and(|set| !set.is_empty());
        let others = [sets.effective(), sets.permitted(), sets.inheritable(), sets.ambient()];
        if !has(sets.bounding()) && others.into_iter().any(has) {
            let reason = "process.capabilities.bounding is empty: the other sets can have nothing that isn't in it: \
                 operation not permitted";
            return Err(Error::Refused(reason.into()));
        }
    }
    if labels::wanted(process.selinux_label()).is_some() && !labels::is_selinux_on() {
        let reason = "selinux label is specified in config, but selinux is disabled or not supported";
        return Err(Error::Refused(reason.into()));
    }
    if labels::wanted(process.apparmor_profile()).is_some() && !labels::is_apparmor_on() {
        let reason = "unable to apply apparmor profile: apparmor: config provided but apparmor not supported";
        return Err(Error::Refused(reason.into()));
    }
    refuse_all(&[
        ("process.user.username", is_set(process.user().username())),
        ("process.commandLine", is_set(process.command_line())),
    ])
}

/// Refuses limits that cgroup v2 doesn't have.
pub(super) fn refuse_unsupported_resources(resources: &LinuxResources) -> Result<(), Error> {
    if let Some(memory) = resources.memory() {
        let kernel = memory.kernel();
        refuse_all(&[
            ("linux.resources.memory.kernel", kernel.is_some()),
            ("linux.resources.memory.kernelTCP", memory.kernel_tcp().is_some()),
            ("linux.resources.memory.swappiness", memory.swappiness().is_some()),
            ("linux.resources.memory.disableOOMKiller", memory.disable_oom_killer() == Some(true)),
            ("linux.resources.memory.useHierarchy", memory.use_hierarchy() == Some(false)),
            ("linux.resources.memory.checkBeforeUpdate", memory.check_before_update() == Some(true)),
        ])?;
    }
    if let Some(cpu) = resources.cpu() {
        refuse_all(&[
            (
                "linux.resources.cpu.realtimeRuntime",
                cpu.realtime_runtime().is_some_and(|runtime| runtime != 0),
            ),
            ("linux.resources.cpu.realtimePeriod", cpu.realtime_period().is_some_and(|period| period != 0)),
        ])?;
    }
    if let Some(block) = resources.block_io() {
        let is_leaf = block.weight_device().iter().flatten().any(|device| device.leaf_weight().is_some());
        refuse_all(&[("linux.resources.blockIO.leafWeight", block.leaf_weight().is_some() || is_leaf)])?;
    }
    let network = resources.network().as_ref();
    let has_network = network.is_some_and(|network| {
        network.class_id().is_some_and(|class| class != 0)
            || network.priorities().as_ref().is_some_and(|priorities| !priorities.is_empty())
    });
    refuse_all(&[
        ("linux.resources.network", has_network),
        ("linux.resources.rdma", resources.rdma().as_ref().is_some_and(|rdma| !rdma.is_empty())),
    ])
}

fn refuse_linux(spec: &Spec) -> Result<(), Error> {
    let linux = spec.linux().as_ref().ok_or_else(|| Error::Refused("linux is missing".into()))?;
    refuse_all(&[
        ("linux.intelRdt", linux.intel_rdt().is_some()),
        ("linux.netDevices", linux.net_devices().as_ref().is_some_and(|devices| !devices.is_empty())),
        (
            "linux.personality.flags",
            linux.personality().as_ref().is_some_and(|personality| {
                personality.flags().as_ref().is_some_and(|flags| !flags.is_empty())
            }),
        ),
    ])?;
    let mut kinds = Vec::new();
    for namespace in linux.namespaces().iter().flatten() {
        if kinds.contains(&namespace.typ()) {
            return Err(Error::Refused(format!("linux.namespaces has {} twice", namespace.typ())));
        }
        kinds.push(namespace.typ());
    }
    let has = |kind| kinds.contains(&kind);
    refuse_unless("hostname", spec.hostname().is_none() || has(LinuxNamespaceType::Uts), "uts")?;
    refuse_unless("domainname", spec.domainname().is_none() || has(LinuxNamespaceType::Uts), "uts")?;
    let is_full = |paths: &Option<Vec<String>>| paths.as_ref().is_some_and(|paths| !paths.is_empty());
    if !has(LinuxNamespaceType::Mount) && (is_full(linux.masked_paths()) || is_full(linux.readonly_paths())) {
        let reason = "unable to restrict sys entries without a private MNT namespace";
        return Err(Error::Refused(reason.into()));
    }
    let offsets = linux.time_offsets().as_ref().is_some_and(|offsets| !offsets.is_empty());
    refuse_unless("linux.timeOffsets", !offsets || has(LinuxNamespaceType::Time), "time")?;
    linux.resources().as_ref().map_or(Ok(()), refuse_unsupported_resources)
}

fn refuse_unless(field: &str, is_fine: bool, namespace: &str) -> Result<(), Error> {
    if is_fine {
        return Ok(());
    }
    Err(Error::Refused(format!(
        "{field} needs a {namespace} namespace of the container's own in linux.namespaces"
    )))
}

fn refuse_all(fields: &[(&str, bool)]) -> Result<(), Error> {
    match fields.iter().find(|(_, is_asked)| *is_asked) {
        Some((field, _)) => Err(Error::Refused(format!("{field} isn't supported"))),
        None => Ok(()),
    }
}

fn refuse_version(version: &str) -> Result<(), Error> {
    let mut parts = version.splitn(3, '.');
    let is_number = |part: Option<&str>| part.is_some_and(|part| part.parse::<u32>().is_ok());
    let is_first = parts.next() == Some("1");
    let patch = |part: &str| part.split(['-', '+']).next().is_some_and(|part| part.parse::<u32>().is_ok());
    if is_first && is_number(parts.next()) && parts.next().is_some_and(patch) {
        return Ok(());
    }
    Err(Error::Refused(format!("ociVersion {version:?} isn't one of 1.x")))
}

/// Adds to rules about devices those that every container may use (OCI runtime spec, "Default Devices", and the
/// terminals). A specification without rules keeps everything allowed.
pub(super) fn allow_usual_devices(spec: &mut Spec) {
    let Some(resources) = spec.linux_mut().as_mut().and_then(|linux| linux.resources_mut().as_mut()) else {
        return;
    };
    let Some(rules) = resources.devices().clone().filter(|rules| !rules.is_empty()) else { return };
    // Making nodes is harmless: using them isn't.
    let nodes = [LinuxDeviceType::C, LinuxDeviceType::B].map(|kind| allow(kind, None, None, "m"));
    let usual = USUAL.map(|(major, minor)| allow(LinuxDeviceType::C, Some(major), minor, "rwm"));
    // First the caller's, which begin with the refusal of everything.
    let all = rules.into_iter().chain(nodes.into_iter().chain(usual).flatten());
    resources.set_devices(Some(all.collect()));
}

/// null, zero, full, random, urandom, tty, console, ptmx, every pts.
const USUAL: [(i64, Option<i64>); 9] = [
    (1, Some(3)),
    (1, Some(5)),
    (1, Some(7)),
    (1, Some(8)),
    (1, Some(9)),
    (5, Some(0)),
    (5, Some(1)),
    (5, Some(2)),
    (136, None),
];

fn allow(
    kind: LinuxDeviceType,
    major: Option<i64>,
    minor: Option<i64>,
    access: &str,
) -> Option<LinuxDeviceCgroup> {
    let mut rule = LinuxDeviceCgroupBuilder::default().allow(true).typ(kind).access(access);
    if let Some(major) = major {
        rule = rule.major(major);
    }
    if let Some(minor) = minor {
        rule = rule.minor(minor);
    }
    rule.build().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_the_specification_are_told_apart() {
        for version in ["1.0.0", "1.0.2-dev", "1.2.0", "1.3.0-rc.1+x"] {
            assert!(refuse_version(version).is_ok(), "{version}");
        }
        for version in ["", "1", "1.2", "2.0.0", "0.9.0", "x.y.z"] {
            assert!(refuse_version(version).is_err(), "{version}");
        }
    }
}
