//! Namespaces that are shared with another container or the machine, and what can't be asked for beside.

use crate::Error;
use crate::container::config::Config;
use crate::container::host_config::HostConfig;

/// Checks a container's description as the user gave it, nothing of the image in it, in Docker's words and order.
pub(super) fn check(config: &Config, host: &HostConfig) -> Result<(), Error> {
    let refuse = |text: String| Err(Error::InvalidRequest(text));
    if let Some(conflict) = conflict(config, host) {
        return refuse(format!("conflicting options: {conflict}"));
    }
    if host.network_mode == "container" || host.network_mode == "container:" {
        return refuse("invalid network mode: invalid container format container:<name|id>".to_owned());
    }
    let shared = |mode: &str| mode.strip_prefix("container:").is_some_and(|name| !name.is_empty());
    for (mode, kind, own) in [
        (&host.ipc_mode, "IPC", &["", "none", "private", "shareable", "host"][..]),
        (&host.pid_mode, "PID", &["", "host"]),
    ] {
        if !shared(mode) && !own.contains(&mode.as_str()) {
            return refuse(format!("invalid {kind} mode: {mode}"));
        }
    }
    if !matches!(host.uts_mode.as_str(), "" | "host") {
        return refuse(format!("invalid UTS mode: {}", host.uts_mode));
    }
    if !matches!(host.cgroupns_mode.as_str(), "" | "private" | "host") {
        return refuse(format!("invalid cgroup namespace mode: {}", host.cgroupns_mode));
    }
    if !matches!(host.userns_mode.as_str(), "" | "host") {
        return refuse(format!("invalid user namespace mode: {}", host.userns_mode));
    }
    Ok(())
}

/// The first wish that the network's or the host name's sharing rules out.
fn conflict(config: &Config, host: &HostConfig) -> Option<&'static str> {
    let joins = host.network_mode.starts_with("container:");
    let any = |list: &Option<Vec<String>>| list.as_ref().is_some_and(|list| !list.is_empty());
    let exposes = config.exposed_ports.as_ref().is_some_and(|ports| !ports.is_empty());
    let publishes = host.publish_all_ports || !host.port_bindings.is_empty();
    let in_host = host.network_mode == "host";
    [
        (joins && !config.hostname.is_empty(), "hostname and the network mode"),
        (
            joins && any(&host.links),
            "container type network can't be used with links. This would result in undefined behavior",
        ),
        (joins && !host.dns.is_empty(), "dns and the network mode"),
        (joins && any(&host.extra_hosts), "custom host-to-IP mapping and the network mode"),
        (joins && publishes, "port publishing and the container type network mode"),
        (joins && exposes, "port exposing and the container type network mode"),
        (host.uts_mode == "host" && !config.hostname.is_empty(), "hostname and the UTS mode"),
        (
            in_host && any(&host.links),
            "host type networking can't be used with links. This would result in undefined behavior",
        ),
    ]
    .into_iter()
    .find_map(|(is_asked, conflict)| is_asked.then_some(conflict))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(config: Config, host: HostConfig) -> String {
        check(&config, &host).unwrap_err().to_string()
    }

    #[test]
    fn what_another_containers_network_rules_out_is_refused() {
        let joins = || HostConfig { network_mode: "container:web".to_owned(), ..HostConfig::default() };
        check(&Config::default(), &joins()).unwrap();
        let named = Config { hostname: "x".to_owned(), ..Config::default() };
        assert_eq!(refusal(named, joins()), "conflicting options: hostname and the network mode");
        let publishing = HostConfig { publish_all_ports: true, ..joins() };
        let expected = "conflicting options: port publishing and the container type network mode";
        assert_eq!(refusal(Config::default(), publishing), expected);
    }

    #[test]
    fn a_mode_that_no_namespace_has_is_refused_by_its_kind() {
        let ipc = HostConfig { ipc_mode: "foo".to_owned(), ..HostConfig::default() };
        assert_eq!(refusal(Config::default(), ipc), "invalid IPC mode: foo");
        let pid = HostConfig { pid_mode: "container:".to_owned(), ..HostConfig::default() };
        assert_eq!(refusal(Config::default(), pid), "invalid PID mode: container:");
    }
}
