//! From flags to the request that creates the container.

use std::collections::HashMap;

use bollard::models::{
    ContainerCreateBody, DeviceMapping, EndpointIpamConfig, EndpointSettings, HostConfig,
    HostConfigLogConfig, NetworkingConfig, ResourcesUlimits, RestartPolicy, RestartPolicyNameEnum,
};

use super::{Args, environment, mounts, ports};
use crate::failure::Failure;
use crate::terminal;

/// The whole request; what contradicts itself is refused in Docker's words.
pub(super) fn body(args: &Args) -> Result<ContainerCreateBody, Failure> {
    check(args)?;
    let port_bindings = ports::publish(&args.publish)?;
    let mut exposed: Vec<String> = port_bindings.keys().cloned().collect();
    exposed.extend(ports::expose(&args.expose)?);
    let (binds, anonymous) = mounts::volumes(&args.volume)?;
    let mut labels = Vec::new();
    for file in &args.label_file {
        labels.extend(environment::read(file)?);
    }
    labels.extend(args.label.iter().cloned());
    let input = args.attaches("stdin");
    let entrypoint = args.entrypoint.as_ref().map(|program| vec![program.clone()]);
    let mut host_config = host_config(args)?;
    host_config.binds = some(binds);
    host_config.port_bindings = Some(port_bindings);
    Ok(ContainerCreateBody {
        hostname: args.hostname.clone(),
        domainname: args.domainname.clone(),
        user: args.user.clone(),
        attach_stdin: Some(input),
        attach_stdout: Some(args.attaches("stdout")),
        attach_stderr: Some(args.attaches("stderr")),
        exposed_ports: some(exposed),
        tty: Some(args.tty),
        open_stdin: Some(args.interactive),
        stdin_once: Some(input && args.interactive),
        env: some(environment::gather(&args.env, &args.env_file)?),
        cmd: some(args.command.clone()),
        image: Some(args.image.clone()),
        volumes: some(anonymous),
        working_dir: args.workdir.clone(),
        entrypoint,
        labels: Some(labels.iter().map(|label| pair(label)).collect()),
        stop_signal: args.stop_signal.clone(),
        stop_timeout: args.stop_timeout,
        host_config: Some(host_config),
        networking_config: networking(args),
        ..ContainerCreateBody::default()
    })
}

fn check(args: &Args) -> Result<(), Failure> {
    if !["always", "missing", "never"].contains(&args.pull.as_str()) {
        let text = format!(
            "invalid pull option: '{}': must be one of \"always\", \"missing\" or \"never\"",
            args.pull
        );
        return Err(Failure::new(text));
    }
    if args.detach && !args.attach.is_empty() {
        return Err(Failure::new("conflicting options: cannot specify both --attach and --detach").complete());
    }
    if args.rm && args.restart != "no" && !args.restart.is_empty() {
        return Err(Failure::new("conflicting options: cannot specify both --restart and --rm"));
    }
    let streams = ["stdin", "stdout", "stderr"];
    if args.attach.iter().any(|name| !streams.contains(&name.to_lowercase().as_str())) {
        return Err(Failure::new("valid streams are STDIN, STDOUT and STDERR"));
    }
    Ok(())
}

fn host_config(args: &Args) -> Result<HostConfig, Failure> {
    let size = terminal::size().filter(|_| args.tty);
    let (rows, columns) = size.unwrap_or_default();
    Ok(HostConfig {
        network_mode: Some(args.network.clone().unwrap_or_else(|| "default".to_owned())),
        restart_policy: Some(restart(&args.restart)?),
        auto_remove: Some(args.rm),
        mounts: some(args.mount.iter().map(mounts::Wanted::known).collect::<Result<_, _>>()?),
        console_size: Some(vec![rows.into(), columns.into()]),
        volumes_from: some(args.volumes_from.clone()),
        tmpfs: (!args.tmpfs.is_empty()).then(|| mounts::tmpfs(&args.tmpfs)),
        cap_add: some(capabilities(&args.cap_add)),
        cap_drop: some(capabilities(&args.cap_drop)),
        cgroup_parent: args.cgroup_parent.clone(),
        cgroupns_mode: parsed(args.cgroupns.as_deref(), "invalid CGROUP mode")?,
        cpu_period: args.cpu_period,
        cpu_quota: args.cpu_quota,
        cpu_shares: args.cpu_shares,
        nano_cpus: args.cpus,
        cpuset_cpus: args.cpuset_cpus.clone(),
        cpuset_mems: args.cpuset_mems.clone(),
        devices: some(args.device.iter().map(|text| device(text)).collect()),
        dns: some(args.dns.clone()),
        dns_options: some(args.dns_option.clone()),
        dns_search: some(args.dns_search.clone()),
        extra_hosts: some(args.add_host.iter().map(|host| extra_host(host)).collect()),
        group_add: some(args.group_add.clone()),
        init: args.init.then_some(true),
        ipc_mode: args.ipc.clone(),
        log_config: Some(HostConfigLogConfig {
            typ: Some(args.log_driver.clone().unwrap_or_default()),
            config: Some(args.log_opt.iter().map(|option| pair(option)).collect()),
        }),
        memory: args.memory,
        memory_reservation: args.memory_reservation,
        memory_swap: args.memory_swap,
        oom_kill_disable: args.oom_kill_disable.then_some(true),
        oom_score_adj: args.oom_score_adj,
        pid_mode: args.pid.clone(),
        pids_limit: args.pids_limit,
        privileged: Some(args.privileged),
        publish_all_ports: Some(args.publish_all),
        readonly_rootfs: Some(args.read_only),
        runtime: args.runtime.clone(),
        security_opt: some(args.security_opt.clone()),
        shm_size: args.shm_size,
        sysctls: (!args.sysctl.is_empty()).then(|| args.sysctl.iter().map(|option| pair(option)).collect()),
        ulimits: some(args.ulimit.iter().map(|text| ulimit(text)).collect::<Result<_, _>>()?),
        userns_mode: args.userns.clone(),
        uts_mode: args.uts.clone(),
        ..HostConfig::default()
    })
}

