//! The names by which containers reach the host. They are the guest's network's own, so no resolver is asked for them.

use std::net::Ipv4Addr;

use crate::dns::{self, HEADER};

/// Docker Desktop's two names for the host, as a question writes them: labels after their lengths.
const NAMES: [&[u8]; 2] = [b"\x04host\x06docker\x08internal\0", b"\x07gateway\x06docker\x08internal\0"];
/// A question's type of IPv4 addresses, and the internet's class, behind its name (RFC 1035, 3.2).
const ADDRESS: [u8; 2] = [0, 1];
const INTERNET: [u8; 2] = [0, 1];
/// How long an answer may be kept, in seconds, as the resolver of containers says of their names. It holds for as long
/// as the guest runs.
const TIME_TO_LIVE: u32 = 600;
/// Where the message has the name: a record points there instead of saying it again (RFC 1035, 4.1.4).
const NAME_OF_THE_QUESTION: [u8; 2] = [0xc0, HEADER as u8];

/// The answer to a question for one of them; none when it is any other. Nothing is known but the address: asked for
/// anything else, the name is there and has none.
pub(crate) fn answer(query: &[u8], host: Ipv4Addr) -> Option<Vec<u8>> {
    if !dns::is_standard_query(query) {
        return None;
    }
    let question = dns::question(query)?;
    let (name, rest) = question.split_at_checked(question.len().checked_sub(4)?)?;
    let (kind, class) = rest.split_at(2);
    // The lengths among the letters aren't letters.
    if class != INTERNET || !NAMES.iter().any(|known| known.eq_ignore_ascii_case(name)) {
        return None;
    }
    let mut answer = dns::answer_to(query, dns::NO_ERROR);
    if kind == ADDRESS {
        answer[7] = 1;
        answer.extend(NAME_OF_THE_QUESTION);
        answer.extend(ADDRESS);
        answer.extend(INTERNET);
        answer.extend(TIME_TO_LIVE.to_be_bytes());
        answer.extend(4_u16.to_be_bytes());
        answer.extend(host.octets());
    }
    Some(answer)
}
