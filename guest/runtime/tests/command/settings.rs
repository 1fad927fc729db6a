//! What a specification asks for, seen from inside; and what is refused.

use serde_json::{Value, json};

use crate::bundle::bundle;

#[test]
fn hooks_run_in_order_and_are_told_the_state() {
    let Some(mut bundle) = bundle("exec sleep 100") else { return };
    let log = bundle.path().join("hooks.log");
    let hook = |name: &str| {
        let script = format!("echo \"{name} $(cat)\" >> {}", log.display());
        json!([{ "path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/bin:/usr/bin"] }])
    };
    let inside = json!([{ "path": "/bin/sh", "args": ["sh", "-c", "cat > /told"] }]);
    bundle.spec["hooks"] = json!({
        "prestart": hook("prestart"),
        "createRuntime": hook("createRuntime"),
        "createContainer": hook("createContainer"),
        "startContainer": inside,
        "poststart": hook("poststart"),
        "poststop": hook("poststop"),
    });
    bundle.create();
    bundle.ok(&["start", "ID"]);
    bundle.ok(&["delete", "--force", "ID"]);
    let told = std::fs::read_to_string(&log).unwrap();
    let told: Vec<_> = told.lines().map(|line| line.split_once(' ').unwrap()).collect();
    let status =
        |text: &str| serde_json::from_str::<Value>(text).unwrap()["status"].as_str().unwrap().to_owned();
    let told: Vec<_> = told.into_iter().map(|(name, state)| format!("{name} {}", status(state))).collect();
    let expected = [
        "prestart creating",
        "createRuntime creating",
        "createContainer creating",
        "poststart running",
        "poststop stopped",
    ];
    assert_eq!(told, expected);
    assert_eq!(status(&std::fs::read_to_string(bundle.path().join("rootfs/told")).unwrap()), "created");
}

#[test]
fn a_hook_that_fails_or_lasts_too_long_fails_the_creation() {
    let Some(mut bundle) = bundle("true") else { return };
    for (script, told) in [("echo why; exit 4", "why"), ("exec sleep 30", "longer than its timeout")] {
        bundle.spec["hooks"] = json!({
            "createRuntime": [{ "path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/bin:/usr/bin"], "timeout": 1 }],
        });
        bundle.write();
        let error = bundle.refused(&["create", "ID"]);
        assert!(error.contains("createRuntime hook #0") && error.contains(told), "{error}");
        bundle.assert_gone();
    }
}

