//! SHA-256 by the TLS library, whose assembler has a way for every processor: portable code takes twice the time on
//! those without instructions for it.

use rustls::SupportedCipherSuite;
use rustls::crypto::hash::{Context, Hash};
use rustls::crypto::ring::cipher_suite::TLS13_AES_128_GCM_SHA256;

/// A hash of bytes that come one after the other.
pub(super) struct Sha256(Box<dyn Context>);

impl Sha256 {
    pub(super) fn new() -> Self {
        Self(provider().start())
    }

    pub(super) fn of(bytes: &[u8]) -> impl AsRef<[u8]> {
        provider().hash(bytes)
    }

    pub(super) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The hash of what came until now.
    pub(super) fn present(&self) -> impl AsRef<[u8]> {
        self.0.fork_finish()
    }

    pub(super) fn finish(self) -> impl AsRef<[u8]> {
        self.0.finish()
    }
}

/// The library shows its hashes as parts of cipher suites.
fn provider() -> &'static dyn Hash {
    match TLS13_AES_128_GCM_SHA256 {
        SupportedCipherSuite::Tls12(suite) => suite.common.hash_provider,
        SupportedCipherSuite::Tls13(suite) => suite.common.hash_provider,
    }
}

#[cfg(test)]
mod tests {
    use sha2::Digest as _;

    use super::*;

    #[test]
    fn pieces_of_any_length_have_the_hash_of_the_whole() {
        let bytes: Vec<u8> = (0..100_000u32).map(|number| (number * 7 % 251) as u8).collect();
        let expected = sha2::Sha256::digest(&bytes);
        for length in [1, 63, 64, 4097, bytes.len()] {
            let mut hash = Sha256::new();
            bytes.chunks(length).for_each(|piece| hash.update(piece));
            assert_eq!(hash.present().as_ref(), expected.as_slice(), "{length}");
            assert_eq!(hash.finish().as_ref(), expected.as_slice(), "{length}");
        }
        assert_eq!(Sha256::of(&bytes).as_ref(), expected.as_slice());
    }
}
