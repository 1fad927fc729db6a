//! The header of a vsock packet (VIRTIO 1.2, 5.10.6), 44 bytes, little-endian.

/// Length of the header on the wire.
pub(super) const LENGTH: usize = 44;

/// The host's context id.
pub(super) const HOST_CID: u64 = 2;
/// The only type of socket served.
pub(super) const STREAM: u16 = 1;

/// `VIRTIO_VSOCK_SHUTDOWN_RCV`: the sender receives no more.
pub(super) const NO_MORE_RECEIVING: u32 = 1;
/// `VIRTIO_VSOCK_SHUTDOWN_SEND`: the sender sends no more.
pub(super) const NO_MORE_SENDING: u32 = 2;

/// What a packet asks or says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u16)]
pub(super) enum Operation {
    Request = 1,
    Response = 2,
    Reset = 3,
    Shutdown = 4,
    Data = 5,
    CreditUpdate = 6,
    CreditRequest = 7,
}

impl Operation {
    /// The operation of this number.
    pub(super) fn of(number: u16) -> Option<Self> {
        Some(match number {
            1 => Self::Request,
            2 => Self::Response,
            3 => Self::Reset,
            4 => Self::Shutdown,
            5 => Self::Data,
            6 => Self::CreditUpdate,
            7 => Self::CreditRequest,
            _ => return None,
        })
    }
}

/// A decoded header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Header {
    pub(super) source_cid: u64,
    pub(super) target_cid: u64,
    pub(super) source_port: u32,
    pub(super) target_port: u32,
    pub(super) length: u32,
    pub(super) kind: u16,
    pub(super) operation: u16,
    pub(super) flags: u32,
    pub(super) buffer: u32,
    pub(super) forwarded: u32,
}

impl Header {
    /// Reads a header; any bytes are one.
    pub(super) fn decode(bytes: &[u8; LENGTH]) -> Self {
        let mut reader = Fields { bytes, at: 0 };
        Self {
            source_cid: u64::from_le_bytes(reader.take()),
            target_cid: u64::from_le_bytes(reader.take()),
            source_port: u32::from_le_bytes(reader.take()),
            target_port: u32::from_le_bytes(reader.take()),
            length: u32::from_le_bytes(reader.take()),
            kind: u16::from_le_bytes(reader.take()),
            operation: u16::from_le_bytes(reader.take()),
            flags: u32::from_le_bytes(reader.take()),
            buffer: u32::from_le_bytes(reader.take()),
            forwarded: u32::from_le_bytes(reader.take()),
        }
    }

    /// The header as the driver reads it.
    pub(super) fn encode(&self) -> [u8; LENGTH] {
        let mut bytes = [0; LENGTH];
        bytes[0..8].copy_from_slice(&self.source_cid.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.target_cid.to_le_bytes());
        bytes[16..20].copy_from_slice(&self.source_port.to_le_bytes());
        bytes[20..24].copy_from_slice(&self.target_port.to_le_bytes());
        bytes[24..28].copy_from_slice(&self.length.to_le_bytes());
        bytes[28..30].copy_from_slice(&self.kind.to_le_bytes());
        bytes[30..32].copy_from_slice(&self.operation.to_le_bytes());
        bytes[32..36].copy_from_slice(&self.flags.to_le_bytes());
        bytes[36..40].copy_from_slice(&self.buffer.to_le_bytes());
        bytes[40..44].copy_from_slice(&self.forwarded.to_le_bytes());
        bytes
    }
}

/// Takes fixed fields off the front of a header.
struct Fields<'b> {
    bytes: &'b [u8; LENGTH],
    at: usize,
}

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        let mut field = [0; N];
        field.copy_from_slice(&self.bytes[self.at..self.at + N]);
        self.at += N;
        field
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_survives_the_journey() {
        let mut bytes = [0; LENGTH];
        for (index, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::try_from(index).unwrap();
        }
        assert_eq!(Header::decode(&bytes).encode(), bytes);
    }
}
