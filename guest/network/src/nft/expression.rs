//! Rules as lists of expressions: each loads something into a register, compares it, or acts.

use std::net::{IpAddr, SocketAddr};

use super::attributes::Attributes;
use super::{Message, NEW_RULE};
use crate::endpoint::Mac;
use crate::publish::Transport;
use crate::subnet::Subnet;

/// The register that matches load into and compare; a second one for ports.
const REGISTER: u32 = 1;
const PORT_REGISTER: u32 = 2;
/// The register that holds a rule's verdict.
const VERDICT_REGISTER: u32 = 0;

/// Keys of the `meta` expression (`enum nft_meta_keys`).
const META_MARK: u32 = 3;
const META_IN_NAME: u32 = 6;
const META_OUT_NAME: u32 = 7;
const META_FAMILY: u32 = 15;
const META_TRANSPORT: u32 = 16;

/// Keys of the `ct` expression (`enum nft_ct_keys`), and the bits of interest.
const CT_STATE: u32 = 0;
const CT_STATUS: u32 = 2;
const ESTABLISHED_OR_RELATED: u32 = 2 | 4;
const DESTINATION_TRANSLATED: u32 = 1 << 5;

/// A rule: what a packet must be like, and what becomes of it then.
#[derive(Debug, Clone)]
pub(crate) struct Rule {
    pub(crate) matches: Vec<Match>,
    pub(crate) verdict: Verdict,
}

/// One thing that a packet must be like.
#[derive(Debug, Clone)]
pub(crate) enum Match {
    /// It came in by this interface.
    In(String),
    /// It didn't come in by this interface.
    NotIn(String),
    /// It leaves by this interface.
    Out(String),
    /// It doesn't leave by this interface.
    NotOut(String),
    /// The hardware address that it came from, by Ethernet.
    Sender(Mac),
    /// It comes from there.
    Source(Subnet),
    /// It goes there.
    Destination(Subnet),
    /// It is of this family.
    Family(Family),
    /// It goes to an address of this machine.
    ToThisMachine,
    /// It is of this transport.
    Of(Transport),
    /// It goes to this port.
    Port(Transport, u16),
    /// A socket of this machine that speaks in somebody else's name waits for it.
    ForTransparent,
    /// It belongs to a connection that was let pass before.
    Established,
    /// It belongs to a connection whose destination was translated.
    Translated,
}

/// The version of IP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Family {
    /// Version 4; the number is the kernel's `NFPROTO_IPV4`.
    V4 = 2,
    /// Version 6.
    V6 = 10,
}

/// What becomes of a packet.
#[derive(Debug, Clone)]
pub(crate) enum Verdict {
    /// It passes this chain.
    Accept,
    /// It is dropped.
    Drop,
    /// Its connection leaves with the address of the interface that it leaves by.
    Masquerade,
    /// Its connection leaves with this address.
    LeaveAs(IpAddr),
    /// It carries this number from here on, for routing rules to find.
    Mark(u32),
    /// Its connection goes there instead.
    Translate(SocketAddr),
}

impl Family {
    /// The family of an address.
    pub(crate) fn of(address: IpAddr) -> Self {
        if address.is_ipv4() { Self::V4 } else { Self::V6 }
    }
}

impl Rule {
    pub(super) fn message(&self, table: &str, chain: &str) -> Message {
        const TABLE: u16 = 1;
        const CHAIN: u16 = 2;
        const EXPRESSIONS: u16 = 4;
        let mut expressions = Vec::new();
        self.matches.iter().for_each(|one| one.push_to(&mut expressions));
        self.verdict.push_to(&mut expressions);
        let list = expressions.iter().fold(Attributes::new(), |list, one| list.nest(1, one));
        let body = Attributes::new().text(TABLE, table).text(CHAIN, chain).nest(EXPRESSIONS, &list);
        let flags = netlink_packet_core::NLM_F_CREATE | netlink_packet_core::NLM_F_APPEND;
        Message { kind: NEW_RULE, flags, body }
    }
}

