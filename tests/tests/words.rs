//! What can't be done is refused in Docker's own words: clients and people's scripts look for them. Each was seen of
//! dockerd 28.5.2 with the same command.

use e2e::condition::eventually;
use e2e::engine::Engine;
use serde_json::{Value, json};

/// The client's exit code when the engine refuses to make or to start a container.
const REFUSED: i32 = 125;

/// Runs `docker words`, split at spaces, and looks for a refusal.
fn refused(engine: &Engine, code: i32, words: &str, expected: &str) {
    let args: Vec<&str> = words.split(' ').collect();
    let said = engine.docker(&args);
    assert!(said.code == code && said.err.contains(expected), "docker {words}: {said:?}, not {expected:?}");
}

#[test]
fn a_container_that_makes_no_sense_is_refused_in_dockers_words() {
    let Some(engine) = Engine::with_busybox() else { return };
    engine.ok(&["run", "-d", "--name", "web", "busybox", "sleep", "1000"]);
    let processors = engine.get("/info")["NCPU"].as_u64().unwrap();
    let range = format!("range of CPUs is from 0.01 to {processors}.00, as there are only {processors} CPUs");
    for (options, expected) in [
        ("--cpus 1000", range.as_str()),
        ("--cpus -1", &range),
        ("--cpuset-cpus 99", "Requested CPUs are not available - requested 99, available: 0"),
        ("--cpuset-cpus abc", "Invalid value abc for cpuset cpus: invalid format: abc"),
        ("--network nosuch", "failed to set up container networking: network nosuch not found"),
        ("--network container:nosuch", "joining network namespace of container: No such container: nosuch"),
        ("--network container:web --hostname x", "conflicting options: hostname and the network mode"),
        (
            "--network container:web -p 80:80",
            "conflicting options: port publishing and the container type network mode",
        ),
        (
            "--network host --ip 1.2.3.4",
            "invalid config for network host: invalid endpoint settings:\n* user",
        ),
        ("--ipc foo", "invalid IPC mode: foo"),
        ("--ipc container:web", "failed to join IPC namespace: container"),
        ("--pid container:nosuch", "No such container: nosuch"),
        ("--cap-add NOSUCH", "invalid CapAdd: unknown capability: \"CAP_NOSUCH\""),
        ("--cpu-shares -1", "invalid CPU shares (-1): value must be a positive integer"),
        ("--cpus 0.1 --cpu-quota 5000", "Conflicting options: Nano CPUs and CPU Quota cannot both be set"),
        ("--gpus all", "could not select device driver \"\" with capabilities: [[gpu]]"),
        ("--annotation =x", "invalid Annotations: the empty string is not permitted as an annotation key"),
        ("--security-opt foo=bar", "invalid --security-opt 2: \"foo=bar\""),
        ("--security-opt writable-cgroups=maybe", "invalid --security-opt 2: \"writable-cgroups=maybe\""),
        ("--link :", "could not get container for : invalid name or ID supplied: \"\""),
        ("--link nosuch:", "could not get container for nosuch: No such container: nosuch"),
        ("--storage-opt foo=bar", "Unknown option foo"),
        ("--user 99999999999", "uids and gids must be in range 0-2147483647"),
        ("--stop-signal FOO", "invalid signal: FOO"),
        ("--log-driver nosuch", "error looking up logging plugin nosuch: plugin \"nosuch\" not found"),
        ("--isolation foo", "invalid isolation (foo): linux only supports 'default'"),
        (
            "--network host --sysctl net.ipv4.ip_forward=1",
            "sysctl \"net.ipv4.ip_forward\" not allowed in host network namespace",
        ),
    ] {
        refused(&engine, REFUSED, &format!("run --rm {options} busybox true"), expected);
    }
    let options = "--device-read-bps /dev/nosuch:1mb";
    refused(&engine, 127, &format!("run --rm {options} busybox true"), ": stat /dev/nosuch: no such file or");
    let discarded = engine.docker(&["run", "--rm", "--network", "host", "-p", "80:80", "busybox", "true"]);
    let expected = "WARNING: Published ports are discarded when using host network mode";
    assert!(discarded.code == 0 && discarded.err.contains(expected), "{discarded:?}");
}

