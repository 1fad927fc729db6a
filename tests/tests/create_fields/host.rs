//! How a container meets its machine: `HostConfig` without the limits, and the networks.

use e2e::engine::Engine;
use serde_json::json;

use crate::table::{Field, inside, inspect, outside, refused};

pub(crate) fn fields() -> Vec<Field> {
    [lives(), namespaces(), files(), networks(), endpoints(), rights()].concat()
}

fn lives() -> Vec<Field> {
    vec![
        inspect(
            "HostConfig.ContainerIDFile",
            json!({ "HostConfig": { "ContainerIDFile": "/tmp/id" } }),
            ".HostConfig.ContainerIDFile",
            "/tmp/id",
        ),
        outside(
            "HostConfig.LogConfig",
            json!({ "HostConfig": { "LogConfig": { "Type": "none" } } }),
            "echo unseen",
            |engine| engine.docker(&["logs", "field"]).err,
            "Error response from daemon: configured logging driver does not support reading",
        ),
        outside(
            "HostConfig.RestartPolicy",
            json!({ "HostConfig": { "RestartPolicy": { "Name": "on-failure", "MaximumRetryCount": 1 } } }),
            "false",
            |engine| engine.inspect("field", ".RestartCount"),
            "1",
        ),
        outside(
            "HostConfig.AutoRemove",
            json!({ "HostConfig": { "AutoRemove": true } }),
            "true",
            |engine| engine.ok(&["ps", "--all", "--quiet"]),
            "",
        ),
        inside(
            "HostConfig.ConsoleSize",
            json!({ "Tty": true, "HostConfig": { "ConsoleSize": [33, 77] } }),
            "stty size",
            "33 77",
        ),
        inspect(
            "HostConfig.Annotations",
            json!({ "HostConfig": { "Annotations": { "a": "b" } } }),
            ".HostConfig.Annotations",
            "map[a:b]",
        ),
        inside(
            "HostConfig.Init",
            json!({ "HostConfig": { "Init": true } }),
            "cat /proc/1/comm",
            "docker-init",
        ),
        refused("HostConfig.Runtime", json!({ "HostConfig": { "Runtime": "kata" } }), "kata"),
        refused(
            "HostConfig.Isolation",
            json!({ "HostConfig": { "Isolation": "hyperv" } }),
            "invalid isolation (hyperv)",
        ),
    ]
}

fn namespaces() -> Vec<Field> {
    vec![
        inside(
            "HostConfig.CgroupnsMode",
            json!({ "HostConfig": { "CgroupnsMode": "host" } }),
            "grep -c '^0::/.' /proc/self/cgroup",
            "1",
        ),
        inside(
            "HostConfig.IpcMode",
            json!({ "HostConfig": { "IpcMode": "none" } }),
            "grep -c ' /dev/shm ' /proc/mounts",
            "0",
        ),
        inside(
            "HostConfig.PidMode",
            json!({ "HostConfig": { "PidMode": "host" } }),
            "test $$ -ne 1 && echo others",
            "others",
        ),
        outside(
            "HostConfig.UTSMode",
            json!({ "HostConfig": { "UTSMode": "host" } }),
            "hostname",
            |engine| {
                let host = engine.ok(&["info", "--format", "{{.Name}}"]);
                if engine.ok(&["logs", "field"]) == host { "the host's name".to_owned() } else { host }
            },
            "the host's name",
        ),
        refused(
            "HostConfig.UsernsMode",
            json!({ "HostConfig": { "UsernsMode": "other" } }),
            "invalid user namespace mode",
        ),
        refused("HostConfig.Cgroup", json!({ "HostConfig": { "Cgroup": "other" } }), "Cgroup"),
        inside(
            "HostConfig.Sysctls",
            json!({ "HostConfig": { "Sysctls": { "kernel.msgmax": "4096" } } }),
            "cat /proc/sys/kernel/msgmax",
            "4096",
        ),
        inside(
            "HostConfig.ShmSize",
            json!({ "HostConfig": { "ShmSize": 1_048_576 } }),
            "grep /dev/shm /proc/mounts | grep -o size=1024k",
            "size=1024k",
        ),
    ]
}

