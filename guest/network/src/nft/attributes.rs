//! Netlink attributes of `nf_tables`: text ends in a zero byte, numbers are in network order, nests are marked.

use netlink_packet_core::{DefaultNla, Emitable, NLA_F_NESTED};

/// A list of attributes, encoded.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Attributes(Vec<u8>);

impl Attributes {
    pub(super) fn new() -> Self {
        Self::default()
    }

    pub(super) fn bytes(mut self, kind: u16, value: &[u8]) -> Self {
        let attribute = DefaultNla::new(kind, value.to_vec());
        let start = self.0.len();
        self.0.resize(start + attribute.buffer_len(), 0);
        attribute.emit(&mut self.0[start..]);
        self
    }

    pub(super) fn text(self, kind: u16, text: &str) -> Self {
        let mut value = text.as_bytes().to_vec();
        value.push(0);
        self.bytes(kind, &value)
    }

    pub(super) fn number(self, kind: u16, number: u32) -> Self {
        self.bytes(kind, &number.to_be_bytes())
    }

    pub(super) fn nest(self, kind: u16, inner: &Self) -> Self {
        self.bytes(kind | NLA_F_NESTED, &inner.0)
    }

    pub(super) fn encoded(&self) -> &[u8] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_padded_to_four_bytes() {
        let encoded = Attributes::new().text(1, "nat").text(7, "x").number(2, 0x0102_0304);
        let expected =
            [[8, 0, 1, 0], [b'n', b'a', b't', 0], [6, 0, 7, 0], [b'x', 0, 0, 0], [8, 0, 2, 0], [1, 2, 3, 4]];
        assert_eq!(encoded.encoded(), expected.concat());
    }

    #[test]
    fn nests_are_marked() {
        let inner = Attributes::new().number(1, 5);
        assert_eq!(Attributes::new().nest(4, &inner).encoded(), [12, 0, 4, 0x80, 8, 0, 1, 0, 0, 0, 0, 5]);
    }
}