#[test]
fn a_mount_that_makes_no_sense_is_refused_in_dockers_words() {
    let Some(engine) = Engine::with_busybox() else { return };
    engine.ok(&["create", "--name", "web", "busybox"]);
    for (options, expected) in [
        (
            "--mount type=tmpfs,src=/y,dst=/x",
            "invalid mount config for type \"tmpfs\": field Source must not",
        ),
        (
            "--mount type=bind,src=/etc,dst=/x,bind-propagation=foo",
            "invalid mount config for type \"bind\": invalid propagation mode: foo",
        ),
        ("-v /a:/b:ro,rw", "invalid mode: ro,rw"),
        ("-v /a:/b:slave,private", "invalid mode: slave,private"),
        (
            "-v vv:/x:shared",
            "'vv:/x:shared': invalid mount config for type \"volume\": field BindOptions must",
        ),
        (
            "-v /a:/x:nocopy",
            "'/a:/x:nocopy': invalid mount config for type \"bind\": field VolumeOptions must",
        ),
        (
            "-v /a:b",
            "invalid mount config for type \"bind\": invalid mount path: 'b' mount path must be absolute",
        ),
        (
            "-v /a:/",
            "invalid mount config for type \"bind\": invalid specification: destination can't be '/'",
        ),
        ("--tmpfs /", "invalid specification: destination can't be '/'"),
        ("--tmpfs x", "invalid mount path: 'x' mount path must be absolute"),
        ("--tmpfs /x:foo=bar", "invalid tmpfs option \"foo\""),
        ("--mount type=foo,dst=/x", "invalid mount config for type \"foo\": mount type unknown"),
        (
            "--mount type=volume,dst=x",
            "invalid mount config for type \"volume\": invalid mount path: 'x' mount path must be absolute",
        ),
        ("--mount type=volume,src=vv,dst=/x,volume-opt=foo=bar", "create vv: invalid option: \"foo\""),
        ("--volumes-from nosuch", "No such container: nosuch"),
        ("--volumes-from web:xx", "invalid mode: xx"),
    ] {
        refused(&engine, REFUSED, &format!("run --rm {options} busybox true"), expected);
    }
}

#[test]
fn an_exec_that_makes_no_sense_is_refused_in_dockers_words() {
    let Some(engine) = Engine::with_busybox() else { return };
    engine.ok(&["run", "-d", "--name", "web", "busybox", "sleep", "1000"]);
    for (words, expected) in [
        ("exec -u 99999999999 web ls", "uids and gids must be in range 0-2147483647"),
        (
            "exec -d web nosuch",
            "OCI runtime exec failed: exec failed: unable to start container process: exec: \"no",
        ),
        ("exec -u nosuch web ls", "unable to find user nosuch: no matching entries in passwd file"),
    ] {
        refused(&engine, 1, words, expected);
    }
    for (code, words, expected) in [
        (127, "exec -w /nosuch web ls", "chdir to cwd (\"/nosuch\") set in config.json failed: no such file"),
        (
            127,
            "exec -w /etc/passwd web ls",
            "failed: not a directory: Are you trying to mount a directory onto",
        ),
        (
            128,
            "exec -w relative web ls",
            "OCI runtime exec failed: exec failed: Cwd must be an absolute path",
        ),
        (127, "exec -t web nosuch", "exec: \"nosuch\": executable file not found in $PATH"),
        (126, "exec web /etc", "exec: \"/etc\": is a directory: permission denied"),
    ] {
        let said = engine.docker(&words.split(' ').collect::<Vec<_>>());
        assert!(
            said.code == code && said.out.contains(expected),
            "docker {words}: {said:?}, not {expected:?}"
        );
    }
    assert_eq!(engine.inspect("web", ".ExecIDs"), "[]", "what could not start isn't there");
}

