//! `docker update`: other limits and another restart policy, also while a container runs.

use crate::container::host_config::{HostConfig, RestartPolicy};
use crate::container::resources::Resources;
use crate::container::state::Status;
use crate::{Engine, Error, check, spec};

impl Engine {
    /// Changes a container's limits and restart policy; what `wish` leaves unset stays. Returns warnings.
    ///
    /// # Errors
    /// When the limits make no sense together, or the kernel refuses; nothing is changed then.
    pub async fn update(
        &self,
        name: &str,
        mut wish: Resources,
        restart_policy: Option<RestartPolicy>,
    ) -> Result<Vec<String>, Error> {
        let container = self.containers.find(name)?;
        let _verb = container.verb.lock().await;
        let state = container.state().status;
        if matches!(state, Status::Removing | Status::Dead) {
            let problem =
                format!("container is marked for removal and cannot be \"update\": {}", container.id);
            return Err(cannot(&container.id, &problem));
        }
        // Told is what this update asks for, not what was asked for before.
        let discarded = check::discard(&mut wish, &self.controllers);
        let mut warnings = check::warnings(&wish, &self.controllers);
        warnings.extend(discarded);
        let mut host = container.with(|record| record.host_config.clone());
        merge(&mut host.resources, wish).map_err(|problem| cannot(&container.id, problem))?;
        if let Some(policy) = restart_policy.filter(|policy| !policy.name.is_empty()) {
            if host.auto_remove {
                let problem =
                    "Restart policy cannot be updated because AutoRemove is enabled for the container";
                return Err(cannot(&container.id, problem));
            }
            host.restart_policy = policy;
        }
        check::update(&host)?;
        if state.has_process() {
            let limits = spec::limits(&host.resources)?;
            let cgroup = self.cgroup_of(&container);
            tokio::task::spawn_blocking(move || cgroup.update(&limits)).await??;
        }
        container.change(|record| {
            let HostConfig { resources, restart_policy, .. } = host;
            record.host_config.resources = resources;
            record.host_config.restart_policy = restart_policy;
        })?;
        self.tell(&container, "update");
        Ok(warnings)
    }
}

fn cannot(id: &str, problem: &str) -> Error {
    Error::CannotUpdate(format!("Cannot update container {id}: {problem}"))
}

/// Takes over what `wish` sets, with dockerd's rules for what goes together; else the rule that is broken.
fn merge(own: &mut Resources, wish: Resources) -> Result<(), &'static str> {
    let refuse = Err;
    if wish.nano_cpus > 0 && own.cpu_period > 0 {
        return refuse("Conflicting options: Nano CPUs cannot be updated as CPU Period has already been set");
    }
    if wish.nano_cpus > 0 && own.cpu_quota > 0 {
        return refuse("Conflicting options: Nano CPUs cannot be updated as CPU Quota has already been set");
    }
    if wish.cpu_period > 0 && own.nano_cpus > 0 {
        return refuse("Conflicting options: CPU Period cannot be updated as NanoCPUs has already been set");
    }
    if wish.cpu_quota > 0 && own.nano_cpus > 0 {
        return refuse("Conflicting options: CPU Quota cannot be updated as NanoCPUs has already been set");
    }
    if wish.memory > 0 && wish.memory_swap == 0 && own.memory_swap > 0 && wish.memory > own.memory_swap {
        return refuse(
            "Memory limit should be smaller than already set memoryswap limit, update the memoryswap at the same time",
        );
    }
    for (own, wish) in [
        (&mut own.cpu_shares, wish.cpu_shares),
        (&mut own.cpu_period, wish.cpu_period),
        (&mut own.cpu_quota, wish.cpu_quota),
        (&mut own.nano_cpus, wish.nano_cpus),
        (&mut own.memory, wish.memory),
        (&mut own.memory_swap, wish.memory_swap),
        (&mut own.memory_reservation, wish.memory_reservation),
        (&mut own.cpu_realtime_period, wish.cpu_realtime_period),
        (&mut own.cpu_realtime_runtime, wish.cpu_realtime_runtime),
    ] {
        if wish != 0 {
            *own = wish;
        }
    }
    if wish.blkio_weight != 0 {
        own.blkio_weight = wish.blkio_weight;
    }
    for (own, wish) in [(&mut own.cpuset_cpus, wish.cpuset_cpus), (&mut own.cpuset_mems, wish.cpuset_mems)] {
        if !wish.is_empty() {
            *own = wish;
        }
    }
    if wish.pids_limit.is_some_and(|limit| limit != 0) {
        own.pids_limit = wish.pids_limit;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_unset_stays_and_what_conflicts_is_refused() {
        let mut own = Resources { memory: 64 << 20, cpu_shares: 512, ..Resources::default() };
        merge(&mut own, Resources { memory: 128 << 20, nano_cpus: 5, ..Resources::default() }).unwrap();
        assert_eq!((own.memory, own.cpu_shares, own.nano_cpus), (128 << 20, 512, 5));
        assert!(merge(&mut own, Resources { cpu_quota: 5000, ..Resources::default() }).is_err());
    }
}
