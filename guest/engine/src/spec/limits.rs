//! Limits: from Docker's numbers to the runtime specification's. The runtime turns them into cgroup v2's.

use std::collections::BTreeSet;

use oci_spec::runtime::{
    LinuxBlockIoBuilder, LinuxCpuBuilder, LinuxDeviceCgroup, LinuxDeviceCgroupBuilder, LinuxDeviceType,
    LinuxMemoryBuilder, LinuxPidsBuilder, LinuxResources, LinuxResourcesBuilder, LinuxThrottleDevice,
    LinuxThrottleDeviceBuilder, LinuxWeightDevice, LinuxWeightDeviceBuilder,
};

use super::mounts;
use crate::Error;
use crate::container::record::Record;
use crate::container::resources::{Resources, ThrottleDevice, WeightDevice};

/// `NanoCpus` of one processor.
const NANO_CPU: i64 = 1_000_000_000;
/// The processors and the memory nodes that the kernel has, as ranges (`0-3`).
const ONLINE_CPUS: &str = "/sys/devices/system/cpu/online";
const ONLINE_MEMORY: &str = "/sys/devices/system/node/online";

/// Microseconds of a CPU period when `NanoCpus` says how much of it.
const PERIOD: u64 = 100_000;

/// Devices that every container may use, by major and minor number; no minor number is all of them.
const DEVICES: &[(i64, Option<i64>)] = &[
    (1, Some(3)),    // null
    (1, Some(5)),    // zero
    (1, Some(7)),    // full
    (1, Some(8)),    // random
    (1, Some(9)),    // urandom
    (5, Some(0)),    // tty
    (5, Some(1)),    // console
    (5, Some(2)),    // ptmx
    (136, None),     // pts
    (10, Some(200)), // tun
];

/// The limits of `record`, and the devices that it may use.
pub(super) fn of(record: &Record) -> Result<LinuxResources, Error> {
    let mut limits = from(&record.host_config.resources)?;
    if !record.host_config.privileged {
        limits.set_devices(Some(devices(&record.host_config.resources)?));
    }
    Ok(limits)
}

/// Nothing but the usual devices and those that the user asked for. Making nodes is harmless: using them isn't.
fn devices(resources: &Resources) -> Result<Vec<LinuxDeviceCgroup>, Error> {
    let rule = LinuxDeviceCgroupBuilder::default;
    let mut rules = vec![rule().allow(false).access("rwm").build()?];
    for kind in [LinuxDeviceType::C, LinuxDeviceType::B] {
        rules.push(rule().allow(true).typ(kind).access("m").build()?);
    }
    for (major, minor) in DEVICES {
        let rule = rule().allow(true).typ(LinuxDeviceType::C).major(*major).access("rwm");
        rules.push(if let Some(minor) = minor { rule.minor(*minor).build()? } else { rule.build()? });
    }
    for wanted in &resources.devices {
        let device = mounts::device(&wanted.path_on_host, &wanted.path_in_container)?;
        let access = if wanted.cgroup_permissions.is_empty() { "rwm" } else { &wanted.cgroup_permissions };
        let rule = rule().allow(true).typ(device.typ()).major(device.major()).minor(device.minor());
        rules.push(rule.access(access).build()?);
    }
    for text in resources.device_cgroup_rules.iter().flatten() {
        rules.push(device_rule(text)?);
    }
    Ok(rules)
}

/// `c 1:3 rwm`: type, numbers (`*` is any), access.
fn device_rule(text: &str) -> Result<LinuxDeviceCgroup, Error> {
    let invalid = || Error::InvalidRequest(format!("invalid device cgroup rule format: '{text}'"));
    let words: Vec<&str> = text.split_whitespace().collect();
    let &[kind, numbers, access] = words.as_slice() else { return Err(invalid()) };
    let kind = match kind {
        "a" => LinuxDeviceType::A,
        "b" => LinuxDeviceType::B,
        "c" => LinuxDeviceType::C,
        _ => return Err(invalid()),
    };
    if access.is_empty() || !access.chars().all(|letter| "rwm".contains(letter)) {
        return Err(invalid());
    }
    let (major, minor) = numbers.split_once(':').ok_or_else(invalid)?;
    let mut rule = LinuxDeviceCgroupBuilder::default().allow(true).typ(kind).access(access);
    if major != "*" {
        rule = rule.major(i64::from(major.parse::<u32>().map_err(|_| invalid())?));
    }
    if minor != "*" {
        rule = rule.minor(i64::from(minor.parse::<u32>().map_err(|_| invalid())?));
    }
    Ok(rule.build()?)
}