fn files() -> Vec<Field> {
    vec![
        inside(
            "HostConfig.Binds",
            json!({ "HostConfig": { "Binds": ["fields:/data:ro"] } }),
            "touch /data/x 2>&1 | grep -o 'Read-only'",
            "Read-only",
        ),
        refused(
            "HostConfig.VolumeDriver",
            json!({ "HostConfig": { "VolumeDriver": "nope", "Binds": ["field-of-nope:/data"] } }),
            "nope",
        ),
        outside(
            "HostConfig.VolumesFrom",
            json!({ "HostConfig": { "Mounts": [{ "Type": "volume", "Target": "/shared" }] } }),
            "echo kept > /shared/file; sleep 1000",
            |engine| {
                let read = ["run", "--rm", "--network", "none", "--volumes-from", "field"];
                engine.docker(&[&read[..], &["busybox", "cat", "/shared/file"]].concat()).out
            },
            "kept",
        ),
        inside(
            "HostConfig.Mounts",
            json!({ "HostConfig": { "Mounts": [
                { "Type": "tmpfs", "Target": "/t", "TmpfsOptions": { "SizeBytes": 1_048_576 } }
            ] } }),
            "grep ' /t ' /proc/mounts | grep -o size=1024k",
            "size=1024k",
        ),
        inside(
            "HostConfig.Mounts.TmpfsOptions.Options",
            json!({ "HostConfig": { "Mounts": [
                { "Type": "tmpfs", "Target": "/t", "TmpfsOptions": { "Options": [["exec"], ["uid", "7"]] } }
            ] } }),
            "grep ' /t ' /proc/mounts | grep -v noexec | grep -o uid=7",
            "uid=7",
        ),
        inside(
            "HostConfig.Mounts.ImageOptions.Subpath",
            json!({ "HostConfig": { "Mounts": [
                { "Type": "image", "Source": "busybox", "Target": "/t", "ImageOptions": { "Subpath": "bin" } }
            ] } }),
            "test -x /t/busybox && touch /t/new 2>&1 | grep -o 'Read-only'",
            "Read-only",
        ),
        inside(
            "HostConfig.Tmpfs",
            json!({ "HostConfig": { "Tmpfs": { "/t": "size=1m" } } }),
            "grep ' /t ' /proc/mounts | grep -o size=1024k",
            "size=1024k",
        ),
        refused(
            "HostConfig.StorageOpt",
            json!({ "HostConfig": { "StorageOpt": { "size": "1G" } } }),
            "--storage-opt is supported only for",
        ),
        inside(
            "HostConfig.ReadonlyRootfs",
            json!({ "HostConfig": { "ReadonlyRootfs": true } }),
            "touch /x 2>&1 | grep -o 'Read-only'",
            "Read-only",
        ),
        inside(
            "HostConfig.MaskedPaths",
            json!({ "HostConfig": { "MaskedPaths": ["/etc/passwd"] } }),
            "wc -c < /etc/passwd",
            "0",
        ),
        inside(
            "HostConfig.ReadonlyPaths",
            json!({ "HostConfig": { "ReadonlyPaths": ["/srv"] } }),
            "touch /srv/x 2>&1 | grep -o 'Read-only'",
            "Read-only",
        ),
    ]
}

fn networks() -> Vec<Field> {
    let on_bridge = |more: serde_json::Value| {
        let mut host = json!({ "NetworkMode": "bridge" });
        for (key, value) in more.as_object().into_iter().flatten() {
            host[key] = value.clone();
        }
        json!({ "HostConfig": host })
    };
    vec![
        inside("HostConfig.NetworkMode", on_bridge(json!({})), "ls /sys/class/net | grep -o eth0", "eth0"),
        outside(
            "HostConfig.PortBindings",
            on_bridge(
                json!({ "PortBindings": { "80/tcp": [{ "HostIp": "127.0.0.1", "HostPort": "18080" }] } }),
            ),
            "sleep 1000",
            |engine| engine.ok(&["port", "field"]),
            "80/tcp -> 127.0.0.1:18080",
        ),
        outside(
            "HostConfig.PublishAllPorts",
            json!({ "ExposedPorts": { "81/tcp": {} }, "HostConfig": { "NetworkMode": "bridge", "PublishAllPorts": true } }),
            "sleep 1000",
            |engine| {
                engine
                    .ok(&["port", "field"])
                    .lines()
                    .next()
                    .map(|line| line[..9].to_owned())
                    .unwrap_or_default()
            },
            "81/tcp ->",
        ),
        inside(
            "HostConfig.Dns",
            on_bridge(json!({ "Dns": ["192.0.2.1"] })),
            "grep -o 'nameserver 192.0.2.1' /etc/resolv.conf",
            "nameserver 192.0.2.1",
        ),
        inside(
            "HostConfig.DnsOptions",
            on_bridge(json!({ "DnsOptions": ["ndots:3"] })),
            "grep -o ndots:3 /etc/resolv.conf",
            "ndots:3",
        ),
        inside(
            "HostConfig.DnsSearch",
            on_bridge(json!({ "DnsSearch": ["example.test"] })),
            "grep -o 'search example.test' /etc/resolv.conf",
            "search example.test",
        ),
        inside(
            "HostConfig.ExtraHosts",
            on_bridge(json!({ "ExtraHosts": ["other:192.0.2.7"] })),
            "grep -o '192.0.2.7.*other' /etc/hosts | tr '\\t' ' '",
            "192.0.2.7 other",
        ),
        outside(
            "HostConfig.Links",
            on_bridge(json!({})),
            "sleep 1000",
            |engine| {
                let run = ["run", "--rm", "--link", "field:near", "busybox", "sh", "-c"];
                engine.docker(&[&run[..], &["grep -o near /etc/hosts | head -1"]].concat()).out
            },
            "near",
        ),
    ]
}

