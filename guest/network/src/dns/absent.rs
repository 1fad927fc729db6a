//! What other resolvers said isn't there, kept for as long as they said (RFC 2308): programs ask again and again for
//! names without a record, with every search domain behind them.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use hickory_proto::op::{Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{RData, Record};

use super::answer;

/// The longest that anything is kept, in seconds. Zones say up to three hours; but whoever has just made a record, or
/// entered a VPN that knows one, looks for it soon, and nothing here can be told of it.
const LONGEST: u32 = 300;
/// As many are kept: far more than what containers ask for within [`LONGEST`], in a megabyte at most.
const MOST: usize = 1024;

/// What isn't there.
#[derive(Default)]
pub(super) struct Absent(Mutex<HashMap<Key, Kept>>);

/// A question, whatever the case of its letters, and whom it was for: others may know more.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Key {
    question: Query,
    resolvers: Vec<SocketAddr>,
}

/// What was said.
struct Kept {
    code: ResponseCode,
    /// The zone's record; its time to live is the answer's.
    zone: Record,
    since: Instant,
}

impl Absent {
    /// The answer to a query, if these resolvers have given it before and it still holds.
    pub(super) fn answer(&self, query: &[u8], resolvers: &[SocketAddr]) -> Option<Vec<u8>> {
        let query = plain_query(query)?;
        let key = Key { question: query.queries.first()?.clone(), resolvers: resolvers.to_vec() };
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let found = kept.get(&key)?;
        let age = found.since.elapsed();
        if age >= found.lifetime() {
            kept.remove(&key);
            return None;
        }
        let mut zone = found.zone.clone();
        zone.decrement_ttl(u32::try_from(age.as_secs()).unwrap_or(LONGEST));
        let mut known = answer::respond(&query, found.code);
        known.authorities.push(zone);
        // One that not every client's datagram holds is asked for anew.
        known.to_vec().ok().filter(|bytes| bytes.len() <= answer::SMALLEST.into())
    }

    /// Keeps what resolvers answered, if it says for how long something isn't there.
    pub(super) fn keep(&self, query: &[u8], resolvers: &[SocketAddr], answer: &[u8]) {
        let Some(query) = plain_query(query) else { return };
        let Some(question) = query.queries.into_iter().next() else { return };
        let Some((code, zone)) = absence(&question, answer) else { return };
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= MOST {
            let oldest = kept.iter().min_by_key(|(_, one)| one.since).map(|(key, _)| key.clone());
            oldest.and_then(|oldest| kept.remove(&oldest));
        }
        let key = Key { question, resolvers: resolvers.to_vec() };
        kept.insert(key, Kept { code, zone, since: Instant::now() });
    }
}

impl Kept {
    fn lifetime(&self) -> Duration {
        Duration::from_secs(self.zone.ttl.into())
    }
}

/// A query as programs make it. What asks for proofs (DNSSEC), for unchecked answers, or for what the resolver has at
/// hand, gets answers that aren't everybody's.
fn plain_query(query: &[u8]) -> Option<Message> {
    let query = Message::from_vec(query).ok()?;
    let proofs = query.edns.as_ref().is_some_and(|options| options.flags().dnssec_ok);
    let asks = query.metadata.message_type == MessageType::Query && query.metadata.op_code == OpCode::Query;
    let plain = query.metadata.recursion_desired && !query.metadata.checking_disabled && !proofs;
    (asks && plain && query.queries.len() == 1).then_some(query)
}

/// The code and the zone's record of an answer that says that nothing is there (RFC 2308, 2 and 5).
fn absence(question: &Query, answer: &[u8]) -> Option<(ResponseCode, Record)> {
    let answer = Message::from_vec(answer).ok()?;
    let code = answer.metadata.response_code;
    let whole = answer.metadata.message_type == MessageType::Response && !answer.metadata.truncation;
    // What leads elsewhere (CNAME) before it ends isn't kept: the way there has lifetimes of its own.
    let says_so = matches!(code, ResponseCode::NXDomain | ResponseCode::NoError) && answer.answers.is_empty();
    if !whole || !says_so || answer.queries.as_slice() != std::slice::from_ref(question) {
        return None;
    }
    let mut zone = answer.authorities.into_iter().find(|record| matches!(record.data, RData::SOA(_)))?;
    let RData::SOA(soa) = &zone.data else { return None };
    zone.ttl = sound(zone.ttl).min(sound(soa.minimum)).min(LONGEST);
    let of_question = zone.dns_class == question.query_class() && zone.name.zone_of(question.name());
    (of_question && zone.ttl > 0).then_some((code, zone))
}

/// A time to live that isn't one means none (RFC 2181, 8).
fn sound(seconds: u32) -> u32 {
    if seconds > i32::MAX.cast_unsigned() { 0 } else { seconds }
}

