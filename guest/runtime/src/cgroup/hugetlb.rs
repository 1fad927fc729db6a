//! Huge pages (cgroup-v2.rst, "HugeTLB").

use std::path::Path;

use oci_spec::runtime::LinuxHugepageLimit;

use super::files;
use crate::error::{Doing, Error};

/// Huge pages of one size.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HugetlbStats {
    /// As the kernel writes it: `2MB`.
    pub size: String,
    /// Bytes in use.
    pub current: u64,
}

pub(super) fn apply(folder: &Path, limit: &LinuxHugepageLimit) -> Result<(), Error> {
    let size = limit.page_size();
    if size.contains('/') {
        return Err(Error::Value { what: "not a size of huge pages:", value: size.clone() });
    }
    let bytes = if limit.limit() < 0 { "max".to_owned() } else { limit.limit().to_string() };
    files::write(folder, &format!("hugetlb.{size}.max"), &bytes)
}

pub(super) fn stats(folder: &Path) -> Result<Vec<HugetlbStats>, Error> {
    let mut stats = Vec::new();
    for entry in std::fs::read_dir(folder).on("list the cgroup", folder)? {
        let name = entry.on("list the cgroup", folder)?.file_name();
        let name = name.to_string_lossy();
        let size = name.strip_prefix("hugetlb.").and_then(|rest| rest.strip_suffix(".current"));
        if let Some(size) = size.filter(|size| !size.ends_with(".rsvd")) {
            let current = files::read_number(folder, &name)?.unwrap_or(0);
            stats.push(HugetlbStats { size: size.to_owned(), current });
        }
    }
    Ok(stats)
}
