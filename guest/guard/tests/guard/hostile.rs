//! Images that try to get out, and what a container may not see or do.

use std::os::unix::fs::symlink;

use serde_json::json;

use crate::bundle::{Bundle, need_root};
use crate::client::{Guard, run};

#[test]
fn a_symlinked_mount_target_stays_inside() {
    if !need_root() {
        return;
    }
    let outside = tempfile::tempdir().unwrap();
    let mut bundle = Bundle::sh("ls /data; cat /trap/file");
    symlink(outside.path(), bundle.root().join("data")).unwrap();
    symlink("../../../../../../../..", bundle.root().join("trap")).unwrap();
    let source = tempfile::tempdir().unwrap();
    std::fs::write(source.path().join("seen"), "").unwrap();
    std::fs::write(source.path().join("file"), "text").unwrap();
    let mounts = bundle.spec["mounts"].as_array_mut().unwrap();
    mounts.push(
        json!({"destination": "/data/sub", "type": "bind", "source": source.path(), "options": ["rbind"]}),
    );
    mounts.push(json!({"destination": "/trap/file", "type": "bind", "source": source.path().join("file"),
                       "options": ["bind", "ro"]}));
    let (_, output) = run(&bundle);
    assert_eq!(output, "sub\ntext");
    assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 0);
}

#[test]
fn masked_and_readonly_paths_hold() {
    if !need_root() {
        return;
    }
    let (_, output) = run(&Bundle::sh(
        "exec 2>&1; stat -c %t:%T /proc/timer_list; busybox wc -c < /proc/timer_list; ls /sys/firmware; \
         echo 1 > /proc/sys/kernel/domainname; echo 1 > /sys/x; echo done",
    ));
    assert!(output.starts_with("1:3\n"), "{output}");
    assert_eq!(output.matches("Read-only file system").count(), 2, "{output}");
    assert!(output.contains("done\n"), "{output}");
}

#[test]
fn capabilities_are_exactly_those_given() {
    if !need_root() {
        return;
    }
    let mut bundle = Bundle::sh("busybox grep -E 'Cap|NoNewPrivs' /proc/self/status");
    bundle.spec["process"]["capabilities"] = json!({
        "bounding": ["CAP_CHOWN", "CAP_KILL", "CAP_SYS_RESOURCE"],
        "effective": ["CAP_CHOWN"], "permitted": ["CAP_CHOWN"], "inheritable": ["CAP_CHOWN"],
        "ambient": ["CAP_CHOWN"],
    });
    bundle.spec["process"]["user"] = json!({"uid": 1000, "gid": 1000, "additionalGids": [5, 6]});
    bundle.spec["process"]["noNewPrivileges"] = true.into();
    let (_, output) = run(&bundle);
    let own = std::fs::read_to_string("/proc/self/status").unwrap();
    let own = own.lines().find_map(|line| line.strip_prefix("CapBnd:\t")).unwrap();
    let own = u64::from_str_radix(own, 16).unwrap();
    let bounding = 0x0100_0021 & own;
    let expected = format!(
        "CapInh:\t{0:016x}\nCapPrm:\t{0:016x}\nCapEff:\t{0:016x}\nCapBnd:\t{bounding:016x}\nCapAmb:\t{0:016x}\nNoNewPrivs:\t1\n",
        1
    );
    assert_eq!(output, expected);
}

#[test]
fn no_descriptor_of_the_guard_leaks() {
    if !need_root() {
        return;
    }
    let (_, output) = run(&Bundle::sh("ls /proc/self/fd"));
    // 3 is the folder that `ls` reads.
    assert_eq!(output, "0\n1\n2\n3\n");
}

#[test]
fn devices_and_links_are_there() {
    if !need_root() {
        return;
    }
    let (_, output) = run(&Bundle::sh(
        "for d in null zero full random urandom tty; do stat -c '%t:%T %a' /dev/$d; done; \
         for l in ptmx fd stdin; do busybox readlink /dev/$l; done",
    ));
    assert_eq!(
        output,
        "1:3 666\n1:5 666\n1:7 666\n1:8 666\n1:9 666\n5:0 666\npts/ptmx\n/proc/self/fd\n/proc/self/fd/0\n"
    );
}

#[test]
fn a_readonly_root_is() {
    if !need_root() {
        return;
    }
    let mut bundle =
        Bundle::sh("exec 2>&1; echo x > /file; echo x > /tmp/file; echo x > /dev/shm/file && echo shm");
    bundle.spec["root"]["readonly"] = true.into();
    let (_, output) = run(&bundle);
    assert_eq!(output.matches("Read-only file system").count(), 2, "{output}");
    assert!(output.contains("shm\n"), "{output}");
}

#[test]
fn limits_beyond_the_engines_own_are_clamped() {
    if !need_root() {
        return;
    }
    let mut bundle = Bundle::sh("ulimit -n; cat /proc/self/oom_score_adj");
    bundle.spec["process"]["rlimits"] =
        json!([{"type": "RLIMIT_NOFILE", "soft": 1_048_576, "hard": 1_048_576}]);
    bundle.spec["process"]["oomScoreAdj"] = json!(-500);
    let (exit, output) = run(&bundle);
    assert_eq!(exit.code, 0, "{output}");
    assert_eq!(output.lines().count(), 2, "{output}");
}

