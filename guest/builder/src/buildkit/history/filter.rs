//! Conditions on the history of builds, as BuildKit's clients write them: `status==error,duration>1m`. Those of one text
//! hold all at once, of several texts one is enough.

use berth_runtime::go_duration;
use jiff::Timestamp;

use crate::buildkit::messages::control::HistoryRecord;
use crate::filter::{Test, invalid};
use crate::git::Address;
use crate::{Error, Result};

const SECOND: i64 = 1_000_000_000;

/// What a client wants to see of the history.
pub(in crate::buildkit) struct Filters(Vec<Vec<Condition>>);

enum Condition {
    /// Of a text.
    Is(String, Test),
    /// Of a time or a length of time, in nanoseconds.
    Compares(fn(&HistoryRecord) -> i64, Compare, i64),
}

/// How two times lie to each other.
type Compare = fn(&i64, &i64) -> bool;

/// The longer ones first, since they begin with the others.
const COMPARISONS: [(&str, Compare); 4] = [(">=", i64::ge), ("<=", i64::le), (">", i64::gt), ("<", i64::lt)];

impl Filters {
    /// Reads them.
    ///
    /// # Errors
    /// When one is no condition.
    pub(in crate::buildkit) fn parse(texts: &[String], now: Timestamp) -> Result<Self> {
        let parts = |text: &String| {
            let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
            parts.map(|part| Condition::parse(part, now)).collect()
        };
        texts.iter().map(parts).collect::<Result<_>>().map(Self)
    }

    /// Whether a build that has ended is wanted.
    pub(in crate::buildkit) fn fit(&self, record: &HistoryRecord) -> bool {
        self.0.is_empty() || self.0.iter().any(|all| all.iter().all(|one| one.fits(record)))
    }
}

impl Condition {
    fn parse(text: &str, now: Timestamp) -> Result<Self> {
        let compared = COMPARISONS.iter().find_map(|(sign, compare)| {
            let (field, value) = text.split_once(sign)?;
            Some((field, value, *compare))
        });
        match compared {
            Some((field @ ("startedAt" | "completedAt"), value, compare)) => {
                let of = if field == "startedAt" { started } else { completed };
                Ok(Self::Compares(of, compare, moment(value, now)?))
            }
            Some(("duration", value, compare)) => {
                let wrong = || Error::Invalid(format!("invalid duration {value}"));
                Ok(Self::Compares(duration, compare, go_duration::parse(value).ok_or_else(wrong)?))
            }
            _ => {
                let (field, test) = Test::parse(text)?;
                match field {
                    "ref" | "status" | "repository" => Ok(Self::Is(field.to_owned(), test)),
                    _ => Err(invalid(text, "the history of builds has no such field")),
                }
            }
        }
    }

    fn fits(&self, record: &HistoryRecord) -> bool {
        match self {
            Self::Is(field, test) => test.fits(match field.as_str() {
                "ref" => Some(record.reference.as_str()),
                "status" => Some(status(record)),
                _ => repository(record),
            }),
            Self::Compares(of, compare, wanted) => compare(&of(record), wanted),
        }
    }
}

/// A moment as RFC 3339 has it, or so long ago; whole seconds count.
fn moment(text: &str, now: Timestamp) -> Result<i64> {
    let seconds = match go_duration::parse(text) {
        Some(ago) => now.as_second().saturating_sub(ago / SECOND),
        None => {
            let moment = text.parse::<Timestamp>();
            moment.map_err(|_| Error::Invalid(format!("invalid time {text}")))?.as_second()
        }
    };
    Ok(seconds.saturating_mul(SECOND))
}

fn started(record: &HistoryRecord) -> i64 {
    record.created_at.map_or(0, |moment| moment.seconds.saturating_mul(SECOND))
}

fn completed(record: &HistoryRecord) -> i64 {
    record.completed_at.map_or(0, |moment| moment.seconds.saturating_mul(SECOND))
}

fn duration(record: &HistoryRecord) -> i64 {
    let nanoseconds = |moment: Option<crate::buildkit::messages::Timestamp>| {
        moment.map_or(0, |moment| moment.seconds.saturating_mul(SECOND).saturating_add(moment.nanos.into()))
    };
    match record.completed_at {
        Some(_) => nanoseconds(record.completed_at).saturating_sub(nanoseconds(record.created_at)),
        None => 0,
    }
}

fn status(record: &HistoryRecord) -> &'static str {
    match (&record.completed_at, &record.error) {
        (None, _) => "running",
        (Some(_), None) => "completed",
        (Some(_), Some(error)) if error.message.contains("context canceled") => "canceled",
        (Some(_), Some(_)) => "error",
    }
}

/// Where the sources are: as the client says, or the repository that was built.
fn repository(record: &HistoryRecord) -> Option<&str> {
    let attributes = &record.frontend_attrs;
    match attributes.get("vcs:source") {
        Some(source) => Some(source.as_str()),
        None => attributes.get("context").filter(|context| Address::is_one(context))?.split('#').next(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::buildkit::messages::{self, Failed};

    fn fits(record: &HistoryRecord, texts: &[&str]) -> bool {
        let texts: Vec<_> = texts.iter().map(|&text| text.to_owned()).collect();
        Filters::parse(&texts, Timestamp::from_second(10_000).unwrap()).unwrap().fit(record)
    }

    fn record(from: i64, to: i64) -> HistoryRecord {
        let at = |seconds| Some(messages::Timestamp { seconds, nanos: 0 });
        let context = "https://x.example/a.git#main:dir".to_owned();
        HistoryRecord {
            reference: "abc".to_owned(),
            created_at: at(from),
            completed_at: at(to),
            frontend_attrs: [("context".to_owned(), context)].into(),
            ..HistoryRecord::default()
        }
    }

    #[test]
    fn every_field_decides() {
        let done = record(1000, 1090);
        for text in ["ref~=^a", "status==completed", "repository==https://x.example/a.git", "duration>1m"] {
            assert!(fits(&done, &[text]), "{text}");
        }
        for text in ["ref==a", "status!=completed", "repository~=main", "duration>=2m", "duration<1m30s"] {
            assert!(!fits(&done, &[text]), "{text}");
        }
        assert!(fits(&done, &[]) && fits(&done, &["ref==x", "status==completed"]));
        assert!(!fits(&done, &["ref~=a,status==error"]));
        // It is 10,000 seconds after the epoch.
        assert!(fits(&done, &["startedAt<2h,completedAt>1970-01-01T00:18:00Z"]));
        assert!(!fits(&done, &["startedAt>2h"]));
        let failed = |message: &str| {
            let error = Failed { code: 2, message: message.to_owned(), details: Vec::new() };
            HistoryRecord { error: Some(error), ..record(1, 2) }
        };
        assert!(
            fits(&failed("no"), &["status==error"])
                && fits(&failed("context canceled"), &["status==canceled"])
        );
        assert!(fits(&HistoryRecord { completed_at: None, ..record(1, 2) }, &["status==running"]));
    }

    #[test]
    fn what_is_no_condition_is_refused() {
        for text in ["colour==red", "duration>x", "startedAt<yesterday", "ref=x"] {
            assert!(Filters::parse(&[text.to_owned()], Timestamp::UNIX_EPOCH).is_err(), "{text}");
        }
    }
}
