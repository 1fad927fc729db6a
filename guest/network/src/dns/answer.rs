//! From a query to its answer, where the answer is known here.

use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};

use hickory_proto::op::{Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, PTR};
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};

use super::directory::Directory;

/// How long an answer may be kept, in seconds, as Docker says it.
const TIME_TO_LIVE: u32 = 600;
/// What a datagram holds unless the client says more (RFC 1035, 2.3.4).
pub(super) const SMALLEST: u16 = 512;

/// Turns among several addresses.
static TURN: AtomicUsize = AtomicUsize::new(0);

/// What is to be done about a query.
pub(super) enum Reply {
    /// This is the answer.
    Known(Vec<u8>),
    /// Another resolver knows.
    Elsewhere,
    /// It is no query.
    Nothing,
}

/// Answers a container's query; an answer that no datagram holds is cut off, so that the client asks by stream.
pub(super) fn reply(directory: &Directory, container: &str, query: &[u8], datagram: bool) -> Reply {
    let Ok(message) = Message::from_vec(query) else { return Reply::Nothing };
    if message.metadata.message_type != MessageType::Query {
        return Reply::Nothing;
    }
    let [question] = message.queries.as_slice() else { return code(&message, ResponseCode::FormErr) };
    if message.metadata.op_code != OpCode::Query {
        return code(&message, ResponseCode::NotImp);
    }
    let known =
        (question.query_class() == DNSClass::IN).then(|| records(directory, container, question)).flatten();
    let Some(records) = known else {
        let forwards = directory.forwards(container);
        return if forwards { Reply::Elsewhere } else { code(&message, ResponseCode::ServFail) };
    };
    let mut answer = respond(&message, ResponseCode::NoError);
    answer.add_answers(records);
    let limit = if datagram { usize::from(message.max_payload().max(SMALLEST)) } else { usize::MAX };
    match answer.to_vec() {
        Ok(bytes) if bytes.len() <= limit => Reply::Known(bytes),
        Ok(_) => answer.truncate().to_vec().map_or(Reply::Nothing, Reply::Known),
        Err(_) => Reply::Nothing,
    }
}

/// The answer to a query that couldn't be asked elsewhere.
pub(super) fn failure(query: &[u8]) -> Vec<u8> {
    let message = Message::from_vec(query).ok();
    let failed = message.and_then(|message| respond(&message, ResponseCode::ServFail).to_vec().ok());
    failed.unwrap_or_default()
}

/// The records that answer the question; `None` when its name is none of ours. A name of ours has no other records
/// than these: asking elsewhere would tell others about it.
fn records(directory: &Directory, container: &str, question: &Query) -> Option<Vec<Record>> {
    let name = question.name();
    if question.query_type() == RecordType::PTR {
        let network = name.parse_arpa_name().ok()?;
        let whole = network.prefix_len() == network.max_prefix_len();
        let target = directory.name(container, network.addr()).filter(|_| whole)?;
        let target = Name::from_utf8(format!("{target}.")).ok()?;
        return Some(vec![Record::from_rdata(name.clone(), TIME_TO_LIVE, RData::PTR(PTR(target)))]);
    }
    let text = name.to_utf8();
    let mut addresses = directory.addresses(container, text.strip_suffix('.').unwrap_or(&text))?;
    addresses.retain(|address| match question.query_type() {
        RecordType::A => address.is_ipv4(),
        RecordType::AAAA => address.is_ipv6(),
        _ => false,
    });
    if !addresses.is_empty() {
        let turn = TURN.fetch_add(1, Ordering::Relaxed) % addresses.len();
        addresses.rotate_left(turn);
    }
    let data = |address| match address {
        IpAddr::V4(address) => RData::A(A(address)),
        IpAddr::V6(address) => RData::AAAA(AAAA(address)),
    };
    let record = |address| Record::from_rdata(name.clone(), TIME_TO_LIVE, data(address));
    Some(addresses.into_iter().map(record).collect())
}

fn code(query: &Message, code: ResponseCode) -> Reply {
    respond(query, code).to_vec().map_or(Reply::Nothing, Reply::Known)
}

/// An answer without records.
pub(super) fn respond(query: &Message, code: ResponseCode) -> Message {
    let mut answer = Message::response(query.metadata.id, query.metadata.op_code);
    answer.metadata.recursion_desired = query.metadata.recursion_desired;
    answer.metadata.recursion_available = true;
    answer.metadata.response_code = code;
    answer.add_queries(query.queries.iter().cloned());
    answer
}
