//! What the machine's security modules know a process by: AppArmor's profile, SELinux's label. Both are told beforehand
//! and hold from the next exec on (`/proc/<pid>/attr/exec`, proc(5), "LSM").
//!
//! The files are opened while `/proc` is still the machine's own: what lies there in a container may be anything
//! (CVE-2019-16884, CVE-2025-52881).

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;

use oci_spec::runtime::Process;

use crate::error::{Doing, Error};

/// AppArmor's file of its own, for kernels with several modules at once; then the one that the first module has.
const APPARMOR: [&str; 2] = ["/proc/self/attr/apparmor/exec", "/proc/self/attr/exec"];
const SELINUX: &str = "/proc/self/attr/exec";
const IS_SELINUX_ON: &str = "/sys/fs/selinux/enforce";

/// What is written right before the program is executed, in order.
#[derive(Debug, Default)]
pub(crate) struct Labels(Vec<Label>);

#[derive(Debug)]
struct Label {
    file: File,
    text: String,
    operation: &'static str,
}

impl Labels {
    /// Opens what the process needs. Call it in the process itself, outside the container's root.
    pub(crate) fn open(process: &Process) -> Result<Self, Error> {
        let mut labels = Vec::new();
        if let Some(label) = wanted(process.selinux_label()) {
            let operation = "label the process for SELinux";
            let file = write_only(SELINUX).on("open", SELINUX)?;
            labels.push(Label { file, text: label.to_owned(), operation });
        }
        if let Some(profile) = wanted(process.apparmor_profile()) {
            let operation = "unable to apply apparmor profile: apparmor failed to apply profile";
            let [own, first] = APPARMOR;
            let file = write_only(own).or_else(|_| write_only(first)).on("open", first)?;
            labels.push(Label { file, text: format!("exec {profile}"), operation });
        }
        Ok(Self(labels))
    }

    /// Tells the kernel; the next exec is a labelled one.
    pub(crate) fn apply(&mut self) -> Result<(), Error> {
        for Label { file, text, operation } in &mut self.0 {
            // In one piece: what is written is one command.
            file.write_all(text.as_bytes()).doing(operation)?;
        }
        Ok(())
    }
}

/// Whether the machine runs with SELinux.
pub(crate) fn is_selinux_on() -> bool {
    Path::new(IS_SELINUX_ON).exists()
}

/// Whether it runs with AppArmor.
pub(crate) fn is_apparmor_on() -> bool {
    std::fs::read("/sys/module/apparmor/parameters/enabled").is_ok_and(|text| text.first() == Some(&b'Y'))
}

/// A text that isn't empty.
pub(crate) fn wanted(text: &Option<String>) -> Option<&str> {
    text.as_deref().filter(|text| !text.is_empty())
}

fn write_only(path: &str) -> std::io::Result<File> {
    OpenOptions::new().write(true).open(path)
}