/// Of a network that the row makes for itself.
fn endpoints() -> Vec<Field> {
    vec![
        outside(
            "NetworkingConfig.IPAMConfig",
            json!({}),
            "sleep 1000",
            |engine| {
                on_network(
                    engine,
                    &json!({ "IPAMConfig": { "IPv4Address": "10.97.3.77" } }),
                    "ip -4 -o addr show eth0 | grep -o 10.97.3.77",
                )
            },
            "10.97.3.77",
        ),
        outside(
            "NetworkingConfig.MacAddress",
            json!({}),
            "sleep 1000",
            |engine| {
                on_network(
                    engine,
                    &json!({ "MacAddress": "02:42:0a:61:03:09" }),
                    "cat /sys/class/net/eth0/address",
                )
            },
            "02:42:0a:61:03:09",
        ),
        outside(
            "NetworkingConfig.Aliases",
            json!({}),
            "sleep 1000",
            |engine| {
                on_network(
                    engine,
                    &json!({ "Aliases": ["also"] }),
                    "ping -c 1 -w 5 also > /dev/null && echo found",
                )
            },
            "found",
        ),
        outside(
            "NetworkingConfig.Links",
            json!({}),
            "sleep 1000",
            |engine| {
                on_network(
                    engine,
                    &json!({ "Links": ["field-peer:near"] }),
                    "ping -c 1 -w 5 near > /dev/null && echo found",
                )
            },
            "found",
        ),
        outside(
            "NetworkingConfig.DriverOpts",
            json!({}),
            "sleep 1000",
            |engine| {
                on_network(
                    engine,
                    &json!({ "DriverOpts": { "com.docker.network.endpoint.ifname": "lan0" } }),
                    "ls /sys/class/net | grep -o lan0",
                )
            },
            "lan0",
        ),
        outside(
            "NetworkingConfig.GwPriority",
            json!({}),
            "sleep 1000",
            |engine| on_network(engine, &json!({ "GwPriority": 7 }), "ip route | grep -c '^default'"),
            "1",
        ),
    ]
}

/// What `script` prints in a container whose place in a network of its own is `wish`; a peer stands beside it.
fn on_network(engine: &Engine, wish: &serde_json::Value, script: &str) -> String {
    engine.docker(&["network", "create", "--subnet", "10.97.3.0/24", "fields"]);
    engine.docker(&[
        "run",
        "--detach",
        "--network",
        "fields",
        "--name",
        "field-peer",
        "busybox",
        "sleep",
        "1000",
    ]);
    let body = json!({
        "Image": "busybox", "Cmd": ["sh", "-c", script], "HostConfig": { "NetworkMode": "fields" },
        "NetworkingConfig": { "EndpointsConfig": { "fields": wish } },
    });
    let (status, answer) = engine.call("POST", "/containers/create?name=field-on-network", &body);
    let seen = if status == 201 {
        let said = engine.docker(&["start", "--attach", "field-on-network"]);
        format!("{}{}", said.out, said.err)
    } else {
        answer.to_string()
    };
    engine.docker(&["rm", "--force", "field-on-network", "field-peer"]);
    engine.docker(&["network", "rm", "fields"]);
    seen
}

fn rights() -> Vec<Field> {
    let capabilities = "grep CapEff /proc/self/status | cut -f 2";
    vec![
        inside(
            "HostConfig.CapAdd",
            json!({ "HostConfig": { "CapDrop": ["ALL"], "CapAdd": ["CHOWN"] } }),
            capabilities,
            "0000000000000001",
        ),
        inside(
            "HostConfig.CapDrop",
            json!({ "HostConfig": { "CapDrop": ["ALL"] } }),
            capabilities,
            "0000000000000000",
        ),
        inside(
            "HostConfig.GroupAdd",
            json!({ "HostConfig": { "GroupAdd": ["logs"] } }),
            "id -G | grep -ow 44",
            "44",
        ),
        inside(
            "HostConfig.OomScoreAdj",
            json!({ "HostConfig": { "OomScoreAdj": 500 } }),
            "cat /proc/self/oom_score_adj",
            "500",
        ),
        inside(
            "HostConfig.Privileged",
            json!({ "HostConfig": { "Privileged": true } }),
            "mount -t tmpfs none /srv && echo mounted",
            "mounted",
        ),
        inside(
            "HostConfig.SecurityOpt",
            json!({ "HostConfig": { "SecurityOpt": ["no-new-privileges"] } }),
            "grep NoNewPrivs /proc/self/status | cut -f 2",
            "1",
        ),
        inside(
            "HostConfig.SecurityOpt.writable-cgroups",
            json!({ "HostConfig": { "SecurityOpt": ["writable-cgroups=true"] } }),
            "mkdir /sys/fs/cgroup/below && echo made",
            "made",
        ),
    ]
}