/// Rates by device, for block I/O.
fn throttles(devices: Option<&Vec<ThrottleDevice>>) -> Result<Vec<LinuxThrottleDevice>, Error> {
    devices
        .into_iter()
        .flatten()
        .map(|wanted| {
            let (major, minor) = number(&wanted.path)?;
            Ok(LinuxThrottleDeviceBuilder::default().major(major).minor(minor).rate(wanted.rate).build()?)
        })
        .collect()
}

/// Weights by device, for block I/O.
fn weights(devices: Option<&Vec<WeightDevice>>) -> Result<Vec<LinuxWeightDevice>, Error> {
    devices
        .into_iter()
        .flatten()
        .map(|wanted| {
            let (major, minor) = number(&wanted.path)?;
            Ok(LinuxWeightDeviceBuilder::default().major(major).minor(minor).weight(wanted.weight).build()?)
        })
        .collect()
}

/// A device's major and minor number. What isn't a device has none, and the kernel refuses that.
fn number(path: &str) -> Result<(i64, i64), Error> {
    let stat = rustix::fs::stat(path).map_err(|errno| {
        let failed =
            berth_runtime::Error::Path { operation: "stat", path: path.into(), source: errno.into() };
        Error::NoDevice(failed.describe())
    })?;
    Ok((rustix::fs::major(stat.st_rdev).into(), rustix::fs::minor(stat.st_rdev).into()))
}

/// The limits that `resources` asks for; what it leaves unset stays the kernel's.
pub(crate) fn from(resources: &Resources) -> Result<LinuxResources, Error> {
    let positive = |value: i64| u64::try_from(value).ok().filter(|&value| value > 0);
    let mut cpu = LinuxCpuBuilder::default();
    if let Some(shares) = positive(resources.cpu_shares) {
        cpu = cpu.shares(shares);
    }
    if resources.nano_cpus > 0 {
        cpu = cpu.period(PERIOD).quota(resources.nano_cpus / 10_000);
    } else {
        if let Some(period) = positive(resources.cpu_period) {
            cpu = cpu.period(period);
        }
        if resources.cpu_quota != 0 {
            cpu = cpu.quota(resources.cpu_quota);
        }
    }
    if !resources.cpuset_cpus.is_empty() {
        cpu = cpu.cpus(resources.cpuset_cpus.clone());
    }
    if !resources.cpuset_mems.is_empty() {
        cpu = cpu.mems(resources.cpuset_mems.clone());
    }
    let mut memory = LinuxMemoryBuilder::default();
    if resources.memory > 0 {
        // Docker's rule: swap as much as memory unless said otherwise; both counted together.
        let swap = if resources.memory_swap == 0 {
            resources.memory.saturating_mul(2)
        } else {
            resources.memory_swap
        };
        memory = memory.limit(resources.memory).swap(swap);
    }
    if resources.memory_reservation > 0 {
        memory = memory.reservation(resources.memory_reservation);
    }
    let mut builder = LinuxResourcesBuilder::default().cpu(cpu.build()?).memory(memory.build()?);
    if let Some(limit) = resources.pids_limit.filter(|&limit| limit != 0) {
        builder = builder.pids(LinuxPidsBuilder::default().limit(limit).build()?);
    }
    let mut block = LinuxBlockIoBuilder::default()
        .weight_device(weights(resources.blkio_weight_device.as_ref())?)
        .throttle_read_bps_device(throttles(resources.blkio_device_read_bps.as_ref())?)
        .throttle_write_bps_device(throttles(resources.blkio_device_write_bps.as_ref())?)
        .throttle_read_iops_device(throttles(resources.blkio_device_read_iops.as_ref())?)
        .throttle_write_iops_device(throttles(resources.blkio_device_write_iops.as_ref())?);
    if resources.blkio_weight > 0 {
        block = block.weight(resources.blkio_weight);
    }
    builder = builder.block_io(block.build()?);
    Ok(builder.build()?)
}

