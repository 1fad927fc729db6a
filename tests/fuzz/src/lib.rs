//! One function per decoder of hostile bytes. None may panic, hang or leave its folder.
//!
//! `cargo xtask fuzz TARGET` searches for inputs that break one; those that did, and some sound ones, lie in
//! `corpus/TARGET/`, and the ordinary tests replay them.

mod targets;

pub use targets::TARGETS;

/// A decoder under test.
pub type Target = (&'static str, fn(&[u8]));

/// The target of that name.
pub fn target(name: &str) -> Option<fn(&[u8])> {
    TARGETS.iter().find(|(known, _)| *known == name).map(|(_, target)| *target)
}
