//! What a boot does with a data disk that isn't as the last boot left it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use vmm::config::Config;
use vmm::emulated::Machine;

use crate::fixture::{config, ext4_identity, greet, need_machine, ping};

const GIB: u64 = 1 << 30;
/// The guest powers off within this, its containers' time to end included.
const POWER_OFF: Duration = Duration::from_secs(14);

/// A disk that a machine has formatted and left in order.
fn used_disk(folder: &Path) -> PathBuf {
    boot(config(folder, Vec::new()));
    folder.join("data.img")
}

/// Boots a machine until its engine answers, and powers it off in order.
fn boot(config: Config) {
    let machine = Machine::start(config, |_| ()).unwrap();
    let _control = greet(&machine);
    assert!(ping(&machine).contains("200 OK"));
    machine.power_off(POWER_OFF).unwrap();
}

/// Boots a machine that can't go on; returns what a user is told.
fn boot_fails(config: Config) -> String {
    let machine = Machine::start(config, |_| ()).unwrap();
    machine.wait().unwrap_err().to_string()
}

/// Changes a file system that isn't mounted.
fn debugfs(disk: &Path, requests: &[&str]) {
    for request in requests {
        let output = Command::new("debugfs").args(["-w", "-R", request]).arg(disk).output().unwrap();
        assert!(output.status.success(), "{request}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

/// A line of the file system's superblock, as `dumpe2fs -h` prints it.
fn superblock(disk: &Path, name: &str) -> String {
    let output = Command::new("dumpe2fs").arg("-h").arg(disk).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    value.unwrap_or_else(|| panic!("no {name} in {text}")).trim().to_owned()
}

fn bytes(disk: &Path) -> u64 {
    let number = |name| superblock(disk, name).parse::<u64>().unwrap();
    number("Block count") * number("Block size")
}

#[test]
fn a_disk_grows_to_the_size_that_is_asked_for_and_keeps_its_data() {
    if !need_machine() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let disk = used_disk(folder.path());
    assert_eq!(bytes(&disk), 8 * GIB);
    let identity = ext4_identity(&disk);
    boot(Config { data_disk_bytes: 12 * GIB, ..config(folder.path(), Vec::new()) });
    assert_eq!(bytes(&disk), 12 * GIB);
    assert_eq!(ext4_identity(&disk), identity, "the disk was formatted again");
    // A smaller wish later takes nothing away.
    boot(config(folder.path(), Vec::new()));
    assert_eq!(bytes(&disk), 12 * GIB);
}

#[test]
fn a_disk_with_errors_is_repaired_before_it_is_used() {
    if !need_machine() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let disk = used_disk(folder.path());
    debugfs(&disk, &["set_super_value free_blocks_count 7", "set_super_value state 2"]);
    assert!(superblock(&disk, "Filesystem state").contains("with errors"));
    boot(config(folder.path(), Vec::new()));
    assert_eq!(superblock(&disk, "Filesystem state"), "clean");
    assert_ne!(superblock(&disk, "Free blocks"), "7");
}

#[test]
fn a_disk_that_cannot_be_repaired_without_a_decision_is_left_alone_and_named() {
    if !need_machine() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let disk = used_disk(folder.path());
    let identity = ext4_identity(&disk);
    // Without its root folder every file is an orphan: whether to collect them is the user's decision.
    debugfs(&disk, &["clri <2>", "set_super_value state 2"]);
    let told = boot_fails(config(folder.path(), Vec::new()));
    assert!(told.contains("the data disk is damaged") && told.contains("e2fsck"), "{told}");
    assert_eq!(ext4_identity(&disk), identity);
}

#[test]
fn a_disk_of_a_later_berth_is_refused() {
    if !need_machine() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let disk = used_disk(folder.path());
    let format = folder.path().join("format");
    std::fs::write(&format, "99\n").unwrap();
    let write = format!("write {} .berth-format", format.display());
    debugfs(&disk, &["rm .berth-format", &write]);
    let told = boot_fails(config(folder.path(), Vec::new()));
    assert!(told.contains("the data disk has format 99") && told.contains("update Berth"), "{told}");
}
