//! How Docker clients write queries: booleans, filters, times.

use std::collections::BTreeMap;
use std::time::Duration;

use berth_engine::Filters;
use jiff::Timestamp;
use serde::{Deserialize, Deserializer};

use crate::error::Failure;

/// A boolean as Docker reads it: everything but these is true.
pub(crate) fn flag<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    let text = String::deserialize(deserializer)?;
    Ok(!matches!(text.trim().to_ascii_lowercase().as_str(), "" | "0" | "no" | "false" | "none"))
}

/// A number that may be there and empty.
pub(crate) fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    let text = String::deserialize(deserializer)?;
    if text.is_empty() {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|_| serde::de::Error::custom(format!("invalid number: {text:?}")))
}

/// A query of filters alone.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct FilterQuery {
    pub(crate) filters: Option<String>,
}

/// Every value of a key that may come several times, which a map can't hold.
pub(crate) fn all(query: &str, key: &str) -> Vec<String> {
    let pairs = form_urlencoded::parse(query.as_bytes());
    pairs.filter(|(name, _)| name == key).map(|(_, value)| value.into_owned()).collect()
}

/// `filters={"label":["a=b"]}`, or the older `{"label":{"a=b":true}}`.
pub(crate) fn filters(text: Option<&str>) -> Result<Filters, Failure> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Values {
        List(Vec<String>),
        Set(BTreeMap<String, bool>),
    }
    let Some(text) = text.filter(|text| !text.is_empty()) else {
        return Ok(Filters::default());
    };
    let parsed: BTreeMap<String, Values> =
        serde_json::from_str(text).map_err(|_| Failure::bad_request("invalid filter"))?;
    let plain = |values| match values {
        Values::List(list) => list,
        Values::Set(set) => set.into_iter().filter(|(_, wanted)| *wanted).map(|(value, _)| value).collect(),
    };
    Ok(Filters::new(parsed.into_iter().map(|(key, values)| (key, plain(values))).collect()))
}

/// A moment: seconds since 1970 with a fraction, or RFC 3339. 0 and absence are no moment.
pub(crate) fn moment(text: Option<&str>) -> Result<Option<Timestamp>, Failure> {
    let Some(text) = text.filter(|text| !text.is_empty() && *text != "0") else {
        return Ok(None);
    };
    let invalid = || Failure::bad_request(format!("invalid time: {text:?}"));
    if let Ok(timestamp) = text.parse::<Timestamp>() {
        return Ok(Some(timestamp));
    }
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    let seconds: i64 = seconds.parse().map_err(|_| invalid())?;
    let digits: String = fraction.chars().chain(std::iter::repeat('0')).take(9).collect();
    let nanoseconds: i32 = digits.parse().map_err(|_| invalid())?;
    Timestamp::new(seconds, nanoseconds).map(Some).map_err(|_| invalid())
}

/// How long ago, as the filter `key` of a prune says it: a Go duration (`24h`, `1h30m`), or a moment.
pub(crate) fn age(key: &str, text: &str) -> Result<Duration, Failure> {
    if let Some(moment) = moment(Some(text)).ok().flatten() {
        return Ok(Duration::try_from(Timestamp::now().duration_since(moment)).unwrap_or_default());
    }
    let nanoseconds = berth_engine::go_duration::parse(text).and_then(|length| u64::try_from(length).ok());
    nanoseconds.map(Duration::from_nanos).ok_or_else(|| {
        Failure::bad_request(format!(
            "{key:?} filter expects a duration (e.g., '24h') or a timestamp: failed to parse value as time or duration: \
             {text:?}"
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_filters_mean_the_same() {
        let list = filters(Some(r#"{"label":["a=b"]}"#)).unwrap();
        let set = filters(Some(r#"{"label":{"a=b":true,"c":false}}"#)).unwrap();
        assert_eq!(list, set);
        assert!(filters(Some("{")).is_err());
    }

    #[test]
    fn moments_are_seconds_or_rfc_3339() {
        let seconds = moment(Some("1700000000.5")).unwrap().unwrap();
        assert_eq!(seconds.to_string(), "2023-11-14T22:13:20.5Z");
        assert_eq!(moment(Some("2023-11-14T22:13:20.5Z")).unwrap(), Some(seconds));
        assert!(moment(Some("soon")).is_err());
        assert!(moment(Some("0")).unwrap().is_none());
    }
}