#[test]
fn a_verb_that_makes_no_sense_is_refused_in_dockers_words() {
    let Some(engine) = Engine::with_busybox() else { return };
    engine.ok(&["create", "--name", "slow", "--cpu-quota", "5000", "busybox", "true"]);
    engine.ok(&["run", "-d", "--name", "web", "busybox", "sleep", "1000"]);
    for (words, expected) in [
        ("rename web web", "Renaming a container with the same name as its current name"),
        ("rename web !", "Error when allocating new name: Invalid container name"),
        ("kill nosuch", "cannot kill container: nosuch: No such container: nosuch"),
        ("kill -s FOO web", "cannot kill container: web: invalid signal: FOO"),
        ("kill -s 99 web", "cannot kill container: web: the linux daemon does not support signal 99"),
        (
            "update --cpus 0.1 slow",
            "Conflicting options: Nano CPUs cannot be updated as CPU Quota has already been",
        ),
        ("update --cpus 0.1 slow", "Error response from daemon: Cannot update container "),
        (
            "rmi busybox",
            "conflict: unable to remove repository reference \"busybox\" (must force) - container",
        ),
        ("import -c FOO /etc/hostname imp", "FOO is not a valid change command"),
        (
            "ps --filter status=foo",
            "invalid filter 'status=foo': invalid value for state (foo): must be one of",
        ),
        ("ps --filter exited=x", "invalid filter 'exited=x': strconv.Atoi: parsing \"x\": invalid syntax"),
        ("ps --filter health=foo", "invalid value for health (foo): must be one of none, starting, healthy"),
        ("ps --filter is-task=foo", "invalid filter 'is-task=[foo]'"),
        ("ps --filter publish=foo", "error while looking up for publish foo: strconv.ParseUint"),
        ("container prune -f --filter until=foo", "failed to parse value as time or duration: \"foo\""),
        ("network create --subnet 10.0.0.0/33 wide", "invalid network config:\ninvalid subnet 10.0.0.0/33"),
        ("network create --driver nosuch n", "plugin \"nosuch\" not found"),
        (
            "network connect host web",
            "cannot connect container to host network - container must be created in",
        ),
        ("volume create x", "create x: volume name is too short, names should be at least two alphanumeric"),
        ("volume create --driver nosuch vv", "create vv: error looking up volume plugin nosuch: plugin"),
        ("volume create --opt foo=bar vv", "create vv: invalid option: \"foo\""),
        ("push nosuch", "An image does not exist locally with the tag: nosuch"),
        ("search --limit 1000 foo", "limit 1000 is outside the range of [1, 100]"),
        ("builder prune -f --filter unknown=x", "failed to prune build cache: invalid filter 'unknown'"),
        (
            "builder prune -f --filter until=x",
            "failed to prune build cache: \"until\" filter expects a duration (e.g., '24h') or a timestamp: failed to \
             parse value as time or duration: \"x\"",
        ),
        (
            "builder prune -f --filter until=1h --filter unused-for=1h",
            "failed to prune build cache: conflicting filters: \"until\" and \"unused-for\"",
        ),
        (
            "builder prune -f --filter id=a --filter id=b",
            "failed to prune build cache: filters expect only one value",
        ),
    ] {
        refused(&engine, 1, words, expected);
    }
    refused(&engine, 1, "rm -f -l web", "Conflict, cannot remove the default link name of the container");
    refused(&engine, 1, "restart -s FOO web", "Cannot restart container web: invalid signal: FOO");
    refused(&engine, 1, "cp web:/etc/passwd/x -", "lstat /etc/passwd/x: not a directory");
    let exposed = engine.docker(&["commit", "-c", "EXPOSE foo", "web"]);
    assert!(exposed.err.contains("Invalid containerPort: foo"), "{exposed:?}");
    engine.ok(&["network", "create", "own"]);
    engine.ok(&["network", "connect", "own", "web"]);
    refused(
        &engine,
        1,
        "network rm own",
        "error while removing network: network own has active endpoints (name:\"web\" id:\"",
    );
    engine.ok(&["pause", "web"]);
    refused(&engine, 1, "pause web", "is already paused");
    refused(&engine, 1, "exec web ls", "Container web is paused, unpause the container before exec");
    engine.ok(&["unpause", "web"]);
    engine.ok(&["run", "--rm", "-v", "held:/v", "--name", "holder", "-d", "busybox", "sleep", "1000"]);
    refused(&engine, 1, "volume rm held", "remove held: volume is in use - [");
    // What is in use goes on without its name when that is wanted by force.
    assert_eq!(engine.ok(&["rmi", "-f", "busybox"]), "Untagged: busybox:latest");
    assert_eq!(engine.ok(&["exec", "web", "echo", "here"]), "here");
}