/// Refuses a set of processors or memory nodes (`0-2,7`) that isn't one, or that this machine doesn't have.
fn check_set(kind: &str, wanted: &str, online: &str) -> Result<(), Error> {
    let Some(numbers) = numbers(wanted) else {
        return Err(Error::InvalidRequest(format!(
            "Invalid value {wanted} for cpuset {kind}: invalid format: {wanted}"
        )));
    };
    // A kernel of one node tells none.
    let available = std::fs::read_to_string(online).unwrap_or_else(|_| "0".to_owned());
    let available = available.trim();
    let there = self::numbers(available).unwrap_or_default();
    if numbers.is_subset(&there) {
        return Ok(());
    }
    let what = if kind == "cpus" { "CPUs" } else { "memory nodes" };
    Err(Error::InvalidRequest(format!(
        "Requested {what} are not available - requested {wanted}, available: {available}"
    )))
}

/// The numbers of a list of ranges; none when it isn't one. The kernel knows no higher one than 8191.
fn numbers(text: &str) -> Option<BTreeSet<u16>> {
    let mut all = BTreeSet::new();
    for part in text.split(',').filter(|part| !part.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (u16, u16) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
        if first > last || last > 8191 {
            return None;
        }
        all.extend(first..=last);
    }
    Some(all)
}

/// Refuses numbers that make no sense, in Docker's words.
pub(crate) fn check(resources: &Resources) -> Result<(), Error> {
    const SMALLEST: i64 = 6 << 20;
    let refuse = |text: &str| Err(Error::InvalidRequest(text.to_owned()));
    if resources.memory != 0 && resources.memory < SMALLEST {
        return refuse("Minimum memory limit allowed is 6MB");
    }
    if resources.memory_swap > 0 && resources.memory == 0 {
        return refuse("You should always set the Memory limit when using Memoryswap limit, see usage");
    }
    if resources.memory > 0 && resources.memory_swap > 0 && resources.memory_swap < resources.memory {
        return refuse("Minimum memoryswap limit should be larger than memory limit, see usage");
    }
    if resources.memory_reservation != 0 && resources.memory_reservation < SMALLEST {
        return refuse("Minimum memory reservation allowed is 6MB");
    }
    if resources.memory_swap < -1 {
        return refuse("the limit of memory and swap can't be negative, but for -1, which is without limit");
    }
    if resources.memory_reservation > 0
        && resources.memory > 0
        && resources.memory < resources.memory_reservation
    {
        return refuse("Minimum memory limit can not be less than memory reservation limit, see usage");
    }
    for (what, value) in [("Period", resources.cpu_period), ("Quota", resources.cpu_quota)] {
        if resources.nano_cpus != 0 && value > 0 {
            return refuse(&format!("Conflicting options: Nano CPUs and CPU {what} cannot both be set"));
        }
    }
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let most = i64::try_from(processors).unwrap_or(i64::MAX).saturating_mul(NANO_CPU);
    if resources.nano_cpus != 0 && !(0..=most).contains(&resources.nano_cpus) {
        return refuse(&format!(
            "range of CPUs is from 0.01 to {processors}.00, as there are only {processors} CPUs available"
        ));
    }
    if resources.cpu_shares < 0 {
        return refuse(&format!(
            "invalid CPU shares ({}): value must be a positive integer",
            resources.cpu_shares
        ));
    }
    let sets =
        [("cpus", &resources.cpuset_cpus, ONLINE_CPUS), ("mems", &resources.cpuset_mems, ONLINE_MEMORY)];
    for (kind, wanted, online) in sets.into_iter().filter(|(_, wanted, _)| !wanted.is_empty()) {
        check_set(kind, wanted, online)?;
    }
    if resources.cpu_period != 0 && !(1_000..=1_000_000).contains(&resources.cpu_period) {
        return refuse(
            "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)",
        );
    }
    if resources.cpu_quota > 0 && resources.cpu_quota < 1_000 {
        return refuse("CPU cfs quota can not be less than 1ms (i.e. 1000)");
    }
    if resources.blkio_weight != 0 && !(10..=1000).contains(&resources.blkio_weight) {
        return refuse("Range of blkio weight is from 10 to 1000");
    }
    if resources.io_maximum_iops != 0 || resources.io_maximum_bandwidth != 0 {
        return refuse(
            "Invalid QoS settings: linux does not support Maximum IO Bandwidth or Maximum IO IOps",
        );
    }
    for rule in resources.device_cgroup_rules.iter().flatten() {
        device_rule(rule)?;
    }
    if let Some(request) = resources.device_requests.iter().flatten().next() {
        let driver = request["Driver"].as_str().unwrap_or_default();
        return Err(Error::InvalidRequest(format!(
            "could not select device driver \"{driver}\" with capabilities: [{}]",
            as_go(&request["Capabilities"])
        )));
    }
    unsupported(resources)
}

