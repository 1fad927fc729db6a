//! Block devices (cgroup-v2.rst, "IO").

use std::path::Path;

use oci_spec::runtime::{LinuxBlockIo, LinuxThrottleDevice};

use super::files;
use crate::error::Error;

const WEIGHT: &str = "io.weight";
const BFQ_WEIGHT: &str = "io.bfq.weight";
const MAX: &str = "io.max";
const STAT: &str = "io.stat";

/// What one device did for the cgroup.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct IoStats {
    /// Major number.
    pub major: u32,
    /// Minor number.
    pub minor: u32,
    /// Bytes read.
    pub read_bytes: u64,
    /// Bytes written.
    pub written_bytes: u64,
    /// Reads.
    pub reads: u64,
    /// Writes.
    pub writes: u64,
}

/// Whether anything that this controller holds is asked for.
pub(super) fn is_limited(block: &LinuxBlockIo) -> bool {
    let rates = [
        block.throttle_read_bps_device(),
        block.throttle_write_bps_device(),
        block.throttle_read_iops_device(),
        block.throttle_write_iops_device(),
    ];
    block.weight().is_some_and(|weight| weight > 0)
        || block.weight_device().as_ref().is_some_and(|devices| !devices.is_empty())
        || rates.iter().any(|devices| devices.as_ref().is_some_and(|devices| !devices.is_empty()))
}

pub(super) fn apply(folder: &Path, block: &LinuxBlockIo) -> Result<(), Error> {
    if let Some(weight) = block.weight().filter(|weight| *weight > 0) {
        if files::read(folder, BFQ_WEIGHT)?.is_some() {
            files::write(folder, BFQ_WEIGHT, &weight.to_string())?;
        } else if files::read(folder, WEIGHT)?.is_some() {
            files::write(folder, WEIGHT, &format!("default {}", scaled(weight)))?;
        }
    }
    for device in block.weight_device().iter().flatten() {
        let Some(weight) = device.weight() else { continue };
        let number = format!("{}:{}", device.major(), device.minor());
        if files::read(folder, BFQ_WEIGHT)?.is_some() {
            files::write(folder, BFQ_WEIGHT, &format!("{number} {weight}"))?;
        } else if files::read(folder, WEIGHT)?.is_some() {
            files::write(folder, WEIGHT, &format!("{number} {}", scaled(weight)))?;
        }
    }
    throttle(folder, "rbps", block.throttle_read_bps_device().as_deref())?;
    throttle(folder, "wbps", block.throttle_write_bps_device().as_deref())?;
    throttle(folder, "riops", block.throttle_read_iops_device().as_deref())?;
    throttle(folder, "wiops", block.throttle_write_iops_device().as_deref())
}

/// A kernel without throttling has no such file: then nothing is limited, as without the controller.
fn throttle(folder: &Path, key: &str, devices: Option<&[LinuxThrottleDevice]>) -> Result<(), Error> {
    if files::read(folder, MAX)?.is_none() {
        return Ok(());
    }
    for device in devices.unwrap_or_default() {
        let rate = if device.rate() == 0 { "max".to_owned() } else { device.rate().to_string() };
        files::write(folder, MAX, &format!("{}:{} {key}={rate}", device.major(), device.minor()))?;
    }
    Ok(())
}

/// OCI's weight, 10 to 1000, as the kernel's, 1 to 10000.
fn scaled(weight: u16) -> u64 {
    1 + (u64::from(weight).clamp(10, 1000) - 10) * 9999 / 990
}

pub(super) fn stats(folder: &Path) -> Result<Option<Vec<IoStats>>, Error> {
    Ok(files::read(folder, STAT)?.map(|text| text.lines().filter_map(device).collect()))
}

/// `8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=5 dios=6`
fn device(line: &str) -> Option<IoStats> {
    let (number, rest) = line.split_once(' ')?;
    let (major, minor) = number.split_once(':')?;
    let key = |key: &str| {
        let value = rest.split(' ').find_map(|word| word.strip_prefix(key)?.strip_prefix('='));
        value.and_then(|value| value.parse().ok()).unwrap_or(0)
    };
    Some(IoStats {
        major: major.parse().ok()?,
        minor: minor.parse().ok()?,
        read_bytes: key("rbytes"),
        written_bytes: key("wbytes"),
        reads: key("rios"),
        writes: key("wios"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_a_device_is_read() {
        let stats = device("8:16 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=5 dios=6").unwrap();
        let expected = IoStats { major: 8, minor: 16, read_bytes: 1, written_bytes: 2, reads: 3, writes: 4 };
        assert_eq!(stats, expected);
    }
}