#[test]
fn a_user_namespace_maps_root_away() {
    if !need_root() {
        return;
    }
    let mut bundle = Bundle::sh("exec 2>&1; id -u; cat /proc/self/uid_map; echo x > /file; echo $?");
    bundle.spec["linux"]["namespaces"].as_array_mut().unwrap().push(json!({"type": "user"}));
    let mapping = json!([{"containerID": 0, "hostID": 100_000, "size": 65_536}]);
    bundle.spec["linux"]["uidMappings"] = mapping.clone();
    bundle.spec["linux"]["gidMappings"] = mapping;
    use std::os::unix::fs::PermissionsExt;
    let open = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(bundle.folder.path(), open).unwrap();
    let (_, output) = run(&bundle);
    let words: Vec<_> = output.split_whitespace().collect();
    assert_eq!(words[..4], ["0", "0", "100000", "65536"], "{output}");
    assert!(output.ends_with("Permission denied\n1\n"), "{output}");
}

#[test]
fn the_default_filter_refuses_and_lets_programs_live() {
    if !need_root() {
        return;
    }
    let script = "exec 2>&1; busybox grep ^Seccomp: /proc/self/status; busybox unshare -m true; echo $?; \
                  echo a | cat; busybox su -s /bin/sh nobody -c id";
    let mut bundle = Bundle::sh(script);
    std::fs::write(bundle.root().join("etc/passwd"), "root:x:0:0::/:/bin/sh\nnobody:x:99:99::/:/bin/sh\n")
        .unwrap();
    let profile = berth_runtime::seccomp::default_profile(&Default::default());
    bundle.spec["linux"]["seccomp"] = serde_json::to_value(&profile).unwrap();
    // The capability to unshare, but not the filter's leave.
    for set in ["bounding", "effective", "permitted"] {
        bundle.spec["process"]["capabilities"][set].as_array_mut().unwrap().push(json!("CAP_SYS_ADMIN"));
    }
    let (exit, output) = run(&bundle);
    assert_eq!(exit.code, 0, "{output}");
    assert!(output.starts_with("Seccomp:\t2\n"), "{output}");
    assert!(output.contains("Operation not permitted\n1\na\nuid=99"), "{output}");
}

#[test]
fn a_filter_holds_for_an_unprivileged_user_with_no_new_privileges() {
    if !need_root() {
        return;
    }
    let mut bundle = Bundle::sh("busybox grep -E '^(Seccomp|NoNewPrivs|CapEff):' /proc/self/status; id -u");
    let profile = berth_runtime::seccomp::default_profile(&Default::default());
    bundle.spec["linux"]["seccomp"] = serde_json::to_value(&profile).unwrap();
    bundle.spec["process"]["user"] = json!({"uid": 7, "gid": 7});
    bundle.spec["process"]["capabilities"] = json!({"bounding": []});
    bundle.spec["process"]["noNewPrivileges"] = true.into();
    let (_, output) = run(&bundle);
    assert_eq!(output, "CapEff:\t0000000000000000\nNoNewPrivs:\t1\nSeccomp:\t2\n7\n");
}

#[test]
fn a_tmpfs_begins_with_the_images_files_where_asked() {
    if !need_root() {
        return;
    }
    let mut bundle =
        Bundle::sh("exec 2>&1; cat /etc/sub/file; stat -c %a:%u /etc/sub/file; echo x > /etc/new");
    std::fs::create_dir(bundle.root().join("etc/sub")).unwrap();
    std::fs::write(bundle.root().join("etc/sub/file"), "text\n").unwrap();
    std::os::unix::fs::chown(bundle.root().join("etc/sub/file"), Some(7), None).unwrap();
    let mounts = bundle.spec["mounts"].as_array_mut().unwrap();
    mounts.push(json!({"destination": "/etc", "type": "tmpfs", "source": "tmpfs", "options": ["tmpcopyup"]}));
    let (_, output) = run(&bundle);
    assert_eq!(output, "text\n644:7\n");
    assert!(!bundle.root().join("etc/new").exists());
}

#[test]
fn the_guards_program_cannot_be_written_through_its_exe_link() {
    if !need_root() {
        return;
    }
    let guard = Guard::start(&Bundle::sh("sleep 100"));
    let exe = format!("/proc/{}/exe", guard.program.id());
    // Opening it for writing fails for as long as any guard runs; the mount must hold after that.
    let mount = rustix::fs::statvfs(exe).unwrap();
    assert!(mount.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY));
}

#[test]
fn a_device_that_no_rule_allows_cannot_be_opened() {
    if !need_root() {
        return;
    }
    let mut bundle = Bundle::sh(
        "exec 2>&1; busybox mknod /dev/full2 c 1 7; busybox head -c 1 /dev/full2; \
         busybox head -c 3 /dev/zero | busybox wc -c; echo x > /dev/null; echo $?",
    );
    bundle.spec["linux"]["resources"] = json!({"devices": [
        {"allow": false, "access": "rwm"},
        {"allow": true, "type": "c", "access": "m"},
        {"allow": true, "type": "c", "major": 1, "minor": 3, "access": "rwm"},
        {"allow": true, "type": "c", "major": 1, "minor": 5, "access": "rwm"},
    ]});
    if bundle.launch.cgroup_mount.is_none() {
        return;
    }
    let (_, output) = run(&bundle);
    assert_eq!(output, "head: /dev/full2: Operation not permitted\n3\n0\n");
}
