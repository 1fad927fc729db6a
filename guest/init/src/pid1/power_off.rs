//! The end of the machine, in order: containers, engine, data disk, host, off. Within 10 s.

use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use rustix::mount::{MountFlags, UnmountFlags, mount_remount, unmount};
use rustix::system::{RebootCommand, reboot};

use super::control::Host;
use super::supervise::Engine;
use super::{Event, cgroup, disk};

/// The engine gives each container its own stop timeout, 7 s at the most, in parallel; then it ends itself.
const ENGINE: Duration = Duration::from_secs(8);

/// Ends the machine.
pub(super) fn run(host: &Host, engine: &mut Engine, inbox: &Receiver<Event>) {
    if engine.ask_to_end() {
        wait_for(engine, inbox);
    }
    cgroup::kill_all();
    rustix::fs::sync();
    unmount_data();
    host.powering_off();
    // The machine has no power button that works without ACPI: its emulator ends when it reboots.
    if let Err(error) = reboot(RebootCommand::Restart) {
        tracing::error!(%error, "the machine doesn't go off");
    }
}

fn wait_for(engine: &mut Engine, inbox: &Receiver<Event>) {
    let deadline = Instant::now() + ENGINE;
    while let Ok(event) = inbox.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
        if let Event::Ended(process, _) = event
            && engine.is_gone_with(process)
        {
            return;
        }
    }
    tracing::warn!("the engine didn't end in time");
}

/// Unmounts everything on the data disk, the innermost first, then the disk itself.
fn unmount_data() {
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    for place in places_within(&mounts, disk::PLACE) {
        if unmount(place, UnmountFlags::empty()).is_err() {
            let _ = unmount(place, UnmountFlags::DETACH);
        }
    }
    // Somebody may still hold a file for an instant after being killed: read-only is as good for the data.
    if unmount(disk::PLACE, UnmountFlags::empty()).is_err()
        && let Err(error) = mount_remount(disk::PLACE, MountFlags::RDONLY, c"")
    {
        tracing::warn!(%error, "the data disk stays mounted; its journal keeps it sound");
    }
}

/// The mount points beneath `folder` in a mount table, later ones first.
fn places_within<'a>(mounts: &'a str, folder: &str) -> Vec<&'a str> {
    let places = mounts.lines().filter_map(|line| line.split(' ').nth(1));
    let beneath = |place: &&str| place.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'));
    let mut found: Vec<_> = places.filter(beneath).collect();
    found.reverse();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inner_mounts_go_first_and_the_folder_itself_is_not_among_them() {
        let table = "ext4 /data ext4 rw 0 0\noverlay /data/a overlay rw 0 0\nproc /data/a/proc proc rw 0 0\n\
                     x /database x rw 0 0\n";
        assert_eq!(places_within(table, "/data"), ["/data/a/proc", "/data/a"]);
    }
}
