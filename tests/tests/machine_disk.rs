//! The data disk of the VM as its host sees it.

use std::fs;
use std::os::unix::fs::MetadataExt;

use e2e::condition::eventually;
use e2e::machine::Machine;

/// The bytes of an image.
const LARGE: u64 = 24 << 20;
/// What else changes on the disk meanwhile, at most.
const OTHER: u64 = 12 << 20;

#[test]
fn what_is_removed_in_the_machine_is_free_on_its_host() {
    let Some(machine) = Machine::with_busybox() else { return };
    let taken = || fs::metadata(machine.data_disk()).expect("the data disk").blocks() * 512;
    let docker = |args: &[&str]| {
        let said = machine.docker(args);
        assert_eq!(said.code, 0, "{args:?}: {}", said.err);
    };
    let fill = format!("head -c {LARGE} /dev/urandom > /srv/large; sync");
    let empty = taken();
    let ways: [(&str, &[&str]); 2] =
        [("one", &["rmi", "one"]), ("two", &["image", "prune", "--all", "--force"])];
    for (name, remove) in ways {
        docker(&["run", "--name", "fills", "--network", "none", "busybox", "sh", "-c", &fill]);
        docker(&["commit", "fills", name]);
        docker(&["rm", "fills"]);
        eventually("the image takes its room", || (taken() >= empty + LARGE).then_some(()));
        docker(remove);
        eventually("its room is the host's again", || (taken() < empty + OTHER).then_some(()));
    }
}
