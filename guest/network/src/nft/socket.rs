//! Transactions over a netlink socket of `NETLINK_NETFILTER`.

use std::io;
use std::net::IpAddr;
use std::os::fd::AsFd;

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_REQUEST, NetlinkBuffer, NetlinkDeserializable, NetlinkHeader, NetlinkMessage,
    NetlinkPayload, NetlinkSerializable,
};
use netlink_sys::protocols::NETLINK_NETFILTER;
use netlink_sys::{Socket, SocketAddr};

use super::attributes::Attributes;
use super::{FAMILY_INET, Family, Message};

/// The subsystem of `nf_tables` among netfilter's (`NFNL_SUBSYS_NFTABLES`).
const SUBSYSTEM: u8 = 10;
/// The messages that begin and end a transaction.
const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;

/// The message that ends the tracking of connections (`NFNL_SUBSYS_CTNETLINK`, `IPCTNL_MSG_CT_DELETE`).
const DELETE_CONNECTIONS: u16 = 1 << 8 | 2;

/// A conversation with `nf_tables`; like a routing socket it speaks for the namespace that it was opened in.
pub(crate) struct Nftables {
    socket: Socket,
    sequence: u32,
}

/// A packet with netfilter's four bytes of header in front.
#[derive(Debug, Clone)]
struct Packet {
    kind: u16,
    body: Vec<u8>,
}

impl NetlinkSerializable for Packet {
    fn message_type(&self) -> u16 {
        self.kind
    }

    fn buffer_len(&self) -> usize {
        self.body.len()
    }

    fn serialize(&self, buffer: &mut [u8]) {
        buffer.copy_from_slice(&self.body);
    }
}

impl NetlinkDeserializable for Packet {
    type Error = std::convert::Infallible;

    fn deserialize(header: &NetlinkHeader, payload: &[u8]) -> Result<Self, Self::Error> {
        Ok(Self { kind: header.message_type, body: payload.to_vec() })
    }
}

impl Nftables {
    /// Opens it in the calling thread's namespace.
    pub(crate) fn open() -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_NETFILTER)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        Ok(Self { socket, sequence: 0 })
    }

    /// Makes all of the changes or none.
    pub(crate) fn commit(&mut self, messages: &[Message]) -> io::Result<()> {
        let mut bytes = Vec::new();
        self.append(&mut bytes, batch_edge(BATCH_BEGIN), 0);
        let first = self.sequence;
        for (position, message) in messages.iter().enumerate() {
            // The last one's acknowledgement stands for all: the kernel answers a failed transaction with an error.
            let acknowledge = if position + 1 == messages.len() { NLM_F_ACK } else { 0 };
            let mut body = vec![FAMILY_INET, 0, 0, 0];
            body.extend_from_slice(message.body.encoded());
            let kind = u16::from(SUBSYSTEM) << 8 | u16::from(message.kind);
            self.append(&mut bytes, Packet { kind, body }, message.flags | acknowledge);
        }
        let last = self.sequence;
        self.append(&mut bytes, batch_edge(BATCH_END), 0);
        // A transaction is one datagram; a thousand ports take half a megabyte.
        self.make_room(bytes.len())?;
        self.socket.send(&bytes, 0)?;
        self.verdict(first, last)
    }

    /// Ends the tracking of every connection that leads to this address: it has gone, and datagrams of an old flow
    /// must find whoever has the port now.
    pub(crate) fn forget_connections(&mut self, address: IpAddr) -> io::Result<()> {
        let mut body = vec![Family::of(address) as u8, 0, 0, 0];
        body.extend_from_slice(answered_by(address).encoded());
        let mut bytes = Vec::new();
        self.append(&mut bytes, Packet { kind: DELETE_CONNECTIONS, body }, NLM_F_ACK);
        self.socket.send(&bytes, 0)?;
        self.verdict(self.sequence, self.sequence)
    }

    fn append(&mut self, bytes: &mut Vec<u8>, packet: Packet, flags: u16) {
        self.sequence = self.sequence.wrapping_add(1);
        let mut header = NetlinkHeader::default();
        header.flags = NLM_F_REQUEST | flags;
        header.sequence_number = self.sequence;
        let mut message = NetlinkMessage::new(header, NetlinkPayload::InnerMessage(packet));
        message.finalize();
        let start = bytes.len();
        bytes.resize(start + message.buffer_len().next_multiple_of(4), 0);
        message.serialize(&mut bytes[start..start + message.buffer_len()]);
    }

    fn make_room(&self, length: usize) -> io::Result<()> {
        let descriptor = self.socket.as_fd();
        let wanted = length * 2;
        if rustix::net::sockopt::socket_send_buffer_size(descriptor)? < wanted {
            rustix::net::sockopt::set_socket_send_buffer_size_force(descriptor, wanted)?;
        }
        Ok(())
    }

    /// Waits for the word on the messages from `first` to `last`.
    fn verdict(&mut self, first: u32, last: u32) -> io::Result<()> {
        loop {
            let (datagram, _) = self.socket.recv_from_full()?;
            let mut rest = datagram.as_slice();
            while !rest.is_empty() {
                let length = NetlinkBuffer::new_checked(rest).map_err(io::Error::other)?.length() as usize;
                let message = NetlinkMessage::<Packet>::deserialize(rest).map_err(io::Error::other)?;
                rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
                let sequence = message.header.sequence_number;
                let NetlinkPayload::Error(error) = message.payload else { continue };
                if !(first..=last).contains(&sequence) {
                    continue;
                }
                if error.code.is_some() {
                    return Err(error.to_io());
                }
                if sequence == last {
                    return Ok(());
                }
            }
        }
    }
}

/// Selects connections whose answers come from the address (`enum ctattr_type`, `ctattr_filter`).
fn answered_by(address: IpAddr) -> Attributes {
    const REPLY: u16 = 2;
    const REPLY_ADDRESSES: u16 = 1;
    const FILTER: u16 = 25;
    const FILTER_ORIGINAL: u16 = 1;
    const FILTER_REPLY: u16 = 2;
    const SOURCE_ADDRESS: u32 = 1;
    let source = match address {
        IpAddr::V4(address) => Attributes::new().bytes(1, &address.octets()),
        IpAddr::V6(address) => Attributes::new().bytes(3, &address.octets()),
    };
    let none = 0_u32.to_ne_bytes();
    let flags =
        Attributes::new().bytes(FILTER_ORIGINAL, &none).bytes(FILTER_REPLY, &SOURCE_ADDRESS.to_ne_bytes());
    let reply = Attributes::new().nest(REPLY_ADDRESSES, &source);
    Attributes::new().nest(REPLY, &reply).nest(FILTER, &flags)
}

fn batch_edge(kind: u16) -> Packet {
    Packet { kind, body: vec![0, 0, 0, SUBSYSTEM] }
}
