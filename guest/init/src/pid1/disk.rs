//! The data disk: formatted on the first boot, checked when its journal isn't enough, grown to the machine's size.
//!
//! A disk that holds anything else than our own file system, or a newer format of it, is refused: data is never
//! overwritten to get on.

use std::fs::{self, File};
use std::io::Read;
use std::process::Command;

use anyhow::{Context, bail};
use rustix::mount::{MountFlags, mount};

/// Where it is mounted.
pub(super) const PLACE: &str = "/data";
/// The machine gives the data disk this serial number.
const SERIAL: &str = "berth-data";
/// Says which layout the disk has.
const FORMAT_FILE: &str = "/data/.berth-format";
/// The layout that this guest makes and reads.
const FORMAT: u32 = 1;
/// Growth below this isn't worth a program's start.
const LEAST_GROWTH: u64 = 128 << 20;

/// Where ext4 keeps its superblock, and how much of it is read here.
const SUPERBLOCK: usize = 1024;
const HEAD: usize = 4096;

/// Finds, formats, checks, mounts and grows the disk.
pub(super) fn mount_data() -> anyhow::Result<()> {
    let (device, size) = find()?;
    let head = read_head(&device)?;
    let mut state = Superblock::of(&head);
    if state.is_none() {
        if head.iter().any(|byte| *byte != 0) {
            bail!("{device} holds something that isn't Berth's: it is left alone");
        }
        format(&device)?;
        state = Superblock::of(&read_head(&device)?);
    }
    let state = state.context("the data disk has no file system after it was formatted")?;
    if !state.is_clean {
        check(&device)?;
    }
    mount(device.as_str(), PLACE, "ext4", MountFlags::NOATIME, c"discard,errors=remount-ro")
        .with_context(|| format!("mount {device}"))?;
    if size.saturating_sub(state.bytes) > LEAST_GROWTH {
        run(Command::new("/sbin/resize2fs").arg(&device), &[0])?;
    }
    check_format()
}

/// The device with our serial number and its size in bytes.
fn find() -> anyhow::Result<(String, u64)> {
    for entry in fs::read_dir("/sys/block").context("list the disks")? {
        let folder = entry?.path();
        let serial = fs::read_to_string(folder.join("serial")).unwrap_or_default();
        if serial.trim() == SERIAL {
            let sectors: u64 = fs::read_to_string(folder.join("size"))?.trim().parse()?;
            let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
            return Ok((format!("/dev/{name}"), sectors * 512));
        }
    }
    bail!("the machine has no data disk")
}

fn read_head(device: &str) -> anyhow::Result<Vec<u8>> {
    let mut head = vec![0; HEAD];
    let mut file = File::open(device).with_context(|| format!("open {device}"))?;
    file.read_exact(&mut head).with_context(|| format!("read {device}"))?;
    Ok(head)
}

/// The little that is looked at before the kernel mounts it.
#[derive(Debug, PartialEq, Eq)]
struct Superblock {
    /// No errors were found while it was last mounted; a journal that wants replaying doesn't count.
    is_clean: bool,
    bytes: u64,
}

impl Superblock {
    /// Reads an ext4 superblock; none when there isn't one.
    fn of(head: &[u8]) -> Option<Self> {
        let block = head.get(SUPERBLOCK..)?;
        let half = |at: usize| Some(u16::from_le_bytes(block.get(at..at + 2)?.try_into().ok()?));
        let word = |at: usize| Some(u32::from_le_bytes(block.get(at..at + 4)?.try_into().ok()?));
        if half(0x38)? != 0xef53 {
            return None;
        }
        let blocks = u64::from(word(0x150)?) << 32 | u64::from(word(0x4)?);
        let block_size = 1024u64.checked_shl(word(0x18)?)?;
        Some(Self { is_clean: half(0x3a)? == 1, bytes: blocks.saturating_mul(block_size) })
    }
}

/// Makes the file system. What can wait is left to the kernel (`lazy_…`): the disk is sparse and reads as zeros.
fn format(device: &str) -> anyhow::Result<()> {
    let options = "lazy_itable_init=1,lazy_journal_init=1,nodiscard,assume_storage_prezeroed=1";
    let mut mke2fs = Command::new("/sbin/mke2fs");
    mke2fs.args(["-q", "-F", "-t", "ext4", "-L", "berth-data", "-m", "0", "-E", options]).arg(device);
    run(&mut mke2fs, &[0])
}

/// Repairs what can be repaired without a decision.
fn check(device: &str) -> anyhow::Result<()> {
    run(Command::new("/sbin/e2fsck").args(["-p", device]), &[0, 1]).context(
        "the data disk is damaged and was left alone: stop Berth and repair its file with `e2fsck -f`",
    )
}

fn run(command: &mut Command, fine: &[i32]) -> anyhow::Result<()> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.env("MKE2FS_CONFIG", "/etc/mke2fs.conf").output();
    let output = output.with_context(|| format!("start {name}"))?;
    if !output.status.code().is_some_and(|code| fine.contains(&code)) {
        let words = [output.stdout, output.stderr].concat();
        bail!("{name} failed ({}): {}", output.status, String::from_utf8_lossy(&words).trim());
    }
    Ok(())
}

/// Refuses a disk that a later Berth has laid out differently.
fn check_format() -> anyhow::Result<()> {
    match fs::read_to_string(FORMAT_FILE) {
        Ok(text) => match text.trim().parse::<u32>() {
            Ok(found) if found <= FORMAT => Ok(()),
            Ok(found) => {
                bail!("the data disk has format {found}, this Berth knows {FORMAT}: update Berth to use it")
            }
            Err(_) => bail!("{FORMAT_FILE} doesn't hold a number"),
        },
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let fresh = format!("{FORMAT_FILE}.new");
            fs::write(&fresh, format!("{FORMAT}\n"))?;
            File::open(&fresh)?.sync_all()?;
            fs::rename(&fresh, FORMAT_FILE).context("note the data disk's format")
        }
        Err(error) => Err(error).context("read the data disk's format"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(state: u16) -> Vec<u8> {
        let mut head = vec![0; HEAD];
        let mut put = |at: usize, bytes: &[u8]| {
            head[SUPERBLOCK + at..SUPERBLOCK + at + bytes.len()].copy_from_slice(bytes);
        };
        put(0x4, &1000u32.to_le_bytes());
        put(0x18, &2u32.to_le_bytes());
        put(0x38, &0xef53u16.to_le_bytes());
        put(0x3a, &state.to_le_bytes());
        head
    }

    #[test]
    fn a_sound_file_system_is_known_by_its_superblock() {
        assert_eq!(Superblock::of(&head(1)), Some(Superblock { is_clean: true, bytes: 4_096_000 }));
    }

    #[test]
    fn one_with_errors_is_to_be_checked() {
        assert!(!Superblock::of(&head(3)).unwrap().is_clean);
    }

    #[test]
    fn an_empty_disk_has_none() {
        assert_eq!(Superblock::of(&vec![0; HEAD]), None);
    }
}