/// Nothing is said of what wasn't asked for.
fn some<T>(list: Vec<T>) -> Option<Vec<T>> {
    (!list.is_empty()).then_some(list)
}

/// As the engine names them: `net_raw` is `CAP_NET_RAW`, `all` is `ALL`. In order, each once.
fn capabilities(given: &[String]) -> Vec<String> {
    let named = given.iter().map(|name| name.trim().to_uppercase());
    let full = named
        .map(|name| if name == "ALL" || name.starts_with("CAP_") { name } else { format!("CAP_{name}") });
    full.collect::<std::collections::BTreeSet<_>>().into_iter().collect()
}

/// `name=value`.
fn pair(text: &str) -> (String, String) {
    let (name, value) = text.split_once('=').unwrap_or((text, ""));
    (name.to_owned(), value.to_owned())
}

fn parsed<T: std::str::FromStr>(text: Option<&str>, complaint: &str) -> Result<Option<T>, Failure> {
    let parse = |text: &str| text.parse().map_err(|_| Failure::new(format!("{complaint}: {text}")));
    text.map(parse).transpose()
}

/// `on-failure:2`.
fn restart(text: &str) -> Result<RestartPolicy, Failure> {
    let (name, count) = text.split_once(':').unwrap_or((text, ""));
    let maximum = if count.is_empty() {
        0
    } else {
        let refused =
            |_| Failure::new("invalid restart policy format: maximum retry count must be an integer");
        count.parse().map_err(refused)?
    };
    let known = name.parse::<RestartPolicyNameEnum>();
    let known = known.map_err(|_| {
        Failure::new(format!("Error response from daemon: invalid restart policy: unknown policy '{name}'; use one of 'no', 'always', 'on-failure', or 'unless-stopped'"))
    })?;
    Ok(RestartPolicy { name: Some(known), maximum_retry_count: Some(maximum) })
}

/// `/dev/a[:/dev/b[:rwm]]`.
fn device(text: &str) -> DeviceMapping {
    let mut parts = text.splitn(3, ':');
    let host = parts.next().unwrap_or_default().to_owned();
    let inside = parts.next().map_or_else(|| host.clone(), str::to_owned);
    let permissions = parts.next().unwrap_or("rwm").to_owned();
    DeviceMapping {
        path_on_host: Some(host),
        path_in_container: Some(inside),
        cgroup_permissions: Some(permissions),
    }
}

/// `name:address`, also written `name=address`, the address perhaps in brackets.
fn extra_host(text: &str) -> String {
    match text.split_once('=').or_else(|| text.split_once(':')) {
        Some((name, address)) => format!("{name}:{}", address.trim_start_matches('[').trim_end_matches(']')),
        None => text.to_owned(),
    }
}

/// `nofile=1024:2048`.
fn ulimit(text: &str) -> Result<ResourcesUlimits, Failure> {
    let refused = || Failure::new(format!("invalid ulimit argument: {text}"));
    let (name, limits) = text.split_once('=').ok_or_else(refused)?;
    let (soft, hard) = limits.split_once(':').unwrap_or((limits, limits));
    let number = |text: &str| text.parse().map_err(|_| refused());
    Ok(ResourcesUlimits { name: Some(name.to_owned()), soft: Some(number(soft)?), hard: Some(number(hard)?) })
}

/// Names and an address of the container in its network.
fn networking(args: &Args) -> Option<NetworkingConfig> {
    let network = args.network.as_ref()?;
    if args.network_alias.is_empty() && args.ip.is_none() {
        return None;
    }
    let endpoint = EndpointSettings {
        aliases: some(args.network_alias.clone()),
        ipam_config: args
            .ip
            .clone()
            .map(|ip| EndpointIpamConfig { ipv4_address: Some(ip), ..EndpointIpamConfig::default() }),
        ..EndpointSettings::default()
    };
    Some(NetworkingConfig { endpoints_config: Some(HashMap::from([(network.clone(), endpoint)])) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Run {
        #[command(flatten)]
        args: Args,
    }

    fn made(words: &[&str]) -> Result<ContainerCreateBody, Failure> {
        body(&Run::try_parse_from([&["run"], words].concat()).unwrap().args)
    }

    #[test]
    fn what_follows_the_image_is_the_containers_own() {
        let body = made(&["-it", "--rm", "-e", "A=1", "busybox", "sh", "-c", "echo", "--rm"]).unwrap();
        assert_eq!(body.cmd.unwrap(), ["sh", "-c", "echo", "--rm"]);
        assert_eq!(body.env.unwrap(), ["A=1"]);
        assert_eq!((body.tty, body.stdin_once), (Some(true), Some(true)));
        assert_eq!(body.host_config.unwrap().auto_remove, Some(true));
    }

    #[test]
    fn a_published_port_is_exposed_too() {
        let body = made(&["-dp", "8080:80", "web"]).unwrap();
        assert_eq!(body.exposed_ports.unwrap(), ["80/tcp"]);
        assert_eq!(body.attach_stdout, Some(false));
    }

    #[test]
    fn contradictions_are_refused() {
        assert!(
            made(&["--rm", "--restart", "always", "a"]).unwrap_err().message().contains("--restart and --rm")
        );
        assert!(made(&["-d", "-a", "stdout", "a"]).is_err());
        assert!(made(&["--ulimit", "nofile", "a"]).is_err());
    }
}
