//! What creation refuses: wishes that make no sense, and wishes that this engine can't honour. Nothing is
//! silently ignored.

mod endpoints;
mod modes;

use crate::Error;
use crate::container::config::Config;
use crate::container::host_config::HostConfig;
use crate::container::resources::{Resources, ThrottleDevice};
use crate::host_paths::HostPaths;
use crate::signal::Signal;
use crate::{health, log_options, spec};

pub(crate) use endpoints::endpoint;

const NO_COMMAND: &str = "no command specified";

/// Checks that there is an image. Without one it is told what else is missing, as Docker does.
pub(crate) fn has_image(config: &Config) -> Result<(), Error> {
    if !config.image.is_empty() {
        return Ok(());
    }
    let text = if *config == Config::default() {
        "config cannot be empty in order to create a container"
    } else if is_without_command(config) {
        NO_COMMAND
    } else {
        "no image specified: a container needs one in \"Image\""
    };
    Err(Error::InvalidRequest(text.to_owned()))
}

/// Checks what the user wrote, before anything of the image or the engine's settings is added.
pub(crate) fn asked(config: &Config, host: &HostConfig) -> Result<(), Error> {
    modes::check(config, host)?;
    if !matches!(host.isolation.as_str(), "" | "default") {
        let isolation = &host.isolation;
        return Err(Error::InvalidRequest(format!(
            "invalid isolation ({isolation}): linux only supports 'default'"
        )));
    }
    Ok(())
}

/// Checks a container's description.
pub(crate) fn container(config: &Config, host: &HostConfig, paths: &HostPaths) -> Result<(), Error> {
    let invalid = |text: String| Err(Error::InvalidRequest(text));
    if is_without_command(config) {
        return invalid(NO_COMMAND.to_owned());
    }
    if config.env.iter().any(|entry| entry.starts_with('=') || entry.is_empty()) {
        return invalid(format!("invalid environment variable: {}", config.env.join(" ")));
    }
    if !config.working_dir.is_empty() && !config.working_dir.starts_with('/') {
        return invalid(format!(
            "the working directory '{}' is invalid, it needs to be an absolute path",
            config.working_dir
        ));
    }
    if let Some(signal) = &config.stop_signal {
        Signal::parse(signal)?;
    }
    if let Some(health) = &config.healthcheck {
        health::check(health)?;
    }
    if config.hostname.len() > 63 || config.hostname.contains(['/', ' ']) {
        return invalid(format!("invalid hostname format: {}", config.hostname));
    }
    restart_policy(host)?;
    log_options::check(&host.log_config)?;
    spec::check_resources(&host.resources)?;
    spec::check_security(host)?;
    spec::check_ulimits(&host.resources.ulimits)?;
    if !(-1000..=1000).contains(&host.oom_score_adj) {
        return invalid(format!(
            "Invalid value {}, range for oom score adj is [-1000, 1000]",
            host.oom_score_adj
        ));
    }
    if host.annotations.iter().flatten().any(|(name, _)| name.is_empty()) {
        return invalid(
            "invalid Annotations: the empty string is not permitted as an annotation key".to_owned(),
        );
    }
    if host.shm_size < 0 {
        return invalid("SHM size can not be less than 0".to_owned());
    }
    if let Some(server) = host.dns.iter().find(|server| server.parse::<std::net::IpAddr>().is_err()) {
        return invalid(format!("invalid DNS address: {server}"));
    }
    storage(host)?;
    unsupported(host)?;
    crate::container::mounts::check(host, paths)
}

fn is_without_command(config: &Config) -> bool {
    [&config.entrypoint, &config.cmd].into_iter().flatten().all(|words| words.0.is_empty())
}

/// Checks what an update would make of a container.
pub(crate) fn update(host: &HostConfig) -> Result<(), Error> {
    restart_policy(host)?;
    spec::check_resources(&host.resources)
}

fn restart_policy(host: &HostConfig) -> Result<(), Error> {
    let policy = &host.restart_policy;
    let refuse = |text: String| Err(Error::InvalidRequest(text));
    match policy.name.as_str() {
        "no" | "always" | "unless-stopped" if policy.maximum_retry_count > 0 => refuse(
            "invalid restart policy: maximum retry count can only be used with 'on-failure'".to_owned(),
        ),
        "on-failure" if policy.maximum_retry_count < 0 => {
            refuse("invalid restart policy: maximum retry count cannot be negative".to_owned())
        }
        "" | "no" | "always" | "unless-stopped" | "on-failure" => {
            if host.auto_remove && !matches!(policy.name.as_str(), "" | "no") {
                return refuse("can't create 'AutoRemove' container with restart policy".to_owned());
            }
            Ok(())
        }
        other => refuse(format!(
            "invalid restart policy: unknown policy '{other}'; use one of 'no', 'always', 'on-failure', or \
             'unless-stopped'"
        )),
    }
}

fn storage(host: &HostConfig) -> Result<(), Error> {
    let text = match host.storage_opt.iter().flatten().map(|(name, _)| name.as_str()).next() {
        None => return Ok(()),
        Some("size") => {
            "--storage-opt is supported only for overlay over xfs with 'pquota' mount option".to_owned()
        }
        Some(name) => format!("Unknown option {name}"),
    };
    Err(Error::InvalidRequest(text))
}