#[cfg(test)]
mod tests {
    use super::*;

    use hickory_proto::rr::rdata::SOA;
    use hickory_proto::rr::{Name, RecordType};

    fn query(name: &str) -> Message {
        let mut query = Message::new(7, MessageType::Query, OpCode::Query);
        query.metadata.recursion_desired = true;
        query.add_query(Query::query(Name::from_ascii(name).unwrap(), RecordType::A));
        query
    }

    /// Nothing is there, say the zone's servers.
    fn nothing(query: &Message, zone: &str, ttl: u32, minimum: u32) -> Vec<u8> {
        let mut answer = answer::respond(query, ResponseCode::NXDomain);
        let zone = Name::from_utf8(zone).unwrap();
        let soa = SOA::new(zone.clone(), zone.clone(), 1, 2, 3, 4, minimum);
        answer.authorities.push(Record::from_rdata(zone, ttl, RData::SOA(soa)));
        answer.to_vec().unwrap()
    }

    fn resolvers(port: u16) -> [SocketAddr; 1] {
        [SocketAddr::from(([127, 0, 0, 1], port))]
    }

    /// For how many seconds it is kept.
    fn kept_for(query: &Message, answer: &[u8]) -> Option<u32> {
        absence(&query.queries[0], answer).map(|(_, zone)| zone.ttl)
    }

    #[test]
    fn it_is_kept_for_the_least_that_anybody_says() {
        let asked = query("a.example.");
        let lifetime = |ttl, minimum| kept_for(&asked, &nothing(&asked, "example.", ttl, minimum));
        assert_eq!(lifetime(60, 30), Some(30));
        assert_eq!(lifetime(20, 30), Some(20));
        assert_eq!(lifetime(86_400, 10_800), Some(LONGEST));
        assert_eq!((lifetime(0, 30), lifetime(30, 0), lifetime(u32::MAX, 30)), (None, None, None));
    }

    #[test]
    fn what_another_zone_says_or_of_another_name_is_not_kept() {
        let asked = query("a.example.");
        assert_eq!(kept_for(&asked, &nothing(&asked, "other.", 60, 60)), None);
        assert_eq!(kept_for(&asked, &nothing(&query("b.example."), "example.", 60, 60)), None);
    }

    #[test]
    fn it_is_known_in_any_case_and_of_the_same_resolvers_alone() {
        let absent = Absent::default();
        let asked = query("a.example.");
        let answer = nothing(&asked, "example.", 60, 60);
        absent.keep(&asked.to_vec().unwrap(), &resolvers(1), &answer);
        let loud = query("A.EXAMPLE.").to_vec().unwrap();
        let found = Message::from_vec(&absent.answer(&loud, &resolvers(1)).unwrap()).unwrap();
        assert_eq!(found.metadata.response_code, ResponseCode::NXDomain);
        assert_eq!(found.queries[0].name().to_ascii(), "A.EXAMPLE.");
        assert_eq!(absent.answer(&loud, &resolvers(2)), None);
        let mut proofs = query("a.example.");
        proofs.metadata.checking_disabled = true;
        assert_eq!(absent.answer(&proofs.to_vec().unwrap(), &resolvers(1)), None);
    }

    #[test]
    fn of_too_many_the_oldest_goes() {
        let absent = Absent::default();
        let keep = |number: usize| {
            let asked = query(&format!("a{number}.example."));
            let answer = nothing(&asked, "example.", 60, 60);
            absent.keep(&asked.to_vec().unwrap(), &resolvers(1), &answer);
            asked.to_vec().unwrap()
        };
        let asked: Vec<Vec<u8>> = (0..=MOST).map(keep).collect();
        assert_eq!(absent.answer(&asked[0], &resolvers(1)), None);
        assert!(absent.answer(&asked[1], &resolvers(1)).is_some());
        assert!(absent.answer(&asked[MOST], &resolvers(1)).is_some());
    }

    #[test]
    fn hostile_bytes_are_no_answer() {
        let asked = query("a.example.");
        let answer = nothing(&asked, "example.", 60, 60);
        let absent = Absent::default();
        let question = asked.to_vec().unwrap();
        for end in 0..answer.len() {
            absent.keep(&question, &resolvers(1), &answer[..end]);
        }
        assert_eq!(absent.answer(&question, &resolvers(1)), None, "a piece was kept");
        for place in 0..answer.len() {
            for value in [0, 1, 0x3f, 0x80, 0xc0, 0xff] {
                let mut broken = answer.clone();
                broken[place] = value;
                absent.keep(&question, &resolvers(1), &broken);
                absent.keep(&broken, &resolvers(1), &answer);
                absent.answer(&broken, &resolvers(1));
            }
        }
    }
}
