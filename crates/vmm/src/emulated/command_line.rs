//! The emulator's arguments and the kernel's.

use std::path::Path;
use std::process::Command;

use super::{fs, network};
use crate::config::{self, Config};

/// CONFIG_HZ of our kernel.
const KERNEL_HZ: u64 = 100;

/// Puts the command together.
pub(super) fn build(emulator: &Path, config: &Config, tsc_khz: Option<u64>) -> Command {
    let mib = config.memory_mib;
    let path = |path: &Path| escaped(&path.to_string_lossy());
    let mut command = Command::new(emulator);
    let mut add = |flag: &str, value: String| {
        command.arg(flag).arg(value);
    };
    // With ACPI the machine hangs while it calibrates its clock under TCG; without it there is no power-off, so
    // the guest reboots and `-no-reboot` makes that the end.
    add("-machine", "microvm,acpi=off,x-option-roms=off,memory-backend=memory".to_owned());
    add("-accel", "tcg,thread=multi".to_owned());
    // Without ERMS, kernel and C library copy and clear words in loops of their own: an emulated `rep movsb` takes as long
    // for a byte as they for eight.
    add("-cpu", "max,-erms".to_owned());
    add("-smp", config.cpus.to_string());
    add("-m", format!("{mib}M"));
    // Shared, since our vsock device reads and writes it from another process.
    add("-object", format!("memory-backend-memfd,id=memory,size={mib}M,share=on"));
    add("-display", "none".to_owned());
    add("-global", "virtio-mmio.force-legacy=false".to_owned());
    add("-serial", format!("file:{}", path(&config.serial_log())));
    add("-kernel", config.kernel.to_string_lossy().into_owned());
    add("-append", kernel_arguments(tsc_khz));
    // A failed write must reach the guest, which then knows; by default the machine would stop and say nothing.
    let disk = "if=none,format=raw,werror=report,rerror=report";
    add("-drive", format!("{disk},id=root,readonly=on,file={}", path(&config.root)));
    add("-device", "virtio-blk-device,drive=root".to_owned());
    add(
        "-drive",
        format!("{disk},id=data,discard=unmap,detect-zeroes=unmap,file={}", path(&config.data_disk)),
    );
    add("-device", "virtio-blk-device,drive=data,serial=berth-data".to_owned());
    add("-device", "virtio-rng-device".to_owned());
    add("-chardev", format!("socket,id=vsock,path={}", path(&config.device_socket())));
    add("-device", "vhost-user-vsock-device,chardev=vsock".to_owned());
    if config.has_folders_device() {
        add("-chardev", format!("socket,id=folders,path={}", path(&config.folders_socket())));
        add("-device", folders(config));
    }
    add("-chardev", format!("socket,id=network,path={}", path(&config.network_socket())));
    add("-netdev", "vhost-user,id=network,chardev=network".to_owned());
    let (mac, mtu, size) = (network::card(), network::MTU, virtio::net::QUEUE_SIZE);
    let queues = format!("rx_queue_size={size},tx_queue_size={size}");
    add("-device", format!("virtio-net-device,netdev=network,mac={mac},host_mtu={mtu},{queues}"));
    command.args(["-nodefaults", "-no-user-config", "-no-reboot"]);
    command
}

/// One kernel serves every machine; what only costs under emulation is turned off here.
fn kernel_arguments(tsc_khz: Option<u64>) -> String {
    // Nothing in this machine can tell the guest how fast its counter runs. The delay loop counts the same ticks per
    // timer tick (100 a second); told so, no CPU spends time on measuring it.
    let clock = tsc_khz.map(|khz| format!("tsc_early_khz={khz} tsc=reliable lpj={}", khz * 1000 / KERNEL_HZ));
    let clock = clock.unwrap_or_default();
    [
        "console=ttyS0 loglevel=4 panic=-1 reboot=t acpi=off pci=off",
        "mitigations=off nokaslr",
        &clock,
        "root=/dev/vda rootfstype=erofs ro init=/sbin/init",
        &format!("berth.address={}/{}", config::GUEST_ADDRESS, config::GUEST_PREFIX),
        &format!("berth.gateway={} berth.host={}", config::GUEST_GATEWAY, config::HOST_ALIAS),
    ]
    .join(" ")
}

/// The device of the shared folders, served by us.
fn folders(config: &Config) -> String {
    let (tag, requests) = (protocol::guest::SHARES_TAG, fs::queues(config) - 1);
    let size = virtio::fs::QUEUE_SIZE;
    format!("vhost-user-fs-device,chardev=folders,tag={tag},num-request-queues={requests},queue-size={size}")
}

/// A value inside a QEMU option, where a comma ends it unless it is doubled.
fn escaped(value: &str) -> String {
    value.replace(',', ",,")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_with_commas_stay_one_value() {
        assert_eq!(escaped("/a,b"), "/a,,b");
    }
}
