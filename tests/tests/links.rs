//! Links, addresses and other ways of being reached that a user fixes at creation.

use e2e::engine::Engine;

#[test]
fn a_linked_container_has_a_name_and_variables() {
    let Some(engine) = Engine::with_busybox() else { return };
    engine
        .ok(&["run", "-d", "--name", "db", "--expose", "5432", "-e", "SECRET=x", "busybox", "sleep", "1000"]);
    let address = engine.inspect("db", ".NetworkSettings.IPAddress");
    let web = |script: &str| {
        engine.ok(&["run", "--rm", "--name", "web", "--link", "db:store", "busybox", "sh", "-c", script])
    };
    assert!(web("cat /etc/hosts").contains(&format!("{address}\tstore ")));
    let env = web("env");
    for line in [
        "STORE_NAME=/web/store".to_owned(),
        format!("STORE_PORT=tcp://{address}:5432"),
        format!("STORE_PORT_5432_TCP_ADDR={address}"),
        "STORE_ENV_SECRET=x".to_owned(),
    ] {
        assert!(env.lines().any(|found| found == line), "{line}: {env}");
    }
    engine.ok(&["create", "--name", "later", "--link", "db", "busybox", "true"]);
    assert_eq!(engine.inspect("later", "json .HostConfig.Links"), r#"["/db:/later/db"]"#);
    engine.ok(&["kill", "db"]);
    let stopped = engine.docker(&["start", "later"]);
    assert!(stopped.err.contains("Cannot link to a non running container: /db AS /later/db"), "{stopped:?}");
    let missing = engine.docker(&["create", "--link", "nobody", "busybox"]);
    assert!(missing.err.contains("could not get container for nobody"), "{missing:?}");
}

#[test]
fn a_link_in_a_network_of_ones_own_is_a_name_that_follows_the_other() {
    let Some(engine) = Engine::with_busybox() else { return };
    engine.ok(&["network", "create", "--subnet", "10.99.8.0/24", "own"]);
    let own = ["run", "-d", "--network", "own"];
    let db = |address: &str| {
        engine.ok(&[&own[..], &["--name", "db", "--ip", address, "busybox", "sleep", "1000"]].concat())
    };
    db("10.99.8.8");
    engine.ok(&[&own[..], &["--name", "web", "--link", "db:store", "busybox", "sleep", "1000"]].concat());
    let finds =
        |from: &str, address: &str| engine.docker(&["exec", from, "nslookup", "store"]).out.contains(address);
    assert!(finds("web", "10.99.8.8"));
    assert!(!finds("db", "10.99.8.8"), "the name is the linking container's own");
    engine.ok(&["rm", "--force", "db"]);
    db("10.99.8.9");
    assert!(finds("web", "10.99.8.9"));
}

#[test]
fn an_endpoint_has_link_local_addresses_and_settings_of_its_own() {
    let Some(engine) = Engine::with_busybox() else { return };
    engine.ok(&["network", "create", "own"]);
    let connect = |name: &str, more: &[&str]| {
        engine.ok(&["create", "--name", name, "busybox", "sleep", "1000"]);
        let connected = engine.docker(&[&["network", "connect"], more, &["own", name]].concat());
        let started = engine.docker(&["start", name]);
        format!("{}{}", connected.err, started.err)
    };
    let sysctl = "com.docker.network.endpoint.sysctls=net.ipv4.conf.IFNAME.log_martians=1";
    let asked = ["--link-local-ip", "169.254.8.8", "--driver-opt", sysctl, "--driver-opt", "own=x"];
    assert_eq!(connect("asks", &asked), "");
    assert!(engine.ok(&["exec", "asks", "ip", "-o", "addr", "show", "eth1"]).contains("169.254.8.8/16"));
    assert_eq!(engine.ok(&["exec", "asks", "cat", "/proc/sys/net/ipv4/conf/eth1/log_martians"]), "1");
    assert_eq!(engine.inspect("asks", "index .NetworkSettings.Networks.own.DriverOpts \"own\""), "x");
    let said = connect("elsewhere", &["--link-local-ip", "10.0.0.1"]);
    assert!(said.contains("invalid link local IP address: 10.0.0.1"), "{said}");
    let all = "com.docker.network.endpoint.sysctls=net.ipv4.conf.all.forwarding=1";
    let said = connect("everywhere", &["--driver-opt", all]);
    assert!(said.contains("invalid sysctl of an endpoint"), "{said}");
}

#[test]
fn addresses_are_as_asked() {
    let Some(engine) = Engine::with_busybox() else { return };
    engine.ok(&["network", "create", "--subnet", "10.99.7.0/24", "own"]);
    let fixed = ["--network", "own", "--ip", "10.99.7.77", "--mac-address", "02:42:ac:11:00:77"];
    let script = "ip -o addr show eth0; ip link show eth0";
    let shown = engine.ok(&[&["run", "--rm"], &fixed[..], &["busybox", "sh", "-c", script]].concat());
    assert!(shown.contains("10.99.7.77/24") && shown.contains("02:42:ac:11:00:77"), "{shown}");
}

#[test]
fn fields_of_the_machine_take_effect_or_are_refused() {
    let Some(engine) = Engine::with_busybox() else { return };
    let run = |more: &[&str], script: &str| {
        engine
            .docker(&[&["run", "--rm", "--network", "none"], more, &["busybox", "sh", "-c", script]].concat())
    };
    assert_eq!(run(&["--sysctl", "net.ipv4.ip_forward=1"], "cat /proc/sys/net/ipv4/ip_forward").out, "1");
    assert_eq!(run(&["--oom-score-adj", "500"], "cat /proc/self/oom_score_adj").out, "500");
    assert!(run(&["--group-add", "logs"], "id -G").out.split(' ').any(|group| group == "44"));
    assert_eq!(run(&["--device", "/dev/null:/dev/nothing"], "stat -c %t:%T /dev/nothing").out, "1:3");
    assert_eq!(run(&["--cgroupns", "private"], "grep ^0: /proc/self/cgroup").out, "0::/");
    assert_eq!(run(&["--userns", "host"], "echo fine").out, "fine");
    engine.ok(&[
        "run",
        "-d",
        "--name",
        "other",
        "--network",
        "none",
        "--ipc",
        "shareable",
        "busybox",
        "sleep",
        "1000",
    ]);
    engine.ok(&["exec", "other", "sh", "-c", "echo shared > /dev/shm/note"]);
    assert_eq!(run(&["--ipc", "container:other"], "cat /dev/shm/note").out, "shared");
    engine.ok(&["run", "-d", "--name", "closed", "--network", "none", "busybox", "sleep", "1000"]);
    assert!(run(&["--ipc", "container:closed"], "true").err.contains("non-shareable IPC"));
    for kind in ["pid", "ipc"] {
        let own = engine.ok(&["exec", "other", "readlink", &format!("/proc/self/ns/{kind}")]);
        let joined =
            run(&[&format!("--{kind}"), "container:other"], &format!("readlink /proc/self/ns/{kind}"));
        assert_eq!(joined.out, own, "{kind}");
    }
    assert!(
        run(&["--storage-opt", "size=1G"], "true")
            .err
            .contains("--storage-opt is supported only for overlay over xfs")
    );
    assert!(
        run(&["--runtime", "none-such"], "true").err.contains("unknown or invalid runtime name: none-such")
    );
    let annotated = engine.ok(&["create", "--annotation", "a=b", "busybox"]);
    assert_eq!(engine.inspect(&annotated, "json .HostConfig.Annotations"), r#"{"a":"b"}"#);
}
