//! Whether a folder minds case. Linux has no call that tells, and ext4 decides it folder by folder: a name that is there
//! is asked for in the other case.

use std::ffi::{CStr, CString};
use std::os::fd::BorrowedFd;

use super::{Errno, status_of_name};
use crate::sys::{Kind, Status};

/// Whether a folder minds case, as far as a name tells that has led to this file.
pub(crate) fn minds_case(folder: BorrowedFd<'_>, name: &CStr, found: &Status) -> Option<bool> {
    let is_found = |other: &Status| (other.device, other.ino) == (found.device, found.ino);
    match status_of_name(folder, &in_other_case(name)?) {
        // Not when it is another file's name, or one more of this file's. (And some file systems number names, not files.)
        Ok(other) => {
            let has_one_name = found.links == 1 || found.kind() == Kind::Folder;
            (is_found(&other) && has_one_name).then_some(false)
        }
        // Unless the file has gone by any name.
        Err(Errno::NOENT) => status_of_name(folder, name).is_ok_and(|now| is_found(&now)).then_some(true),
        Err(_) => None,
    }
}

/// A name with each letter in its other case; none when it has none. Letters beyond ASCII stay: of these each file system
/// has its own opinion, which would be taken for minding case.
fn in_other_case(name: &CStr) -> Option<CString> {
    let flip = |byte: &u8| if byte.is_ascii_alphabetic() { byte ^ 0x20 } else { *byte };
    let other = CString::new(name.to_bytes().iter().map(flip).collect::<Vec<_>>()).ok()?;
    (other.as_c_str() != name).then_some(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_letter_changes_its_case_and_nothing_else_changes() {
        assert_eq!(in_other_case(c"ReadMe-2.txt").as_deref(), Some(c"rEADmE-2.TXT"));
        assert_eq!(in_other_case(c"@[`{").as_deref(), None);
        assert_eq!(in_other_case(c"\xc3\x84pfel \xff").as_deref(), Some(c"\xc3\x84PFEL \xff"));
        assert_eq!(in_other_case(c"\xd1\x84").as_deref(), None);
    }
}
