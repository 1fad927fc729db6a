//! Folders that ignore case: vfat, exFAT, NTFS, CIFS, folded ext4.
//!
//! The guest's kernel minds case whatever it mounts. To it `readme` and `README` are two names, and who changes the one
//! says nothing of the other. So in a folder that ignores case
//!
//! - of the names of a file one is believed, the first that the kernel was told. It is taken back when the file's name
//!   goes or comes in whatever spelling; until that has arrived, the file is neither opened nor asked about by what no
//!   longer is its name. Another one is looked up whenever it is used;
//! - of a folder the latest is believed: the kernel keeps only one;
//! - that a name leads nowhere isn't believed.
//!
//! Which spellings are the same, file systems agree on for ASCII only: other names are believed for a second, and so are
//! DOS's short ones. Whether a folder minds case, the first name found in it tells that has an ASCII letter; until then
//! nothing is believed for long whose name has a case, neither name nor attributes, nor that such a name leads nowhere.

use std::ffi::CStr;
use std::os::fd::AsFd;

use crate::place::{Place, may_have_case};
use crate::server::Server;
use crate::sys::{self, Errno, Status};
use crate::watch::{LONG, SHORT};

/// What is known of a watched folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Case {
    Unknown,
    Minded,
    Ignored,
}

impl Server {
    /// A name in a folder.
    pub(crate) fn place(&self, folder: u64, name: &CStr) -> Place {
        Place::new(folder, name, self.watches.case(folder) == Some(Case::Ignored))
    }

    /// The same of a name that has just led to a file, which may tell whether its folder minds case.
    pub(crate) fn found_place(&self, folder: u64, name: &CStr, found: &Status) -> Place {
        let case = match self.watches.case(folder) {
            Some(Case::Unknown) => self.find_out(folder, name, found),
            known => known,
        };
        Place::new(folder, name, case == Some(Case::Ignored))
    }

    fn find_out(&self, folder: u64, name: &CStr, found: &Status) -> Option<Case> {
        let file = self.nodes().file(folder).ok()?;
        let case = if sys::minds_case(file.as_fd(), name, found)? { Case::Minded } else { Case::Ignored };
        self.watches.learn(folder, case);
        Some(case)
    }

    /// The kernel is to look again whose name for a file has gone in another spelling, of which it hasn't heard yet.
    pub(crate) fn insist_on_name(&self, node: u64) -> Result<(), Errno> {
        if self.nodes().is_lost(node) { Err(Errno::STALE) } else { Ok(()) }
    }

    /// How long the kernel may believe that a name leads to this node, as far as its folder goes, in seconds.
    pub(crate) fn name_valid(&self, node: u64, (folder, name): (u64, &CStr)) -> u64 {
        match self.watches.case(folder) {
            None => SHORT,
            Some(Case::Minded) => LONG,
            Some(_) if !may_have_case(name) => LONG,
            Some(Case::Ignored) if has_one_form(name) => {
                if self.nodes().is_at(node, &Place::new(folder, name, true)) { LONG } else { 0 }
            }
            Some(Case::Ignored | Case::Unknown) => SHORT,
        }
    }

    /// Whether the kernel may believe that a name leads nowhere: its coming is told, in this spelling.
    pub(crate) fn is_absence_told(&self, folder: u64, name: &CStr) -> bool {
        match self.watches.case(folder) {
            None => false,
            Some(Case::Minded) => true,
            Some(Case::Ignored | Case::Unknown) => !may_have_case(name),
        }
    }
}

/// Whether all spellings of a name are told from it. Not of `README~1.MD`, which may be short for another one.
fn has_one_form(name: &CStr) -> bool {
    name.to_bytes().iter().all(|byte| byte.is_ascii() && *byte != b'~')
}
