//! What containers use, on the wire (API 1.51, `ContainerStatsResponse`).

use berth_engine::stats::{Measured, Sample};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::container::NEVER;
use super::query::flag;

/// `GET /containers/{id}/stats`'s query.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct StatsQuery {
    stream: Option<String>,
    #[serde(rename = "one-shot", deserialize_with = "flag")]
    pub(crate) one_shot: bool,
}

impl StatsQuery {
    /// A stream is wanted unless the query says otherwise.
    pub(crate) fn stream(&self) -> bool {
        let no = |text: &str| {
            matches!(text.trim().to_ascii_lowercase().as_str(), "" | "0" | "no" | "false" | "none")
        };
        !self.stream.as_deref().is_some_and(no)
    }
}

/// One line; of a container that doesn't run, one of zeros.
pub(crate) fn line(measured: &Measured, now: Option<&Sample>, before: Option<&Sample>) -> Vec<u8> {
    let moment =
        |sample: Option<&Sample>| sample.map_or_else(|| NEVER.to_owned(), |sample| sample.at.to_string());
    let mut value = json!({
        "read": moment(now), "preread": moment(before),
        "name": format!("/{}", measured.name()), "id": measured.id,
        "num_procs": 0, "storage_stats": {},
        "pids_stats": now.map_or_else(|| json!({}), pids), "blkio_stats": block_io(now),
        "cpu_stats": cpu(now), "precpu_stats": cpu(before), "memory_stats": now.map_or_else(|| json!({}), memory),
    });
    if let Some(networks) = now.map(networks).filter(|networks| !networks.is_empty()) {
        value["networks"] = Value::Object(networks);
    }
    let mut line = value.to_string().into_bytes();
    line.push(b'\n');
    line
}

fn pids(sample: &Sample) -> Value {
    sample
        .usage
        .pids
        .map_or_else(|| json!({}), |pids| json!({ "current": pids.current, "limit": pids.limit }))
}

fn block_io(sample: Option<&Sample>) -> Value {
    let devices = sample.and_then(|sample| sample.usage.io.as_ref()).into_iter().flatten();
    let entries: Vec<Value> = devices
        .flat_map(|device| {
            let entry = |op: &str, value: u64| {
                json!({ "major": device.major, "minor": device.minor, "op": op, "value": value })
            };
            [entry("read", device.read_bytes), entry("write", device.written_bytes)]
        })
        .collect();
    let bytes = if entries.is_empty() { Value::Null } else { Value::Array(entries) };
    json!({
        "io_service_bytes_recursive": bytes, "io_serviced_recursive": null, "io_queue_recursive": null,
        "io_service_time_recursive": null, "io_wait_time_recursive": null, "io_merged_recursive": null,
        "io_time_recursive": null, "sectors_recursive": null,
    })
}

fn cpu(sample: Option<&Sample>) -> Value {
    let usage = sample.and_then(|sample| sample.usage.cpu).unwrap_or_default();
    // The kernel counts microseconds, Docker nanoseconds.
    let nanoseconds = |microseconds: u64| microseconds.saturating_mul(1000);
    let mut value = json!({
        "cpu_usage": {
            "total_usage": nanoseconds(usage.usage), "usage_in_kernelmode": nanoseconds(usage.system),
            "usage_in_usermode": nanoseconds(usage.user),
        },
        "throttling_data": {
            "periods": usage.periods, "throttled_periods": usage.throttled_periods,
            "throttled_time": nanoseconds(usage.throttled),
        },
    });
    if let Some(sample) = sample {
        value["system_cpu_usage"] = json!(sample.machine_cpu);
        value["online_cpus"] = json!(sample.cpus);
    }
    value
}

/// The limit is the machine's memory where there is none.
fn memory(sample: &Sample) -> Value {
    sample.usage.memory.as_ref().map_or_else(
        || json!({}),
        |memory| {
            json!({
                "usage": memory.current, "stats": memory.details,
                "limit": memory.limit.min(sample.machine_memory),
            })
        },
    )
}

fn networks(sample: &Sample) -> Map<String, Value> {
    let devices = sample.networks.iter().map(|(name, traffic)| {
        let traffic = json!({
            "rx_bytes": traffic.rx_bytes, "rx_packets": traffic.rx_packets, "rx_errors": traffic.rx_errors,
            "rx_dropped": traffic.rx_dropped, "tx_bytes": traffic.tx_bytes, "tx_packets": traffic.tx_packets,
            "tx_errors": traffic.tx_errors, "tx_dropped": traffic.tx_dropped,
        });
        (name.clone(), traffic)
    });
    devices.collect()
}