#[test]
fn a_user_namespace_maps_ids() {
    let Some(mut bundle) = bundle("cat /proc/self/uid_map; id -u") else { return };
    bundle.spec["linux"]["namespaces"].as_array_mut().unwrap().push(json!({ "type": "user" }));
    let mapping = json!([{ "containerID": 0, "hostID": 100_000, "size": 65_536 }]);
    bundle.spec["linux"]["uidMappings"] = mapping.clone();
    bundle.spec["linux"]["gidMappings"] = mapping;
    std::fs::set_permissions(bundle.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    std::os::unix::fs::chown(bundle.path().join("rootfs"), Some(100_000), Some(100_000)).unwrap();
    let (code, told) = bundle.run_through();
    let words: Vec<_> = told.split_whitespace().collect();
    assert_eq!((code, words), (Some(0), vec!["0", "100000", "65536", "0"]));
}

#[test]
fn a_process_is_scheduled_as_asked() {
    let Some(mut bundle) = bundle("cat /proc/self/stat") else { return };
    bundle.spec["process"]["scheduler"] = json!({ "policy": "SCHED_BATCH", "nice": 5 });
    let (code, told) = bundle.run_through();
    let fields: Vec<_> = told.rsplit_once(')').unwrap().1.split_whitespace().collect();
    // proc_pid_stat(5): nice is field 19, policy 41; SCHED_BATCH is 3.
    assert_eq!((code, fields[16], fields[38]), (Some(0), "5", "3"));
}

#[test]
fn a_personality_is_what_uname_tells() {
    let Some(mut bundle) = bundle("exec sleep 100") else { return };
    bundle.spec["linux"]["personality"] = json!({ "domain": "LINUX32" });
    bundle.create();
    bundle.ok(&["start", "ID"]);
    let executed = bundle.ok(&["exec", "ID", "busybox", "uname", "-m"]);
    assert!(!executed.contains("64"), "{executed}");
    bundle.ok(&["delete", "--force", "ID"]);
    bundle.spec["process"]["args"] = json!(["busybox", "uname", "-m"]);
    let (code, told) = bundle.run_through();
    assert_eq!(code, Some(0));
    assert!(!told.contains("64"), "{told}");
}

#[test]
fn what_is_not_supported_is_refused_by_its_name() {
    let Some(mut bundle) = bundle("true") else { return };
    let plain = bundle.spec.clone();
    for (place, value, name) in [
        ("/linux/intelRdt", json!({}), "linux.intelRdt"),
        ("/linux/resources", json!({ "rdma": { "mlx5_1": { "hcaHandles": 3 } } }), "linux.resources.rdma"),
        ("/ociVersion", json!("2.0.0"), "ociVersion"),
        ("/linux/cgroupsPath", json!("/../x"), "linux.cgroupsPath"),
    ] {
        bundle.spec = plain.clone();
        let (parent, key) = place.rsplit_once('/').unwrap();
        bundle.spec.pointer_mut(parent).unwrap()[key] = value;
        bundle.write();
        let told = bundle.refused(&["create", "ID"]);
        assert!(told.contains(name), "{name}: {told}");
        bundle.assert_gone();
    }
    assert!(bundle.refused(&["--systemd-cgroup", "list"]).contains("--systemd-cgroup"));
}

#[test]
fn a_terminal_goes_over_the_console_socket() {
    let Some(mut bundle) = bundle("test -t 0 && exec sleep 100") else { return };
    bundle.spec["process"]["terminal"] = json!(true);
    bundle.write();
    assert!(bundle.refused(&["create", "ID"]).contains("console socket"));
    let listener = std::os::unix::net::UnixListener::bind(bundle.path().join("console")).unwrap();
    bundle.ok(&["create", "--console-socket", "console", "ID"]);
    let (mut told, mut text) = (listener.accept().unwrap().0, Vec::new());
    std::io::Read::read_to_end(&mut told, &mut text).unwrap();
    assert_eq!(text, b"/dev/ptmx");
}

#[test]
fn features_and_spec_are_what_the_specification_says() {
    let Some(bundle) = bundle("true") else { return };
    let features: Value = serde_json::from_str(&bundle.ok(&["features"])).unwrap();
    assert_eq!(features["ociVersionMax"], "1.2.0");
    assert_eq!(features["linux"]["cgroup"]["v2"], true);
    bundle.ok(&["spec"]);
    let spec = std::fs::read(bundle.path().join("config.json")).unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&spec).unwrap()["ociVersion"], "1.2.0");
    assert!(bundle.refused(&["spec"]).contains("exists already"));
    assert_eq!(bundle.ok(&["--version"]).lines().nth(1), Some("spec: 1.2.0"));
}