fn unsupported(host: &HostConfig) -> Result<(), Error> {
    let refuse = |field| Err(Error::Unsupported { field });
    match () {
        () if !host.cgroup.is_empty() => refuse("Cgroup"),
        () if !matches!(host.runtime.as_str(), "" | "berth" | "runc") => {
            Err(Error::InvalidRequest(format!("unknown or invalid runtime name: {}", host.runtime)))
        }
        () => Ok(()),
    }
}

/// Takes away what Linux or cgroup v2 can't do on any machine, and weights that this kernel lacks; says so in Docker's
/// words.
pub(crate) fn discard(resources: &mut Resources, controllers: &[String]) -> Vec<String> {
    let mut warnings = Vec::new();
    if !controllers.iter().any(|controller| controller == "io.weight") {
        if std::mem::take(&mut resources.blkio_weight) > 0 {
            warnings.push(
                "Your kernel does not support Block I/O weight or the cgroup is not mounted. Weight discarded."
                    .to_owned(),
            );
        }
        if resources.blkio_weight_device.take().is_some_and(|devices| !devices.is_empty()) {
            warnings.push(
                "Your kernel does not support Block I/O weight_device or the cgroup is not mounted. Weight-device \
                 discarded."
                    .to_owned(),
            );
        }
    }
    if resources.memory_swappiness.take().is_some_and(|value| value >= 0) {
        warnings.push(
            "Your kernel does not support memory swappiness capabilities or the cgroup is not mounted. Memory \
             swappiness discarded."
                .to_owned(),
        );
    }
    if resources.oom_kill_disable == Some(true) {
        resources.oom_kill_disable = None;
        warnings.push("Your kernel does not support OomKillDisable. OomKillDisable discarded.".to_owned());
    }
    if std::mem::take(&mut resources.cpu_percent) > 0 {
        warnings.push("linux does not support CPU percent. Percent discarded.".to_owned());
    }
    warnings
}

/// A limit: its controller, whether it is asked for, and what Docker says where it doesn't hold.
type Limit = (&'static str, bool, &'static str);

/// Which wished limits don't hold on this machine, in Docker's words.
pub(crate) fn warnings(resources: &Resources, controllers: &[String]) -> Vec<String> {
    let missing = |name: &str| !controllers.iter().any(|controller| controller == name);
    [memory_limits(resources), processor_limits(resources), block_limits(resources)]
        .concat()
        .into_iter()
        .filter(|(controller, asked, _)| *asked && missing(controller))
        .map(|(_, _, what)| format!("Your kernel does not support {what}"))
        .collect()
}

fn memory_limits(resources: &Resources) -> Vec<Limit> {
    vec![
        (
            "memory",
            resources.memory > 0,
            "memory limit capabilities or the cgroup is not mounted. Limitation discarded.",
        ),
        (
            "memory",
            resources.memory_swap > 0,
            "swap limit capabilities or the cgroup is not mounted. Memory limited without swap.",
        ),
        (
            "memory",
            resources.memory_reservation > 0,
            "memory soft limit capabilities or the cgroup is not mounted. Limitation discarded.",
        ),
    ]
}

fn processor_limits(resources: &Resources) -> Vec<Limit> {
    let pids = resources.pids_limit.is_some_and(|limit| limit > 0);
    let quota = resources.nano_cpus > 0 || resources.cpu_quota > 0 || resources.cpu_period > 0;
    let cpuset = !resources.cpuset_cpus.is_empty() || !resources.cpuset_mems.is_empty();
    vec![
        ("pids", pids, "pids limit capabilities or the cgroup is not mounted. PIDs limit discarded."),
        ("cpu", quota, "CPU CFS scheduler. Period or quota discarded."),
        ("cpu", resources.cpu_shares > 0, "CPU shares or the cgroup is not mounted. Shares discarded."),
        ("cpuset", cpuset, "cpuset or the cgroup is not mounted. Cpuset discarded."),
    ]
}

fn block_limits(resources: &Resources) -> Vec<Limit> {
    let rates = [
        (
            &resources.blkio_device_read_bps,
            "BPS Block I/O read limit or the cgroup is not mounted. Block I/O BPS read limit discarded.",
        ),
        (
            &resources.blkio_device_write_bps,
            "BPS Block I/O write limit or the cgroup is not mounted. Block I/O BPS write limit discarded.",
        ),
        (
            &resources.blkio_device_read_iops,
            "IOPS Block read limit or the cgroup is not mounted. Block I/O IOPS read limit discarded.",
        ),
        (
            &resources.blkio_device_write_iops,
            "IOPS Block write limit or the cgroup is not mounted. Block I/O IOPS write limit discarded.",
        ),
    ];
    let asked = |devices: &Option<Vec<ThrottleDevice>>| devices.as_ref().is_some_and(|list| !list.is_empty());
    rates.map(|(devices, what)| ("io.max", asked(devices), what)).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_without_its_controller_is_a_warning() {
        let resources = Resources { memory: 64 << 20, ..Resources::default() };
        assert_eq!(warnings(&resources, &[]).len(), 1);
        assert!(warnings(&resources, &["memory".to_owned()]).is_empty());
    }
}
