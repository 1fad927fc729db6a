//! What a container runs: the request's own fields.

use e2e::engine::Engine;
use serde_json::json;

use crate::table::{Field, inside, inspect, outside, warned};

pub(crate) fn fields() -> Vec<Field> {
    [programs(), streams(), lives()].concat()
}

fn programs() -> Vec<Field> {
    vec![
        inside("Hostname", json!({ "Hostname": "box" }), "hostname", "box"),
        inside(
            "Domainname",
            json!({ "Domainname": "example.test" }),
            "cat /proc/sys/kernel/domainname",
            "example.test",
        ),
        inside("User", json!({ "User": "web" }), "id -un", "web"),
        inside("Env", json!({ "Env": ["A=b c"] }), "echo $A", "b c"),
        inside("Cmd", json!({ "Cmd": ["echo", "other"] }), "true", "other"),
        inside("Entrypoint", json!({ "Entrypoint": ["echo"] }), "true", "sh -c true"),
        inside("Image", json!({ "Image": "busybox:latest" }), "test -x /bin/busybox && echo here", "here"),
        inside("Volumes", json!({ "Volumes": { "/v": {} } }), "grep -c ' /v ' /proc/mounts", "1"),
        inside("WorkingDir", json!({ "WorkingDir": "/srv" }), "pwd", "/srv"),
        inside(
            "NetworkDisabled",
            json!({ "NetworkDisabled": true, "HostConfig": { "NetworkMode": "bridge" } }),
            "ls /sys/class/net | grep -c eth",
            "0",
        ),
        inside(
            "MacAddress",
            json!({ "MacAddress": "02:42:ac:11:00:77", "HostConfig": { "NetworkMode": "bridge" } }),
            "cat /sys/class/net/eth0/address",
            "02:42:ac:11:00:77",
        ),
        inspect("OnBuild", json!({ "OnBuild": ["RUN true"] }), ".Config.OnBuild", "[RUN true]"),
        inspect("Labels", json!({ "Labels": { "a": "b" } }), ".Config.Labels", "map[a:b]"),
        inspect("Shell", json!({ "Shell": ["/bin/sh"] }), ".Config.Shell", "[/bin/sh]"),
        warned("ArgsEscaped", json!({ "ArgsEscaped": true }), "ArgsEscaped"),
    ]
}

fn streams() -> Vec<Field> {
    let stdin = "test -p /proc/self/fd/0 && echo pipe";
    vec![
        inspect("AttachStdin", json!({ "AttachStdin": true }), ".Config.AttachStdin", "true"),
        inspect("AttachStdout", json!({ "AttachStdout": true }), ".Config.AttachStdout", "true"),
        inspect("AttachStderr", json!({ "AttachStderr": true }), ".Config.AttachStderr", "true"),
        inside("Tty", json!({ "Tty": true }), "test -t 0 && echo terminal", "terminal"),
        inside("OpenStdin", json!({ "OpenStdin": true }), stdin, "pipe"),
        outside(
            "StdinOnce",
            json!({ "OpenStdin": true, "StdinOnce": true }),
            "cat; echo ended",
            // A client that attaches and goes, with nothing to say.
            |engine| {
                engine.docker(&["attach", "field"]);
                engine.ok(&["logs", "field"])
            },
            "ended",
        ),
        outside(
            "ExposedPorts",
            json!({ "ExposedPorts": { "80/tcp": {} }, "HostConfig": { "NetworkMode": "bridge" } }),
            "sleep 1000",
            |engine| engine.ok(&["ps", "--format", "{{.Ports}}"]),
            "80/tcp",
        ),
    ]
}

fn lives() -> Vec<Field> {
    vec![
        outside(
            "Healthcheck",
            json!({ "Healthcheck": { "Test": ["CMD-SHELL", "true"], "Interval": 100_000_000 } }),
            "sleep 1000",
            |engine| engine.inspect("field", ".State.Health.Status"),
            "healthy",
        ),
        outside(
            "StopSignal",
            json!({ "StopSignal": "SIGUSR1" }),
            "trap 'exit 9' USR1; echo ready; while :; do sleep 0.02; done",
            code_of_a_stop,
            "9",
        ),
        outside(
            "StopTimeout",
            json!({ "StopTimeout": 1 }),
            "trap 'for i in 1 2 3 4 5; do sleep 1; done; exit 9' TERM; echo ready; while :; do sleep 0.02; done",
            code_of_a_stop,
            "137",
        ),
    ]
}

/// Stops the container once it said that it is ready for that; the code it ended with, nothing before.
fn code_of_a_stop(engine: &Engine) -> String {
    if !engine.ok(&["logs", "field"]).contains("ready") {
        return String::new();
    }
    engine.ok(&["stop", "field"]);
    engine.inspect("field", ".State.ExitCode")
}