impl Match {
    fn push_to(&self, list: &mut Vec<Attributes>) {
        match self {
            Self::In(name) => list.extend([meta(META_IN_NAME), compare(true, &interface(name))]),
            Self::NotIn(name) => list.extend([meta(META_IN_NAME), compare(false, &interface(name))]),
            Self::Out(name) => list.extend([meta(META_OUT_NAME), compare(true, &interface(name))]),
            Self::NotOut(name) => list.extend([meta(META_OUT_NAME), compare(false, &interface(name))]),
            Self::Sender(mac) => list.extend([payload(Header::Link, 6, 6), compare(true, &mac.0)]),
            Self::Source(subnet) => push_address(list, *subnet, 12, 8),
            Self::Destination(subnet) => push_address(list, *subnet, 16, 24),
            Self::Family(family) => list.extend([meta(META_FAMILY), compare(true, &[*family as u8])]),
            Self::ToThisMachine => list.extend([destination_kind(), compare(true, &LOCAL.to_ne_bytes())]),
            Self::Of(transport) => push_transport(list, *transport),
            Self::Port(transport, port) => {
                push_transport(list, *transport);
                list.extend([payload(Header::Transport, 2, 2), compare(true, &port.to_be_bytes())]);
            }
            Self::ForTransparent => list.extend([socket_is_transparent(), compare(true, &[1])]),
            Self::Established => push_bits(list, CT_STATE, ESTABLISHED_OR_RELATED),
            Self::Translated => push_bits(list, CT_STATUS, DESTINATION_TRANSLATED),
        }
    }
}

impl Verdict {
    fn push_to(&self, list: &mut Vec<Attributes>) {
        match self {
            Self::Accept => list.push(verdict(1)),
            Self::Drop => list.push(verdict(0)),
            Self::Masquerade => list.push(expression("masq", &Attributes::new())),
            Self::LeaveAs(address) => push_source(list, *address),
            Self::Mark(number) => push_mark(list, *number),
            Self::Translate(target) => push_translation(list, *target),
        }
    }
}

fn expression(name: &str, data: &Attributes) -> Attributes {
    Attributes::new().text(1, name).nest(2, data)
}

fn meta(key: u32) -> Attributes {
    const DESTINATION: u16 = 1;
    const KEY: u16 = 2;
    expression("meta", &Attributes::new().number(DESTINATION, REGISTER).number(KEY, key))
}

fn compare(equal: bool, value: &[u8]) -> Attributes {
    const SOURCE: u16 = 1;
    const OPERATION: u16 = 2;
    const DATA: u16 = 3;
    let list = Attributes::new().number(SOURCE, REGISTER).number(OPERATION, u32::from(!equal));
    expression("cmp", &list.nest(DATA, &data(value)))
}

fn data(value: &[u8]) -> Attributes {
    Attributes::new().bytes(1, value)
}

/// An interface's name as the kernel keeps it: sixteen bytes.
fn interface(name: &str) -> [u8; 16] {
    let mut padded = [0; 16];
    let length = name.len().min(15);
    padded[..length].copy_from_slice(&name.as_bytes()[..length]);
    padded
}

/// The header that an offset counts from (`enum nft_payload_bases`).
#[derive(Clone, Copy)]
enum Header {
    Link = 0,
    Network = 1,
    Transport = 2,
}

fn payload(header: Header, offset: u32, length: u32) -> Attributes {
    let list = Attributes::new().number(1, REGISTER).number(2, header as u32);
    expression("payload", &list.number(3, offset).number(4, length))
}

/// Ands the register with a mask.
fn masked(mask: &[u8]) -> Attributes {
    let length = u32::try_from(mask.len()).unwrap_or(u32::MAX);
    let list = Attributes::new().number(1, REGISTER).number(2, REGISTER).number(3, length);
    expression("bitwise", &list.nest(4, &data(mask)).nest(5, &data(&vec![0; mask.len()])))
}

