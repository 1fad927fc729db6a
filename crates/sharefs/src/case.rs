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

use crate::place::{At, may_have_case};
use crate::server::Server;
use crate::sys::{self, Status};
use crate::watch::{LONG, SHORT};

/// What is known of a watched folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Case {
    Unknown,
    Minded,
    Ignored,
}

impl Server {
    /// A name in a folder, with what is known of that by now.
    pub(crate) fn at<'a>(&self, folder: u64, name: &'a CStr) -> At<'a> {
        At { folder, name, case: self.watches.case(folder) }
    }

    /// The same for whoever is about to look what it leads to: its folder is watched from here on, if it may be.
    pub(crate) fn look_at<'a>(&self, folder: u64, name: &'a CStr) -> At<'a> {
        match self.at(folder, name) {
            At { case: None, .. } if self.watch(folder) => self.at(folder, name),
            at => at,
        }
    }

    /// The same of a name that has just led to a file, which may tell whether its folder minds case.
    pub(crate) fn found_at<'a>(&self, at: At<'a>, found: &Status) -> At<'a> {
        match at.case {
            Some(Case::Unknown) => At { case: self.find_out(at, found).or(at.case), ..at },
            _ => at,
        }
    }

    fn find_out(&self, at: At<'_>, found: &Status) -> Option<Case> {
        let folder = self.nodes().file(at.folder).ok()?;
        let case =
            if sys::minds_case(folder.as_fd(), at.name, found)? { Case::Minded } else { Case::Ignored };
        self.watches.learn(at.folder, case);
        Some(case)
    }

    /// How long the kernel may believe that a name leads to this node, as far as its folder goes, in seconds.
    pub(crate) fn name_valid(&self, node: u64, at: At<'_>) -> u64 {
        match at.case {
            None => SHORT,
            Some(Case::Minded) => LONG,
            Some(_) if !may_have_case(at.name) => LONG,
            Some(Case::Ignored) if has_one_form(at.name) => {
                if self.nodes().is_at(node, at) {
                    LONG
                } else {
                    0
                }
            }
            Some(Case::Ignored | Case::Unknown) => SHORT,
        }
    }
}

/// Whether the kernel may believe that a name leads nowhere: its coming is told, in this spelling.
pub(crate) fn is_absence_told(at: At<'_>) -> bool {
    match at.case {
        None => false,
        Some(Case::Minded) => true,
        Some(Case::Ignored | Case::Unknown) => !may_have_case(at.name),
    }
}

/// Whether all spellings of a name are told from it. Not of `README~1.MD`, which may be short for another one.
fn has_one_form(name: &CStr) -> bool {
    name.to_bytes().iter().all(|byte| byte.is_ascii() && *byte != b'~')
}
