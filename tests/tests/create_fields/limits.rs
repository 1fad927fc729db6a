//! What a container may use: the part of `HostConfig` that Docker calls `Resources`.

use serde_json::{Value, json};

use crate::table::{Field, inside, limit, refused, warned};

pub(crate) fn fields() -> Vec<Field> {
    [processors(), memory(), blocks(), devices()].concat()
}

fn host(fields: &Value) -> Value {
    json!({ "HostConfig": fields })
}

fn processors() -> Vec<Field> {
    vec![
        limit(
            "HostConfig.CpuShares",
            host(&json!({ "CpuShares": 512 })),
            "cat /sys/fs/cgroup/cpu.weight",
            "59",
        ),
        limit(
            "HostConfig.CpuPeriod",
            host(&json!({ "CpuPeriod": 50_000, "CpuQuota": 25_000 })),
            "cat /sys/fs/cgroup/cpu.max",
            "25000 50000",
        ),
        limit(
            "HostConfig.CpuQuota",
            host(&json!({ "CpuQuota": 20_000 })),
            "cat /sys/fs/cgroup/cpu.max",
            "20000 100000",
        ),
        limit(
            "HostConfig.NanoCpus",
            host(&json!({ "NanoCpus": 500_000_000 })),
            "cat /sys/fs/cgroup/cpu.max",
            "50000 100000",
        ),
        limit(
            "HostConfig.CpusetCpus",
            host(&json!({ "CpusetCpus": "0" })),
            "cat /sys/fs/cgroup/cpuset.cpus",
            "0",
        ),
        limit(
            "HostConfig.CpusetMems",
            host(&json!({ "CpusetMems": "0" })),
            "cat /sys/fs/cgroup/cpuset.mems",
            "0",
        ),
        refused("HostConfig.CpuRealtimePeriod", host(&json!({ "CpuRealtimePeriod": 1000 })), "real-time"),
        refused("HostConfig.CpuRealtimeRuntime", host(&json!({ "CpuRealtimeRuntime": 1000 })), "real-time"),
        refused("HostConfig.CpuCount", host(&json!({ "CpuCount": 1 })), "CpuCount"),
        warned("HostConfig.CpuPercent", host(&json!({ "CpuPercent": 10 })), "CPU percent"),
        inside(
            "HostConfig.CgroupParent",
            host(&json!({ "CgroupParent": "/berth-fields", "CgroupnsMode": "host" })),
            "grep -c '^0::.*/berth-fields/' /proc/self/cgroup",
            "1",
        ),
        limit("HostConfig.PidsLimit", host(&json!({ "PidsLimit": 20 })), "cat /sys/fs/cgroup/pids.max", "20"),
        inside(
            "HostConfig.Ulimits",
            host(&json!({ "Ulimits": [{ "Name": "nofile", "Soft": 100, "Hard": 200 }] })),
            "ulimit -Sn; ulimit -Hn",
            "100\n200",
        ),
    ]
}

fn memory() -> Vec<Field> {
    vec![
        limit(
            "HostConfig.Memory",
            host(&json!({ "Memory": 67_108_864 })),
            "cat /sys/fs/cgroup/memory.max",
            "67108864",
        ),
        limit(
            "HostConfig.MemorySwap",
            host(&json!({ "Memory": 67_108_864, "MemorySwap": 100_663_296 })),
            "cat /sys/fs/cgroup/memory.swap.max",
            "33554432",
        ),
        limit(
            "HostConfig.MemoryReservation",
            host(&json!({ "MemoryReservation": 33_554_432 })),
            "cat /sys/fs/cgroup/memory.low",
            "33554432",
        ),
        warned("HostConfig.MemorySwappiness", host(&json!({ "MemorySwappiness": 10 })), "swappiness"),
        warned("HostConfig.OomKillDisable", host(&json!({ "OomKillDisable": true })), "OomKillDisable"),
        warned("HostConfig.KernelMemoryTCP", host(&json!({ "KernelMemoryTCP": 4096 })), "KernelMemoryTCP"),
    ]
}

fn blocks() -> Vec<Field> {
    let throttle = |name: &'static str, key: &str, expected: &'static str| {
        let wish = host(&json!({ key: [{ "Path": "/dev/vda", "Rate": 1_048_576 }] }));
        limit(name, wish, "grep -o '[rw][bi]o*ps=1048576' /sys/fs/cgroup/io.max", expected)
    };
    vec![
        limit(
            "HostConfig.BlkioWeight",
            host(&json!({ "BlkioWeight": 300 })),
            "grep -ho '[0-9]*$' /sys/fs/cgroup/io.weight /sys/fs/cgroup/io.bfq.weight 2>/dev/null | head -1",
            "300",
        ),
        limit(
            "HostConfig.BlkioWeightDevice",
            host(&json!({ "BlkioWeightDevice": [{ "Path": "/dev/vda", "Weight": 300 }] })),
            "grep -ho '^[0-9].* 300$' /sys/fs/cgroup/io.bfq.weight | cut -d ' ' -f 2",
            "300",
        ),
        throttle("HostConfig.BlkioDeviceReadBps", "BlkioDeviceReadBps", "rbps=1048576"),
        throttle("HostConfig.BlkioDeviceWriteBps", "BlkioDeviceWriteBps", "wbps=1048576"),
        throttle("HostConfig.BlkioDeviceReadIOps", "BlkioDeviceReadIOps", "riops=1048576"),
        throttle("HostConfig.BlkioDeviceWriteIOps", "BlkioDeviceWriteIOps", "wiops=1048576"),
        refused("HostConfig.IOMaximumIOps", host(&json!({ "IOMaximumIOps": 10 })), "Maximum IO"),
        refused("HostConfig.IOMaximumBandwidth", host(&json!({ "IOMaximumBandwidth": 10 })), "Maximum IO"),
    ]
}

fn devices() -> Vec<Field> {
    let nought =
        json!([{ "PathOnHost": "/dev/null", "PathInContainer": "/dev/nought", "CgroupPermissions": "rwm" }]);
    vec![
        inside(
            "HostConfig.Devices",
            host(&json!({ "Devices": nought })),
            "test -c /dev/nought && echo here",
            "here",
        ),
        inside(
            "HostConfig.DeviceCgroupRules",
            host(&json!({ "DeviceCgroupRules": ["c 10:229 rwm"] })),
            "mknod /x c 10 229; (: < /x) 2>&1 | grep -c 'not permitted'",
            "0",
        ),
        refused(
            "HostConfig.DeviceRequests",
            host(&json!({ "DeviceRequests": [{ "Count": 1, "Capabilities": [["gpu"]] }] })),
            "could not select device driver",
        ),
    ]
}
