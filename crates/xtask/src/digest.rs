//! SHA-256 of files and of sets of named inputs.

use std::fs::File;
use std::path::Path;

use anyhow::Context;
use sha2::{Digest, Sha256};

/// The hash of everything that goes into a file. Names and lengths are hashed too, so that no two different
/// sets look alike.
#[derive(Default)]
pub(crate) struct Inputs(Sha256);

impl Inputs {
    /// Adds one input.
    pub(crate) fn add(&mut self, name: &str, content: &[u8]) {
        for part in [name.as_bytes(), content] {
            self.0.update((part.len() as u64).to_le_bytes());
            self.0.update(part);
        }
    }

    /// The hash of all inputs so far.
    pub(crate) fn finish(self) -> String {
        hex(&self.0.finalize())
    }
}

/// The hash of a file's content.
pub(crate) fn of_file(path: &Path) -> anyhow::Result<String> {
    let mut file = File::open(path).with_context(|| format!("open {}", path.display()))?;
    let mut hash = Sha256::new();
    let mut block = vec![0; 1 << 16];
    loop {
        let read =
            std::io::Read::read(&mut file, &mut block).with_context(|| format!("read {}", path.display()))?;
        if read == 0 {
            return Ok(hex(&hash.finalize()));
        }
        hash.update(&block[..read]);
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_moved_from_name_to_content_changes_the_hash() {
        let mut one = Inputs::default();
        one.add("ab", b"c");
        let mut other = Inputs::default();
        other.add("a", b"bc");
        assert_ne!(one.finish(), other.finish());
    }
}