/// Matches an address of the IP header; where it stands depends on the version.
fn push_address(list: &mut Vec<Attributes>, subnet: Subnet, offset4: u32, offset6: u32) {
    let family = Family::of(subnet.network());
    list.extend([meta(META_FAMILY), compare(true, &[family as u8])]);
    let value = octets(subnet.network());
    let (offset, length) = if family == Family::V4 { (offset4, 4) } else { (offset6, 16) };
    list.push(payload(Header::Network, offset, length));
    let bits = usize::from(subnet.length());
    if bits < value.len() * 8 {
        let mask: Vec<u8> = (0..value.len())
            .map(|octet| !(0xff_u16 >> bits.saturating_sub(octet * 8).min(8)) as u8)
            .collect();
        list.push(masked(&mask));
    }
    list.push(compare(true, &value));
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

/// Matches when one of the bits of a connection's number is set; these are in the machine's own order.
fn push_bits(list: &mut Vec<Attributes>, key: u32, bits: u32) {
    list.push(expression("ct", &Attributes::new().number(1, REGISTER).number(2, key)));
    list.push(masked(&bits.to_ne_bytes()));
    list.push(compare(false, &[0; 4]));
}

/// The kind of a local address (`RTN_LOCAL`).
const LOCAL: u32 = 2;

/// Loads what kind of address the destination is here.
fn destination_kind() -> Attributes {
    const RESULT_KIND: u32 = 3;
    const OF_DESTINATION: u32 = 2;
    expression("fib", &Attributes::new().number(1, REGISTER).number(2, RESULT_KIND).number(3, OF_DESTINATION))
}

/// Loads whether the socket that waits for the packet may speak in somebody else's name.
fn socket_is_transparent() -> Attributes {
    const KEY: u16 = 1;
    const DESTINATION: u16 = 2;
    const IS_TRANSPARENT: u32 = 0;
    expression("socket", &Attributes::new().number(KEY, IS_TRANSPARENT).number(DESTINATION, REGISTER))
}

fn push_transport(list: &mut Vec<Attributes>, transport: Transport) {
    list.extend([meta(META_TRANSPORT), compare(true, &[transport_number(transport)])]);
}

fn transport_number(transport: Transport) -> u8 {
    match transport {
        Transport::Tcp => 6,
        Transport::Udp => 17,
        Transport::Sctp => 132,
    }
}

fn verdict(code: u32) -> Attributes {
    const DESTINATION: u16 = 1;
    const DATA: u16 = 2;
    const VERDICT: u16 = 2;
    let verdict = Attributes::new().nest(VERDICT, &Attributes::new().number(1, code));
    expression("immediate", &Attributes::new().number(DESTINATION, VERDICT_REGISTER).nest(DATA, &verdict))
}

fn load(register: u32, value: &[u8]) -> Attributes {
    expression("immediate", &Attributes::new().number(1, register).nest(2, &data(value)))
}

/// A mark is a number in the machine's own order.
fn push_mark(list: &mut Vec<Attributes>, number: u32) {
    const KEY: u16 = 2;
    const SOURCE: u16 = 3;
    list.push(load(REGISTER, &number.to_ne_bytes()));
    list.push(expression("meta", &Attributes::new().number(KEY, META_MARK).number(SOURCE, REGISTER)));
}

fn push_translation(list: &mut Vec<Attributes>, target: SocketAddr) {
    const DESTINATION_NAT: u32 = 1;
    list.push(load(REGISTER, &octets(target.ip())));
    list.push(load(PORT_REGISTER, &target.port().to_be_bytes()));
    let family = Family::of(target.ip()) as u32;
    let kind = Attributes::new().number(1, DESTINATION_NAT).number(2, family);
    list.push(expression("nat", &kind.number(3, REGISTER).number(5, PORT_REGISTER)));
}

fn push_source(list: &mut Vec<Attributes>, address: IpAddr) {
    const SOURCE_NAT: u32 = 0;
    list.push(load(REGISTER, &octets(address)));
    let kind = Attributes::new().number(1, SOURCE_NAT).number(2, Family::of(address) as u32);
    list.push(expression("nat", &kind.number(3, REGISTER)));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn has(list: &[Attributes], part: &[u8]) -> bool {
        list.iter().any(|one| one.encoded().windows(part.len()).any(|window| window == part))
    }

    #[test]
    fn a_subnet_is_compared_behind_its_mask() {
        let mut list = Vec::new();
        Match::Source("172.16.0.0/12".parse().unwrap()).push_to(&mut list);
        assert_eq!(list.len(), 5, "family, its value, address, mask, its value");
        assert!(has(&list[3..4], &[255, 240, 0, 0]));
        assert!(has(&list[4..], &[172, 16, 0, 0]));
    }

    #[test]
    fn one_address_needs_no_mask() {
        let mut list = Vec::new();
        Match::Destination("10.0.0.1/32".parse().unwrap()).push_to(&mut list);
        assert_eq!(list.len(), 4);
    }

    #[test]
    fn a_name_is_padded_to_the_kernels_length() {
        assert_eq!(&interface("eth0")[..6], b"eth0\0\0");
        assert_eq!(interface("a-name-that-is-too-long")[15], 0);
    }

    #[test]
    fn an_accepting_rule_is_encoded_as_the_kernel_reads_it() {
        let expected = [
            &[14, 0, 1, 0][..],
            b"immediate\0\0\0",
            &[28, 0, 2, 0x80],
            &[8, 0, 1, 0, 0, 0, 0, 0],
            &[16, 0, 2, 0x80],
            &[12, 0, 2, 0x80],
            &[8, 0, 1, 0, 0, 0, 0, 1],
        ];
        assert_eq!(verdict(1).encoded(), expected.concat());
    }
}