#[test]
fn a_mapped_bind_shows_its_files_as_somebody_elses() {
    let Some(mut bundle) = bundle("stat -c %u:%g /mapped/file; echo more > /mapped/made") else { return };
    let source = bundle.path().join("source");
    std::fs::create_dir(&source).unwrap();
    std::fs::write(source.join("file"), "x").unwrap();
    std::os::unix::fs::chown(source.join("file"), Some(1000), Some(1001)).unwrap();
    std::os::unix::fs::chown(&source, Some(1000), Some(1001)).unwrap();
    std::os::unix::fs::symlink("busybox", bundle.path().join("rootfs/bin/stat")).unwrap();
    let to_root = |id: u32| json!([{ "containerID": id, "hostID": 0, "size": 1 }]);
    bundle.spec["mounts"].as_array_mut().unwrap().push(json!({
        "destination": "/mapped", "type": "bind", "source": source, "options": ["bind"],
        "uidMappings": to_root(1000), "gidMappings": to_root(1001),
    }));
    let (code, printed) = bundle.run_through();
    if printed.contains("map the ids of") {
        eprintln!("skipped: this machine's filesystem of temporary files can't map ids: {printed}");
        return;
    }
    assert_eq!((code, printed.as_str()), (Some(0), "0:0\n"));
    let made = std::fs::metadata(source.join("made")).unwrap();
    assert_eq!(
        (std::os::unix::fs::MetadataExt::uid(&made), std::os::unix::fs::MetadataExt::gid(&made)),
        (1000, 1001)
    );
}

#[test]
fn half_a_mapping_is_refused() {
    let Some(mut bundle) = bundle("true") else { return };
    bundle.spec["mounts"].as_array_mut().unwrap().push(json!({
        "destination": "/mapped", "type": "bind", "source": "rootfs", "options": ["bind"],
        "uidMappings": [{ "containerID": 1000, "hostID": 0, "size": 1 }],
    }));
    bundle.write();
    assert!(bundle.refused(&["create", "ID"]).contains("needs both"));
}

#[test]
fn labels_need_their_security_module() {
    let Some(mut bundle) = bundle("true") else { return };
    // No machine has a profile of this name, and few have AppArmor at all.
    bundle.spec["process"]["apparmorProfile"] = "berth-test-no-such-profile".into();
    let (code, text) = bundle.run_through();
    assert!(code == Some(1) && text.contains("unable to apply apparmor profile"), "{code:?} {text}");
    bundle.assert_gone();
    if std::path::Path::new("/sys/fs/selinux/enforce").exists() {
        return eprintln!("skipped: this machine has SELinux");
    }
    bundle.spec["process"]["apparmorProfile"] = "".into();
    bundle.spec["process"]["selinuxLabel"] = "system_u:system_r:container_t:s0:c1,c2".into();
    let (code, text) = bundle.run_through();
    let told = "selinux label is specified in config, but selinux is disabled or not supported";
    assert!(code == Some(1) && text.contains(told), "{code:?} {text}");
    bundle.assert_gone();
}

#[test]
fn mounts_are_listed_in_the_order_they_are_asked_for() {
    let Some(mut bundle) = bundle("cat /proc/self/mountinfo") else { return };
    let mounts = bundle.spec["mounts"].as_array_mut().unwrap();
    mounts.push(json!({ "destination": "/one", "type": "tmpfs", "source": "tmpfs" }));
    mounts.push(json!({ "destination": "/two", "type": "bind", "source": "/etc", "options": ["bind"] }));
    mounts.push(json!({ "destination": "/three", "type": "tmpfs", "source": "tmpfs" }));
    let (code, text) = bundle.run_through();
    let listed: Vec<_> = text.lines().filter_map(|line| line.split(' ').nth(4)).collect();
    let ours: Vec<_> = listed.iter().filter(|path| ["/one", "/two", "/three"].contains(path)).collect();
    assert_eq!((code, ours), (Some(0), vec![&"/one", &"/two", &"/three"]), "{text}");
}

#[test]
fn without_namespaces_a_container_has_its_root_all_the_same() {
    let Some(mut bundle) = bundle("test -e /bin/busybox && test ! -e /etc && exec sleep 100") else { return };
    bundle.spec["linux"]["namespaces"] = json!([]);
    bundle.create();
    bundle.ok(&["start", "ID"]);
    bundle.await_status("running");
    assert_eq!(bundle.ok(&["exec", "ID", "sh", "-c", "test ! -e /etc && echo inside"]), "inside\n");
    bundle.ok(&["delete", "--force", "ID"]);
    bundle.assert_gone();
}