#[test]
fn a_request_that_makes_no_sense_is_refused_in_dockers_words() {
    let Some(engine) = Engine::with_busybox() else { return };
    engine.ok(&["run", "-d", "--name", "web", "busybox", "sleep", "1000"]);
    let image = |name: &str| json!({ "Image": name, "HostConfig": {} });
    for (method, path, body, status, expected) in [
        (
            "POST",
            "/containers/create",
            json!({}),
            400,
            "config cannot be empty in order to create a container",
        ),
        (
            "POST",
            "/containers/create",
            image(""),
            400,
            "config cannot be empty in order to create a container",
        ),
        ("POST", "/containers/create", json!({ "Tty": true }), 400, "no command specified"),
        (
            "POST",
            "/containers/create?name=/",
            image("busybox"),
            400,
            "Invalid container name (/), only [a-zA",
        ),
        ("POST", "/containers/web/resize", Value::Null, 400, "invalid resize height \"\""),
        ("POST", "/containers/web/resize?h=70000&w=1", Value::Null, 400, "invalid resize height \"70000\""),
        ("POST", "/commit", Value::Null, 400, "invalid name or ID supplied: \"\""),
        (
            "GET",
            "/events?since=5&until=1",
            Value::Null,
            400,
            "`since` time (5) cannot be after `until` time (1)",
        ),
        ("POST", "/containers/web/checkpoints", Value::Null, 501, "checkpoints are not supported"),
    ] {
        let (code, answer) = engine.call(method, path, &body);
        let message = answer["message"].as_str().unwrap_or_default();
        assert!(code == status && message.contains(expected), "{method} {path} {body}: {code} {answer}");
    }
    let (_, exec) = engine.call("POST", "/containers/web/exec", &json!({ "Cmd": ["true"] }));
    let path = format!("/exec/{}", exec["Id"].as_str().unwrap());
    let start = || engine.call("POST", &format!("{path}/start"), &json!({ "Detach": true }));
    assert_eq!(start().0, 200);
    eventually("the exec ends", || engine.get(&format!("{path}/json"))["ExitCode"].as_i64());
    assert!(engine.get(&format!("{path}/json"))["Pid"].as_i64().unwrap() > 0, "its process is still told");
    let (code, again) = start();
    assert!(code == 409 && again["message"].as_str().unwrap().ends_with(" has already run"), "{again}");
}

#[test]
fn what_is_shown_is_written_as_docker_writes_it() {
    let Some(engine) = Engine::with_busybox() else { return };
    engine.ok(&["run", "--name", "box", "busybox", "sh", "-c", "echo a line"]);
    let command = engine.ok(&["ps", "-a", "--no-trunc", "--format", "{{.Command}}", "--filter", "name=box"]);
    assert_eq!(command, "\"sh -c 'echo a line'\"");
    assert_eq!(engine.ok(&["logs", "--since", "2999-01-01T00:00:00Z", "box"]), "");
    assert_eq!(engine.ok(&["logs", "--until", "2999-01-01T00:00:00Z", "box"]), "a line");
    engine.ok(&["create", "--name", "with", "-e", "Z=1", "busybox", "true"]);
    engine.ok(&["commit", "-c", "ENV A=1", "with", "made:1"]);
    let env = engine.ok(&["image", "inspect", "--format", "{{json .Config.Env}}", "made:1"]);
    assert!(env.find("Z=1") < env.find("A=1") && env.contains("Z=1"), "{env}");
    let none = ["events", "--since", "1", "--until", "1s", "--filter", "daemon=nosuch"];
    assert_eq!(engine.ok(&none), "");
}

#[test]
fn an_update_warns_of_what_it_asks_for_itself() {
    let Some(engine) = Engine::with_busybox() else { return };
    let swappiness = "Your kernel does not support memory swappiness capabilities";
    let made = engine.docker(&[
        "create",
        "--name",
        "box",
        "--memory-swappiness",
        "10",
        "--memory",
        "64m",
        "busybox",
    ]);
    assert!(made.err.contains(swappiness), "{made:?}");
    let said = engine.docker(&["update", "--restart", "on-failure:3", "box"]);
    assert_eq!((said.code, said.out.trim(), said.err.trim()), (0, "box", ""), "it asks for no limit");
}

#[test]
fn a_weight_that_the_kernel_lacks_is_discarded_with_dockers_warning() {
    let Some(engine) = Engine::native_with_busybox() else { return };
    let run =
        |option: &str, value: &str| engine.docker(&["run", "--rm", option, value, "busybox", "echo", "ran"]);
    for (option, value, words) in [
        ("--blkio-weight", "300", "Block I/O weight or the cgroup is not mounted. Weight discarded."),
        (
            "--blkio-weight-device",
            "/dev/nosuch:300",
            "Block I/O weight_device or the cgroup is not mounted. Weight-device discarded.",
        ),
    ] {
        let said = run(option, value);
        // A kernel that has weights wants the device, too.
        let is_held = value == "300" || said.err.contains("stat /dev/nosuch: no such file or directory");
        let is_discarded = said.code == 0 && said.err.contains(words);
        assert!(is_discarded || (is_held && !said.err.contains("WARNING")), "{said:?}");
    }
}
