//! A name in a folder, of which a folder that ignores case knows several spellings.

use std::ffi::CStr;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use crate::case::Case;

/// A name in a folder, as somebody asks for it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct At<'a> {
    pub(crate) folder: u64,
    pub(crate) name: &'a CStr,
    /// What is known of the folder; none when it isn't watched.
    pub(crate) case: Option<Case>,
}

impl At<'_> {
    pub(crate) fn place(&self) -> Place {
        Place::new(self.folder, self.name, self.case == Some(Case::Ignored))
    }
}

/// A name in a folder. Where the folder ignores case, all its spellings are one place; `name` is one of them.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) folder: u64,
    pub(crate) name: Arc<CStr>,
    /// False also where nothing in the name has a case.
    pub(crate) ignores_case: bool,
}

impl Place {
    pub(crate) fn new(folder: u64, name: &CStr, ignores_case: bool) -> Self {
        Self { folder, name: name.into(), ignores_case: ignores_case && has_letters(name) }
    }

    /// Whether this is where somebody asks, in the same spelling.
    pub(crate) fn is(&self, at: At<'_>) -> bool {
        let ignores_case = at.case == Some(Case::Ignored) && has_letters(at.name);
        self.folder == at.folder && *self.name == *at.name && self.ignores_case == ignores_case
    }
}

impl PartialEq for Place {
    fn eq(&self, other: &Self) -> bool {
        let (name, others) = (self.name.to_bytes(), other.name.to_bytes());
        let is_same = || if self.ignores_case { name.eq_ignore_ascii_case(others) } else { name == others };
        self.folder == other.folder && self.ignores_case == other.ignores_case && is_same()
    }
}

impl Eq for Place {}

impl Hash for Place {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.folder.hash(state);
        if self.ignores_case {
            self.name.to_bytes().to_ascii_lowercase().hash(state);
        } else {
            self.name.hash(state);
        }
    }
}

/// Whether a name has letters of whose case every file system thinks the same. (Other alphabets': each has tables of
/// its own.)
fn has_letters(name: &CStr) -> bool {
    name.to_bytes().iter().any(u8::is_ascii_alphabetic)
}

/// Whether a file system may know other spellings of a name.
pub(crate) fn may_have_case(name: &CStr) -> bool {
    name.to_bytes().iter().any(|byte| byte.is_ascii_alphabetic() || !byte.is_ascii())
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn spellings_are_one_place_where_case_is_ignored() {
        let known = HashSet::from([Place::new(2, c"Read.me", true), Place::new(3, c"Read.me", false)]);
        assert!(known.contains(&Place::new(2, c"rEAD.ME", true)));
        assert!(!known.contains(&Place::new(3, c"rEAD.ME", false)));
        assert!(!known.contains(&Place::new(2, c"Read.you", true)));
    }

    #[test]
    fn what_has_no_case_is_the_same_place_before_and_after_that_is_known() {
        assert_eq!(Place::new(2, c"2024-01", false), Place::new(2, c"2024-01", true));
    }
}