/// A list of lists of words as Go prints its insides.
fn as_go(lists: &serde_json::Value) -> String {
    let words = |list: &serde_json::Value| {
        let words: Vec<&str> =
            list.as_array().into_iter().flatten().filter_map(|word| word.as_str()).collect();
        format!("[{}]", words.join(" "))
    };
    lists.as_array().into_iter().flatten().map(words).collect::<Vec<_>>().join(" ")
}

/// Refuses limits that this engine can't hold.
fn unsupported(resources: &Resources) -> Result<(), Error> {
    let field = match () {
        () if resources.cpu_realtime_period != 0 || resources.cpu_realtime_runtime != 0 => {
            "real-time CPU scheduling (cgroup v2 has none)"
        }
        () if resources.cpu_count != 0 => "CpuCount (Windows only)",
        () => return Ok(()),
    };
    Err(Error::Unsupported { field })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_a_cpu_is_half_a_period() {
        let limits = from(&Resources { nano_cpus: 500_000_000, ..Resources::default() }).unwrap();
        let cpu = limits.cpu().as_ref().unwrap();
        assert_eq!((cpu.quota(), cpu.period()), (Some(50_000), Some(100_000)));
    }

    #[test]
    fn a_set_of_processors_is_ranges_of_what_there_is() {
        assert_eq!(numbers("0-2,7").unwrap().into_iter().collect::<Vec<_>>(), [0, 1, 2, 7]);
        assert!(["a", "2-1", "0-99999", "1-"].into_iter().all(|text| numbers(text).is_none()));
        let unknown = Resources { cpuset_cpus: "8000".to_owned(), ..Resources::default() };
        let refused = check(&unknown).unwrap_err().to_string();
        assert!(refused.starts_with("Requested CPUs are not available - requested 8000"), "{refused}");
    }

    #[test]
    fn a_memory_limit_doubles_for_swap_unless_said() {
        let limits = from(&Resources { memory: 64 << 20, ..Resources::default() }).unwrap();
        assert_eq!(limits.memory().as_ref().unwrap().swap(), Some(128 << 20));
    }

    #[test]
    fn a_device_rule_is_a_type_numbers_and_an_access() {
        let rule = device_rule("c 10:* rw").unwrap();
        assert_eq!((rule.major(), rule.minor()), (Some(10), None));
        assert!(
            ["c 10 rw", "x 1:3 r", "c 1:3 z", "c 1:b r"].into_iter().all(|text| device_rule(text).is_err())
        );
    }

    #[test]
    fn limits_of_windows_are_refused_by_name() {
        let speed = check(&Resources { io_maximum_bandwidth: 1, ..Resources::default() }).unwrap_err();
        assert!(speed.to_string().starts_with("Invalid QoS settings"), "{speed}");
        let count = check(&Resources { cpu_count: 2, ..Resources::default() }).unwrap_err();
        assert!(count.to_string().contains("CpuCount"), "{count}");
    }

    #[test]
    fn a_limit_below_six_megabytes_is_refused() {
        assert!(check(&Resources { memory: 4 << 20, ..Resources::default() }).is_err());
    }
}
